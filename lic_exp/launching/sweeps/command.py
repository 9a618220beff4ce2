"""`python launch.py -m ...`: make the sweep, then plan it, run it, follow it, or leave it in the background."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from lic_exp.atomic import write_atomically
from lic_exp.launching import exit_codes
from lic_exp.launching.errors import ConfigError
from lic_exp.launching.signals import StopRequest
from lic_exp.launching.sweeps.folder import Cell, Sweep
from lic_exp.launching.sweeps.launchers import Launcher, run_cells
from lic_exp.launching.sweeps.options import Local, slots
from lic_exp.launching.sweeps.pool import Pool, python_path
from lic_exp.launching.sweeps.processes import lives
from lic_exp.launching.sweeps.states import ACTIVE, FINISHED, INTERRUPTED, TROUBLE, UNBEGUN, pool_lives, states

DETACH_TIMEOUT_S = 60


def say(text: str) -> None:
    """A line for people; what is in it is data, so that a newline in a value begins no line."""
    print(text.replace("\n", "\\n").replace("\r", "\\r"), file=sys.stderr, flush=True)


def run_sweep(sweep: Sweep, options: Launcher, wanted: Sequence[Cell] | None = None) -> int:
    """Run what is not done yet, or the `wanted` cells, wherever the options say. Returns the exit code."""
    now = states(sweep)
    chosen = list(sweep.cells if wanted is None else wanted)
    asked = [cell for cell in chosen if now[cell.signature].state not in FINISHED] if wanted is None else chosen
    if stale := sum(one.state == "stale" for one in now.values()):
        say(
            f"sweep {sweep.name}: {stale} cells are stale: made by other code than there is now, and kept. "
            f"python -m lic_exp retry --stale {sweep.name} --runs {sweep.runs} makes them anew"
        )
    if not asked:
        say(f"sweep {sweep.name}: all {len(sweep.cells)} cells are done; nothing was started.")
        return exit_code(sweep, chosen)
    for cell in asked:
        sweep.cancelled(cell).unlink(missing_ok=True)
    return run_cells(sweep, options, asked)


def run_in_pool(sweep: Sweep, options: Local, cells: Sequence[Cell]) -> int:
    """Run these cells on this machine, here or in the background. Returns the exit code."""
    slots(options)
    return (_in_background if options.detach else _here)(sweep, options, cells)


def _here(sweep: Sweep, options: Local, asked: Sequence[Cell]) -> int:
    begun = time.time()
    try:
        with StopRequest() as stop, _turn(sweep, stop) as ours:
            if ours:
                left = [cell for cell in asked if not _settled_since(sweep, cell, begun)]
                say(f"sweep {sweep.name}: {len(asked)} of {len(sweep.cells)} cells to run")
                Pool(sweep, left, options, stop, say).run()
            code = exit_codes.PREEMPTED if stop() else exit_code(sweep, asked)
    except KeyboardInterrupt:
        say("left at once; the cells go on stopping by themselves")
        return exit_codes.INTERRUPTED
    counts = count_text(sweep)
    say(f"sweep {sweep.name}: {counts}. Table: python -m lic_exp status {sweep.name} --runs {sweep.runs}")
    return code


def _settled_since(sweep: Sweep, cell: Cell, begun: float) -> bool:
    """Whether a pool that this command followed has brought the cell to an end, good or bad."""
    return sweep.run(cell).state == "done" or float(sweep.attempt(cell).get("ended") or 0.0) > begun


@contextlib.contextmanager
def _turn(sweep: Sweep, stop: StopRequest) -> Iterator[bool]:
    """One pool per sweep: yields whether it is ours to run, after following another that is at work."""
    lock = FileLock(sweep.folder / ".lock")
    following = False
    while True:
        try:
            lock.acquire(timeout=0)
            break
        except Timeout:
            if not following:
                pool = sweep.pool
                say(
                    f"sweep {sweep.name} is run by process {pool.get('pid')} on {pool.get('host')}: following it. "
                    f"Ctrl-C leaves it running; python -m lic_exp cancel {sweep.name} stops it"
                )
            following = True
            time.sleep(0.2)
        if stop():
            yield False
            return
    try:
        yield True
    finally:
        lock.release()


def _in_background(sweep: Sweep, options: Local, asked: Sequence[Cell]) -> int:
    """Start a pool that needs neither this process nor its terminal, and return once it is at work."""
    if pool_lives(sweep):
        say(f"sweep {sweep.name} is run by process {sweep.pool['pid']} already")
        return exit_codes.DONE
    request = {"options": options.model_dump() | {"detach": False}, "cells": [cell.signature for cell in asked]}
    write_atomically(sweep.folder / "request.json", json.dumps(request, indent=1) + "\n")
    here = Path(__file__).parents[3]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(here), *python_path(sweep)])}
    with open(sweep.folder / "pool.log", "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "lic_exp.launching.sweeps.command", str(sweep.folder)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
        )
    deadline = time.monotonic() + DETACH_TIMEOUT_S
    while process.poll() is None and not lives(sweep.pool) and time.monotonic() < deadline:
        time.sleep(0.05)
    if process.returncode:
        raise ConfigError([f"the pool ended at once: {sweep.folder / 'pool.log'} says why"])
    say(
        f"sweep {sweep.name}: {len(asked)} of {len(sweep.cells)} cells, run by process {process.pid} in the "
        f"background. python -m lic_exp status|logs|wait|cancel {sweep.name} --runs {sweep.runs}"
    )
    process.returncode = 0  # it is not ours to wait for, and Python would warn that it still runs
    return exit_codes.DONE


def exit_code(sweep: Sweep, cells: Sequence[Cell]) -> int:
    """0 where all of these are done, 1 where one failed or cannot start, 75 where one was stopped."""
    now = states(sweep)
    found = {now[cell.signature].state for cell in cells}
    if found & {*TROUBLE, "blocked"}:
        return exit_codes.FAILED
    return exit_codes.PREEMPTED if found & {*INTERRUPTED, *UNBEGUN, *ACTIVE} else exit_codes.DONE


def count_text(sweep: Sweep) -> str:
    """How many cells are in which state."""
    found = [one.state for one in states(sweep).values()]
    return ", ".join(f"{found.count(state)} {state}" for state in dict.fromkeys(found))


def main() -> int:
    """The pool in the background: `python -m lic_exp.launching.sweeps.command FOLDER`."""
    sweep = Sweep(sys.argv[1])
    request = json.loads((sweep.folder / "request.json").read_text(encoding="utf-8"))
    cells = [cell for cell in sweep.cells if cell.signature in request["cells"]]
    return _here(sweep, Local.model_validate(request["options"]), cells)


if __name__ == "__main__":
    sys.exit(main())
