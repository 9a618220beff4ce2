"""Where every cell of a sweep stands, from files alone: whoever asks, on whatever machine sees the folder."""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lic_exp import exit_codes
from lic_exp.config.errors import ConfigError
from lic_exp.processes import lives
from lic_exp.runs.code_hash import MadeBy, code_state
from lic_exp.runs.listing import progress
from lic_exp.runs.lock import run_is_held
from lic_exp.runs.run import Run, shown_state, shows_life
from lic_exp.runs.staleness import MEANINGS, TITLES
from lic_exp.sweeps.exit_status import is_of, outcome, status_of
from lic_exp.sweeps.folder import Cell, CellRecord, SweepFolder
from lic_exp.sweeps.launcher import JobQueue, queue_of
from lic_exp.tracking.logged import logged
from lic_exp.tracking.numerics import changes_text

ACTIVE = ("queued", "starting", "running")
TROUBLE = ("failed", "diverged", "out_of_memory", "killed", "time_limit", "refused", "dead", "unreadable", "newer")
FAILURES = tuple(state for state in TROUBLE if state != "time_limit")
"""By which a sweep has failed; at a time limit a cell stops, and the same command goes on."""
RETRIED = tuple(state for state in TROUBLE if state not in ("refused", "diverged"))
"""What another try may bring to its end: the same config is refused, and the same numbers diverge, again."""
INTERRUPTED = ("preempted", "cancelled")
UNBEGUN = ("waiting", "blocked", "created")
FINISHED = ("done", "stale", "screened_out")

STALE = f"{MEANINGS['stale']}; `retry --stale` makes it anew"
UNKNOWN_CODE = f"{TITLES['unknown']}: {MEANINGS['unknown']}"

CELL_STATES = (*UNBEGUN, *ACTIVE, *FINISHED, *TROUBLE, *INTERRUPTED)


@dataclass(frozen=True)
class CellState:
    """One cell now. What is not known, or not there yet, is None.

    state: one of CELL_STATES. best: lowest `val/rd_loss` so far. attempts: of the run. started, ended: [Unix s]. job:
    as on record, {} without one. code: of one whose training is done, whether that is the code there is now. committed:
    the results folder that it is done in, where it was not trained here.
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
    job: Mapping[str, Any] = field(default_factory=dict)
    code: MadeBy | None = None
    committed: Path | None = None


def states(sweep: SweepFolder) -> dict[str, CellState]:
    """{signature: its state} of all cells, in their order."""
    found = {cell.signature: state_of(sweep, cell) for cell in sweep.cells}
    lost = losers(found.values())
    coming = set(sweep.pool.get("waiting", ())) if pool_lives(sweep) else set()
    blocked = {}
    for signature, one in found.items():
        cell = one.cell
        if one.state in UNBEGUN and cell.group in lost and not cell.first:
            found[signature] = replace(one, state="screened_out", reason="others were better at the first rate")
        elif one.state in UNBEGUN and (blocker := _blocker(found, cell, coming)):
            parent = found[cell.parent or ""]
            shown = parent.state if parent is blocker else "blocked"
            blocked[signature] = replace(
                one, state="blocked", reason=f"it starts from {parent.cell.label}, which is {shown}"
            )
    return found | blocked


def _blocker(found: Mapping[str, CellState], cell: Cell, coming: Collection[str] = ()) -> CellState | None:
    """What keeps a cell from beginning until a command says otherwise: of what it starts from, the first that ended.

    coming: what a pool is about to run.
    """
    while cell.parent is not None:
        parent = found[cell.parent]
        if parent.state not in UNBEGUN:
            ended = parent.state in (*TROUBLE, *INTERRUPTED) and cell.parent not in coming
            return parent if ended else None
        cell = parent.cell
    return None


def state_of(sweep: SweepFolder, cell: Cell) -> CellState:
    """One cell by itself, whatever becomes of those that it waits for."""
    run, attempt, job = sweep.run(cell), sweep.attempt(cell), sweep.job(cell)
    try:
        status = run.status
    except ConfigError as error:
        return CellState(cell, run.state, str(error), job=job)
    state, reason = _state(sweep, cell, status, attempt, job)
    if state in UNBEGUN and (damage := sweep.damage(cell)):
        state, reason = "unreadable", damage
    trained = state == "done" or (state == "waiting" and status.get("state") == "done")
    code = _code_state(sweep, status) if trained else None
    made_by = {"stale": STALE, "unknown": UNKNOWN_CODE}.get(code or "", "")
    committed = run.folder.parent if sweep.is_committed(cell) else None
    place = f"done in {committed}" if committed is not None else ""
    reason = "; ".join(filter(None, (reason, place, made_by, changes_text(status))))
    if state == "done" and code == "stale":  # one that is still to be evaluated is not finished
        state = "stale"
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
        job,
        code,
        committed,
    )


def _state(  # noqa: PLR0911 (one return per state)
    sweep: SweepFolder, cell: Cell, status: CellRecord, attempt: CellRecord, job: CellRecord
) -> tuple[str, str]:
    shown = shown_state(status, sweep.run(cell).files.status_file) if status else "waiting"
    said = str(status.get("reason") or "").strip()
    if shown == "done" and is_evaluated(sweep, cell):
        return shown, ""
    if shown == "done":
        shown, said = "waiting", "trained, and not yet evaluated as asked for"
    if queue := governing_queue(job, attempt):
        own = attempt if attempt.get("job") == job["job"] else {}
        return queue.state(sweep, cell, job, own, status if is_of(status, own) else {})
    if attempt and lives(attempt):
        at_work = status.get("state") in ("running", "done")  # done: it is evaluated
        return ("running" if is_of(status, attempt) and at_work else "starting"), ""
    if shown == "running":
        return shown, ""
    later = bool(status) and not is_of(status, attempt) and (status.get("started") or 0) > attempt.get("started", 0)
    if attempt and not later:
        state, reason = outcome(sweep, cell, attempt)
        if state != "done":  # else the run was removed since
            return _as_cancelled(sweep, cell, state), reason
    if sweep.cancelled(cell).exists():
        return "cancelled", "before it began"
    return shown, said


def is_evaluated(sweep: SweepFolder, cell: Cell) -> bool:
    """Whether there is the evaluation that a cell asks for, if it asks for one."""
    return cell.evaluation is None or sweep.run(cell).is_evaluated(cell.evaluation)


def is_held(sweep: SweepFolder, cell: Cell) -> bool:
    """Whether a process has the cell's run now, for its training or another evaluation; one that is stopped, too."""
    run = sweep.run(cell)
    return run.state == "running" or run_is_held(run.files)


def is_done(sweep: SweepFolder, cell: Cell) -> bool:
    """Whether a cell has all that it asks for."""
    return sweep.run(cell).state == "done" and is_evaluated(sweep, cell)


def governing_queue(job: CellRecord, attempt: CellRecord) -> JobQueue | None:
    """The queue whose job has the cell; None where it has none, or was started otherwise since."""
    later = attempt.get("job") != job.get("job") and attempt.get("started", 0) > job.get("submitted", 0)
    return None if later else queue_of(job)


def _as_cancelled(sweep: SweepFolder, cell: Cell, state: str) -> str:
    return "cancelled" if state == "preempted" and sweep.cancelled(cell).exists() else state


def may_start(sweep: SweepFolder, cell: Cell, state: Callable[[Cell], str] | None = None) -> str | None:
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


def _code_state(sweep: SweepFolder, status: Mapping[str, Any]) -> MadeBy:
    """Of a sweep with a copy of the code, that copy is the code there is."""
    return code_state(status, root=sweep.copy)


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


def is_outdated(one: CellState) -> bool:
    """Whether a cell's training is done, and not known to be of the code that there is now."""
    return one.code in ("stale", "unknown")


def eta_s(sweep: SweepFolder, one: CellState) -> float | None:
    """Seconds until a running cell's last step, by the pace of its latest entries; its evaluation comes on top."""
    if one.state != "running" or one.step is None or not one.max_steps:
        return None
    seconds = seconds_per_step(sweep.run(one.cell))
    return None if seconds is None else max(0.0, (one.max_steps - one.step) * seconds)


def seconds_per_step(run: Run) -> float | None:
    """Wall-clock seconds per step over the latest logged entries of an attempt; None where too few were logged."""
    try:
        return logged(run.files.metrics_file).seconds_per_step(since=status_of(run).get("started") or 0.0)
    except (ValueError, OSError):
        return None


def exit_code(sweep: SweepFolder, cells: Iterable[Cell]) -> int:
    """0 where all of these are done, 1 where one failed, 75 where none did and one was stopped, or waits for such."""
    now = states(sweep)
    asked = (now[cell.signature] for cell in cells)
    found = {one.state if one.state != "blocked" else getattr(_blocker(now, one.cell), "state", "") for one in asked}
    if found & {*FAILURES}:
        return exit_codes.FAILED
    return exit_codes.DONE if found <= {*FINISHED, ""} else exit_codes.PREEMPTED


def count_text(found: Iterable[CellState]) -> str:
    """How many cells are in which state."""
    names = [one.state for one in found]
    return ", ".join(f"{names.count(name)} {name}" for name in dict.fromkeys(names))


def at_work(sweep: SweepFolder) -> bool:
    """Whether anything of the sweep runs, or is about to."""
    return pool_lives(sweep) or any(one.state in ACTIVE for one in states(sweep).values())


def logs_of(sweep: SweepFolder, cell: Cell) -> list[Path]:
    """Where a cell's processes, and the job that had it last, write what they say."""
    job = sweep.job(cell)
    queue = queue_of(job)
    return [sweep.log(cell), *(queue.logs(sweep, job["job"]) if queue else [])]


def pool_lives(sweep: SweepFolder) -> bool:
    """Whether a pool is at work on the sweep; on another machine: whether its heartbeat is fresh."""
    pool = sweep.pool
    return bool(pool) and not pool.get("ended") and shows_life(pool, sweep.pool_file, after_s=POOL_SILENT_S)


POOL_SILENT_S = 60.0
