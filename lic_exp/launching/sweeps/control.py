"""Stopping, trying again, and waiting for the cells of a sweep, from any process that sees its folder."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from lic_exp.launching import exit_codes
from lic_exp.launching.slurm.queue import SlurmError, ask
from lic_exp.launching.sweeps.command import count_text, exit_code, run_sweep, say
from lic_exp.launching.sweeps.folder import Cell, Sweep
from lic_exp.launching.sweeps.launchers import options_of
from lic_exp.launching.sweeps.processes import ask_to_stop, is_here, lives
from lic_exp.launching.sweeps.states import (
    ACTIVE,
    FINISHED,
    INTERRUPTED,
    TROUBLE,
    governing_job,
    pool_lives,
    states,
)

LOOK_EVERY_S = 0.5


def cancel(sweep: Sweep, cells: Sequence[Cell]) -> list[str]:
    """Mark these cells, so that no pool starts them, and ask those that run to stop. Returns a line on each."""
    now = states(sweep)
    told, jobs = [], {}
    for cell in cells:
        state = now[cell.signature].state
        if state in FINISHED:
            continue
        sweep.cancelled(cell).touch()
        record = sweep.attempt(cell)
        if state in ACTIVE and (job := governing_job(sweep, cell, record)):
            jobs[job["job"]] = cell
            continue
        if state not in ACTIVE:
            told.append(f"{cell.label}: will not start")
        elif lives(record):
            ask_to_stop(record)
            told.append(f"{cell.label}: asked to stop; it writes its checkpoint first")
        elif record and not is_here(record) and pool_lives(sweep):
            told.append(f"{cell.label}: its pool on {sweep.pool.get('host')} is asked to stop it")
        else:
            told.append(f"{cell.label}: runs outside of this sweep, and goes on")
    told += cancel_jobs(jobs)
    return told or [f"sweep {sweep.name}: nothing is left to cancel"]


def cancel_jobs(jobs: Mapping[str, Cell]) -> list[str]:
    """Have SLURM end these jobs; it lets each write its checkpoint first. Returns a line on each."""
    names = list(jobs)
    told = []
    for begin in range(0, len(names), JOBS_AT_ONCE):
        some = names[begin : begin + JOBS_AT_ONCE]
        try:
            ask(["scancel", *some])
        except SlurmError as error:
            told += [f"{jobs[name].label}: {error}; it will not start again" for name in some]
        else:
            told += [f"{jobs[name].label}: job {name} is cancelled, after its checkpoint if it runs" for name in some]
    return told


JOBS_AT_ONCE = 500


def retry(sweep: Sweep, cells: Sequence[Cell], *, stale: bool = False, **changes: Any) -> int:
    """Run again what is in trouble or was stopped, and what waits for it. Returns the exit code.

    stale: also what other code has made, from nothing. changes: options of the launcher that are to be others.
    """
    now = states(sweep)
    again = [cell for cell in cells if now[cell.signature].state in (*TROUBLE, *INTERRUPTED)]
    options = options_of(sweep, changes) if again or stale else None
    if stale:
        outdated = [cell for cell in cells if now[cell.signature].state == "stale"]
        _remove(sweep, outdated)
        again += outdated
    chosen = {cell.signature for cell in again}
    for cell in sweep.cells:  # in their order a chain's parents come first
        if now[cell.signature].state == "blocked" and cell.parent in chosen:
            chosen.add(cell.signature)
            again.append(cell)
    if not again or options is None:
        say(f"sweep {sweep.name}: nothing to retry: {count_text(sweep)}")
        return exit_code(sweep, cells)
    return run_sweep(sweep, options, again)


def _remove(sweep: Sweep, cells: Sequence[Cell]) -> None:
    from lic_exp.launching.verbs_rm import check_removable, remove_run

    for cell in cells:
        check_removable(sweep.run(cell))
    for cell in cells:
        remove_run(sweep.run(cell).folder)
        say(f"{cell.label}: removed what other code had made")


def wait(sweep: Sweep, timeout_s: float | None = None) -> int:
    """Return once no pool and no cell of the sweep is at work. Returns its exit code, 75 after `timeout_s`."""
    begun = time.monotonic()
    while pool_lives(sweep) or any(one.state in ACTIVE for one in states(sweep).values()):
        if timeout_s is not None and time.monotonic() - begun > timeout_s:
            say(f"sweep {sweep.name}: not done yet: {count_text(sweep)}")
            return exit_codes.PREEMPTED
        time.sleep(LOOK_EVERY_S)
    say(f"sweep {sweep.name}: {count_text(sweep)}")
    return exit_code(sweep, sweep.cells)
