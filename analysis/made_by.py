"""Which code made the runs behind a number, and whether more than one did."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lic_exp.records import RecordError, read_record
from lic_exp.runs.code_hash import MadeBy, code_state
from lic_exp.tracking.kinds import EvaluationResults
from lic_exp.tracking.run_folder import EVALUATION_FILE, RunFolder

MOST_NAMED = 5

MEANINGS = {
    "stale": ("is stale, made by other code than there is now", "are stale, made by other code than there is now"),
    "unknown": ("is of unknown code", "are of unknown code"),
}
"""Of one run, and of several."""

MIXED = "so this mixes runs of different code: trainer.stale=again in their command makes those anew"


@dataclass(frozen=True)
class Maker:
    """Which code made a run.

    hashes: of all code that had a part in it. parts: {part of the latest: its hash} (`lic_exp.runs.code_hash`).
    """

    signature: str
    state: MadeBy
    hashes: tuple[str | None, ...] = ()
    parts: Mapping[str, str] = field(default_factory=dict)


def made(signature: str, status: Mapping[str, Any], evaluated_by: Iterable[str | None] = ()) -> Maker:
    """Which code made a run, by its status.json. evaluated_by: the hashes of the code of its evaluations."""
    code = list(status.get("code") or ())
    code = list(dict.fromkeys([*code, *evaluated_by])) if code else code
    return Maker(signature, code_state(dict(status) | {"code": code}), tuple(code), dict(status.get("parts") or {}))


def made_in(folder: RunFolder, evaluation: Path | None = None) -> Maker:
    """The same of a run folder and one of its evaluations; nobody knows it of one whose status.json cannot be read.

    evaluation: its folder; None is the run's own.
    """
    try:
        return made(folder.signature, folder.status(), _evaluated_by((evaluation or folder.eval) / EVALUATION_FILE))
    except (OSError, RecordError):
        return Maker(folder.signature, "unknown")


def _evaluated_by(file: Path) -> list[str | None]:
    """The hash of the code of one evaluation, also of one that was asked for; none where its weights are gone."""
    try:
        found = read_record(file, EvaluationResults)
    except FileNotFoundError:
        return []
    if found.get("of") and not found.get("former"):
        return [found["code"]] if "code" in found else []
    return codes_of([found])


def codes_of(evaluations: Iterable[EvaluationResults]) -> list[str | None]:
    """The hashes of the code that made these, those that no longer count as the run's left out."""
    named = [found for found in evaluations if found.get("evaluation")]
    return list(dict.fromkeys(found["code"] for found in named if "code" in found))


def flags(runs: Sequence[Maker]) -> list[str]:
    """What is to be said of these runs: who is stale, who of unknown code, and whether that mixes different code."""
    found = []
    for state, (one, several) in MEANINGS.items():
        if names := [run.signature for run in runs if run.state == state]:
            whole = "all runs" if names[1:] else "the run"
            of = f"{len(names)} of {len(runs)} runs" if len(names) < len(runs) else whole
            found.append(f"{of} {several if names[1:] else one}: {_listed(names)}")
    return [*found, MIXED] if is_mixed(runs) else found


def is_mixed(runs: Iterable[Maker]) -> bool:
    """Whether more than one state of the code made them, as far as that can be known.

    Runs of different components have different code by nature; what they share tells.
    """
    known: dict[str, set[str]] = {}
    states = set()
    for run in runs:
        states.add(run.state)
        if len(set(run.hashes)) > 1:
            return True
        for part, text in run.parts.items():
            known.setdefault(part, set()).add(text)
    return len(states) > 1 or any(len(texts) > 1 for texts in known.values())


def row_notes(own: Sequence[Maker], others: Sequence[Maker]) -> list[str]:
    """What to say of a row of a table whose runs, or they and those that they are compared with, mix code."""
    if is_mixed(own):
        return [f"its own runs are of different code: {_told(own)}"]
    if is_mixed([*own, *others]):
        return [f"it is of other code than what it is compared with: {_told(own)}, against {_told(others)}"]
    return []


def _told(runs: Sequence[Maker]) -> str:
    """`3 runs by the code there is now, 1 stale (abcd)`."""
    words = {"current": "by the code there is now", "stale": "stale", "unknown": "of unknown code"}
    parts = []
    for state, text in words.items():
        if names := [run.signature for run in runs if run.state == state]:
            count = f"{len(names)} run{'s' if names[1:] else ''}"
            parts.append(f"{count} {text}" + (f" ({_listed(names)})" if state != "current" else ""))
    return ", ".join(parts)


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:MOST_NAMED])}{', ...' if names[MOST_NAMED:] else ''}"
