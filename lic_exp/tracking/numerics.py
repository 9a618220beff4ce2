"""The numerics records of a training: what its bits depend on beside config and code, compared. Imports no torch."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, cast

from lic_exp.tracking.kinds import Numerics


def in_force(history: Sequence[Numerics], step: int) -> Numerics | None:
    """By what the step that ended a training of so many steps was made; None where that is not known."""
    return next((one for one in reversed(history) if one["from_step"] < step), None)


UNSAID = {"random_streams": 1}
"""What records of earlier versions, which do not say so, were made with."""

NOTES = {"random_streams": " (an earlier version of this package drew qualities and noise otherwise)"}


def different(before: Numerics, now: Numerics) -> list[str]:
    """In words, key by key, what is otherwise now; left out is what one of them does not say, as of another version."""
    here: dict[str, Any] = dict(now)
    was = {key: value for key, value in (UNSAID | dict(before)).items() if key in here and key != "from_step"}
    return [
        f"{key} {_said(here[key])}, not {_said(value)}{NOTES.get(key, '')}"
        for key, value in was.items()
        if here[key] != value
    ]


def gone_on(history: Sequence[Numerics], step: int, now: Numerics) -> list[Numerics]:
    """The history of a training of so many steps that goes on with `now`; what lies beyond them is forgotten."""
    kept = [one for one in history if one["from_step"] < step]
    if kept and not different(kept[-1], now):
        return kept
    return [*kept, cast("Numerics", {"from_step": step, **{k: v for k, v in now.items() if k != "from_step"}})]


def changes(history: Sequence[Numerics]) -> list[str]:
    """What must be said of a training that was not made with one numerics record from its first step to its last."""
    if not history:
        return []
    first = history[0]["from_step"]
    unknown = [f"what its first {first} steps were made with is not on record"] if first else []
    return unknown + [
        f"went on elsewhere after step {now['from_step']}: {'; '.join(different(before, now))}"
        for before, now in pairwise(history)
    ]


def changes_text(status: Mapping[str, Any]) -> str:
    """The same as one line, of what status.json holds; nothing of a training that was made in one way."""
    return "; ".join(changes(status.get("numerics", ())))


def record_text(record: Numerics) -> str:
    """A record as one line."""
    return ", ".join(f"{key} {_said(value)}" for key, value in record.items() if key != "from_step")


def _said(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return "none" if value is None else str(value)
