"""What is said of runs by other code than there is now, and what becomes of them. Imports no torch."""

import logging
from collections.abc import Mapping
from typing import Any

from lic_exp.config.errors import ConfigError
from lic_exp.config.schema import RunConfig
from lic_exp.runs.code_hash import PLATFORM, MadeBy, changed_parts, code_state
from lic_exp.runs.recovery import goes_on
from lic_exp.text import visible
from lic_exp.tracking.run_folder import RunFolder

log = logging.getLogger("lic_exp.runs")

MEANINGS: dict[MadeBy, str] = {
    "current": "",
    "stale": "made by other code than there is now",
    "unknown": "nothing says which code made it",
}
"""What each state of a run's code means, for people; of what is as it should be nothing."""

TITLES: dict[MadeBy, str] = {"current": "", "stale": "stale", "unknown": "code unknown"}

ANEW = "trainer.stale=again makes it anew"

MOST_NAMED = 3


def code_text(status: Mapping[str, Any]) -> str:
    """`stale: made by other code than there is now; trainer.stale=again makes it anew`; of current code nothing.

    A stale run's text names what of its code is other, as far as that is known.
    """
    state = code_state(status)
    if state == "current":
        return ""
    said = "it went on by other code than it was begun with" if state == "stale" and is_mixed(status) else ""
    changed = changed_parts(status) if state == "stale" and not said else []
    named = ", ".join("what every run uses" if part == PLATFORM else visible(part) for part in changed[:MOST_NAMED])
    more = f" and {len(changed) - MOST_NAMED} more" if len(changed) > MOST_NAMED else ""
    where = f" (changed: {named}{more})" if named else ""
    return f"{TITLES[state]}: {said or MEANINGS[state]}{where}; {ANEW}"


def is_mixed(status: Mapping[str, Any]) -> bool:
    """Whether more than one state of the code had a part in a run's training."""
    return len(set(status.get("code") or ())) > 1


def is_remade(config: RunConfig, status: Mapping[str, Any]) -> bool:
    """Whether a run that has begun is to be made anew, since it is not of the code that there is now.

    Where nobody knows, only one that is done: the next attempt at another would know no better, and never come to an
    end.
    """
    if config.trainer.stale != "again" or not has_begun(status):
        return False
    state = code_state(status)
    return state == "stale" or (state == "unknown" and status.get("state") == "done")


def has_begun(status: Mapping[str, Any]) -> bool:
    """Whether there was an attempt at a run."""
    return bool(status.get("state", "created") != "created")


def origin_of(config: RunConfig, run: RunFolder) -> RunFolder | None:
    """The run whose training, or whose weights, this one goes on from now: itself, the one it extends or begins from.

    None where it begins from nothing that another run has made.
    """
    if goes_on(config, run):
        return run
    first = config.parent or config.init_from
    return RunFolder(run.root.parent / first) if first else None


def earlier_code(config: RunConfig, run: RunFolder) -> list[str | None]:
    """The hashes of other code than there is now that had a part in what a run goes on from; [null]: nobody knows.

    The log says where there are any.
    """
    origin = origin_of(config, run)
    if origin is None:
        return []
    status = origin.status_if_whole()
    state = code_state(status)
    if state == "current":
        return []
    who = "this run" if origin is run else f"run {origin.signature}, which this one goes on from,"
    said = "was made by other code than there is now" if state == "stale" else "says not which code made it"
    log.info("%s %s: from here on this run is %s", who, said, "stale" if state == "stale" else "of unknown code")
    return list(status.get("code") or [None])


def said_of_origin(config: RunConfig, run: RunFolder) -> str:
    """What to say of another run that this one extends, or begins from; "" where that is of the code there is now.

    Raises ConfigError where what is made from it shall be of the code there is now.
    """
    origin = origin_of(config, run)
    text = code_text(origin.status_if_whole()) if origin is not None and origin is not run else ""
    if origin is None or not text:
        return ""
    key = "parent" if config.parent else "init_from"
    said = f"{key}={origin.signature}: run {origin.root} is done; {text}. What is made from it"
    if config.trainer.stale != "keep":
        raise ConfigError([f"trainer.stale={config.trainer.stale}: {said} would be so too: make that one anew first"])
    return f"{said} is so too"
