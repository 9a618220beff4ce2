"""Where every cell of a sweep stands, from files alone: whoever asks, on whatever machine sees the folder."""

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lic_exp.launching.code import code_hash
from lic_exp.launching.errors import ConfigError
from lic_exp.launching.listing import progress
from lic_exp.launching.run import Run, shown_state
from lic_exp.launching.slurm.states import state_of_job
from lic_exp.launching.sweeps.folder import Cell, Sweep
from lic_exp.launching.sweeps.processes import is_here, lives
from lic_exp.launching.sweeps.verdict import end_of, verdict

ACTIVE = ("queued", "starting", "running")
TROUBLE = ("failed", "diverged", "out_of_memory", "killed", "time_limit", "refused", "dead", "unreadable")
INTERRUPTED = ("preempted", "cancelled")
UNBEGUN = ("waiting", "blocked", "created")
FINISHED = ("done", "stale", "screened_out")

CELL_STATES = (*UNBEGUN, *ACTIVE, *FINISHED, *TROUBLE, *INTERRUPTED)


@dataclass(frozen=True)
class CellState:
    """One cell now. What is not known, or not there yet, is None.

    state: one of CELL_STATES. best: lowest `val/rd_loss` so far. attempts: of the run. started, ended: [Unix s].
    """

    cell: Cell
    state: str
    reason: str = ""
    step: int | None = None
    max_steps: int | None = None
    best: float | None = None
    host: str | None = None
    attempts: int = 0
    exit_code: int | None = None
    started: float | None = None
    ended: float | None = None


def states(sweep: Sweep) -> dict[str, CellState]:
    """{signature: its state} of all cells, in their order."""
    found = {cell.signature: state_of(sweep, cell) for cell in sweep.cells}
    lost = losers(found.values())
    for signature, one in found.items():
        cell = one.cell
        if one.state in UNBEGUN and cell.group in lost and not cell.first:
            found[signature] = replace(one, state="screened_out", reason="others were better at the first rate")
        elif one.state in UNBEGUN and cell.parent and found[cell.parent].state in (*TROUBLE, "blocked"):
            reason = f"it starts from {found[cell.parent].cell.label}, which is {found[cell.parent].state}"
            found[signature] = replace(one, state="blocked", reason=reason)
    return found


def state_of(sweep: Sweep, cell: Cell) -> CellState:
    """One cell by itself, whatever becomes of those that it waits for."""
    run, attempt = sweep.run(cell), sweep.attempt(cell)
    try:
        status = run.status
    except ConfigError as error:
        return CellState(cell, "unreadable", str(error))
    state, reason = _state(sweep, cell, status, attempt)
    if state == "done" and _is_stale(sweep, status):
        state, reason = "stale", "made by other code than there is now; `retry --stale` makes it anew"
    step, best = progress(run.files, status, status.get("state", "created") if state not in ACTIVE else "running")
    return CellState(
        cell,
        state,
        reason,
        step if step is not None else status.get("step"),
        status.get("max_steps"),
        best,
        status.get("host") or attempt.get("host"),
        status.get("attempt", 0),
        attempt.get("exit_code"),
        status.get("started"),
        status.get("finished"),
    )


def _state(  # noqa: PLR0911 (one return per state)
    sweep: Sweep, cell: Cell, status: Mapping[str, Any], attempt: Mapping[str, Any]
) -> tuple[str, str]:
    shown = shown_state(status) if status else "waiting"
    said = str(status.get("reason") or "").strip()
    if shown == "done":
        return shown, ""
    if job := governing_job(sweep, cell, attempt):
        own = attempt if attempt.get("job") == job["job"] else {}
        return state_of_job(sweep, cell, job, own, status if is_of(status, own) else {})
    if attempt and lives(attempt):
        return ("running" if is_of(status, attempt) and shown == "running" else "starting"), ""
    if shown == "running":
        return shown, ""
    later = bool(status) and not is_of(status, attempt) and status.get("started", 0) > attempt.get("started", 0)
    if attempt and not later:
        state, reason = judged(sweep, cell, attempt)
        if state != "done":  # else the run was removed since
            return _as_cancelled(sweep, cell, state), reason
    if sweep.cancelled(cell).exists():
        return "cancelled", "before it began"
    return shown, said


def governing_job(sweep: Sweep, cell: Cell, attempt: Mapping[str, Any]) -> dict[str, Any]:
    """The SLURM job that has the cell, {} where it has none or was started otherwise since."""
    job = sweep.job(cell)
    later = attempt.get("job") != job.get("job") and attempt.get("started", 0) > job.get("submitted", 0)
    return {} if later else job


def _as_cancelled(sweep: Sweep, cell: Cell, state: str) -> str:
    return "cancelled" if state == "preempted" and sweep.cancelled(cell).exists() else state


def may_start(sweep: Sweep, cell: Cell, state: Callable[[Cell], str] | None = None) -> str | None:
    """Why a cell must not start, now that nothing it waits for is at work; None where it may.

    state: how one finds the state of another cell; by default from the files.
    """
    state = state or (lambda one: state_of(sweep, one).state)
    if sweep.cancelled(cell).exists():
        return "it was cancelled"
    if cell.parent is not None:
        parent = sweep.by_signature[cell.parent]
        if state(parent) not in FINISHED:
            return f"it starts from {parent.label}, which is {state(parent)}"
    if cell.group is None or cell.first:
        return None
    firsts = [one for one in sweep.cells if one.first]
    if any(state(one) not in (*FINISHED, *TROUBLE) for one in firsts):
        return "not all of the screening has ended"
    lost = losers(state_of(sweep, one) for one in firsts)
    return "others were better at the first rate" if cell.group in lost else None


def judged(
    sweep: Sweep,
    cell: Cell,
    attempt: Mapping[str, Any],
    exit_code: int | None = None,
    *,
    kernel_killed: bool = False,
) -> tuple[str, str]:
    """(state, reason) of an attempt whose process is gone; as it was recorded, where it was."""
    if "state" in attempt:
        return attempt["state"], attempt["reason"]
    exit_code = exit_of(sweep, cell, attempt, exit_code)
    status = sweep.run(cell).files.status()
    asked = "cancelled" if sweep.cancelled(cell).exists() else attempt.get("asked")
    log = end_of(sweep.log(cell), attempt.get("log_begin", 0))
    return verdict(exit_code, asked, status if is_of(status, attempt) else {}, log, kernel_killed=kernel_killed)


def exit_of(sweep: Sweep, cell: Cell, attempt: Mapping[str, Any], exit_code: int | None) -> int | None:
    """An attempt's exit code: its own word, where it came so far, since something may kill it on its way out.

    exit_code: as whoever started it saw it, None where nobody did.
    """
    ended = sweep.exit_of(cell)
    own = ended.get("exit_code") if ended.get("pid") == attempt.get("pid") else None
    return own if own is not None and (exit_code is None or exit_code < 0) else exit_code


def is_of(status: Mapping[str, Any], attempt: Mapping[str, Any]) -> bool:
    """Whether this attempt's process wrote the run's status."""
    return bool(attempt) and (status.get("pid"), status.get("host")) == (attempt.get("pid"), attempt.get("host"))


def _is_stale(sweep: Sweep, status: Mapping[str, Any]) -> bool:
    made_by = set(status.get("code") or ())
    plugins = tuple(sweep.manifest.get("plugins", ()))
    expected = sweep.manifest.get("snapshot") or code_hash(plugins)
    return bool(made_by) and expected is not None and made_by != {expected}


def losers(found: Iterable[CellState]) -> set[str]:
    """Of a screened sweep the groups that go no further; empty until all of the screening has ended."""
    first: dict[str, list[CellState]] = {}
    for one in found:
        if one.cell.group is not None and one.cell.first:
            first.setdefault(one.cell.group, []).append(one)
    if not first or any(one.state not in (*FINISHED, *TROUBLE) for group in first.values() for one in group):
        return set()
    score = {group: _mean_best(members) for group, members in first.items()}
    ranked = sorted(score, key=lambda group: score[group])
    keep = next(iter(first.values()))[0].cell.keep
    return {group for place, group in enumerate(ranked) if place >= keep or math.isinf(score[group])}


def _mean_best(members: Sequence[CellState]) -> float:
    values = [one.best for one in members if one.state in FINISHED and one.best is not None]
    return sum(values) / len(values) if len(values) == len(members) else math.inf


def eta_s(sweep: Sweep, one: CellState) -> float | None:
    """Seconds until a running cell's last step, by the pace of its latest entries; its evaluation comes on top."""
    if one.state != "running" or one.step is None or not one.max_steps:
        return None
    pace = seconds_per_step(sweep.run(one.cell))
    return None if pace is None else max(0.0, (one.max_steps - one.step) * pace)


def seconds_per_step(run: Run, entries: int = 40) -> float | None:
    """Wall-clock seconds per step over the latest logged entries of an attempt; None where too few were logged."""
    try:
        seen = [(entry["step"], entry["time"]) for entry in run.files.metrics()]
    except (ValueError, KeyError, OSError):
        return None
    seen = [(step, when) for step, when in seen if when >= run.files.status().get("started", 0.0)][-entries:]
    steps = seen[-1][0] - seen[0][0] if seen else 0
    return (seen[-1][1] - seen[0][1]) / steps if steps > 0 else None


def pool_lives(sweep: Sweep) -> bool:
    """Whether a pool is at work on the sweep; on another machine: whether its heartbeat is fresh."""
    pool = sweep.pool
    if not pool or pool.get("ended"):
        return False
    return lives(pool) if is_here(pool) else time.time() - pool.get("heartbeat", 0.0) < POOL_SILENT_S


POOL_SILENT_S = 60.0
