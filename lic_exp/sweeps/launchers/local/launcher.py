"""The launcher that `hydra/launcher=local` names: runs a pool here, follows one, or leaves one in the background."""

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from lic_exp import exit_codes
from lic_exp.atomic import write_atomically
from lic_exp.config.errors import ConfigError
from lic_exp.json_text import json_text
from lic_exp.places import PACKAGE
from lic_exp.processes import lives
from lic_exp.records import RecordError, read_record
from lic_exp.runs.signals import StopRequest
from lic_exp.saying import say
from lic_exp.sweeps.cell_config import processes_of
from lic_exp.sweeps.cell_process import lic_exp_command, python_path
from lic_exp.sweeps.control import tell_end
from lic_exp.sweeps.folder import Cell, CellRecord, SweepFolder
from lic_exp.sweeps.kinds import PoolTask
from lic_exp.sweeps.launcher import Launcher, Probe, launcher_options
from lic_exp.sweeps.launchers.local.options import LocalOptions, slots
from lic_exp.sweeps.launchers.local.pool import Pool
from lic_exp.sweeps.states import exit_code, is_done, pool_lives

DETACH_TIMEOUT_S = 60


class LocalLauncher(Launcher[LocalOptions]):
    """Cells as processes of this machine, so many at a time."""

    options = LocalOptions

    def run(self, sweep: SweepFolder, options: LocalOptions, cells: Sequence[Cell]) -> int:
        slots(options, _devices(sweep))  # refused here, not in the background
        return (_in_background if options.detach else _in_pool)(sweep, options, cells)

    def slots(self, options: LocalOptions, devices: int = 1) -> int | None:
        return None if options.detach else len(slots(options, devices))

    def probe(self, options: LocalOptions) -> Probe | None:
        return None if options.probe_steps is None else Probe(options.probe_steps, options.memory_gb)


LAUNCHER = LocalLauncher()


def _devices(sweep: SweepFolder) -> int:
    """The most that a cell has. Raises ConfigError where one asks for several machines."""
    asked = processes_of(sweep, sweep.cells)
    for cell in sweep.cells:
        if (nodes := asked[cell.signature].nodes) > 1:
            raise ConfigError(
                [
                    f"hydra/launcher=local: cell {cell.label} has trainer.nodes={nodes}, and this pool is of one "
                    "machine: choose hydra/launcher=slurm, or trainer.nodes=1"
                ]
            )
    return max((one.devices for one in asked.values()), default=1)


def run_pool(folder: str | Path) -> int:
    """The pool in the background, as its request beside the sweep's manifest has it. Returns the exit code."""
    sweep = SweepFolder(folder)
    try:
        request = read_record(sweep.folder / "request.json", PoolTask)
    except (FileNotFoundError, RecordError) as error:
        raise ConfigError([str(error)]) from error
    cells = [cell for cell in sweep.cells if cell.signature in request["cells"]]
    options = launcher_options(LocalOptions.kind, request["options"])
    assert isinstance(options, LocalOptions)
    return _in_pool(sweep, options, cells)


def _in_pool(sweep: SweepFolder, options: LocalOptions, asked: Sequence[Cell]) -> int:
    before = {cell.signature: sweep.attempt(cell) for cell in asked}
    try:
        with StopRequest() as stop, _turn(sweep, stop) as ours:
            if ours:
                left = [cell for cell in asked if not _settled_since(sweep, cell, before[cell.signature])]
                say(f"sweep {sweep.name}: {len(asked)} of {len(sweep.cells)} cells to run")
                Pool(sweep, left, options, stop, say).run()
            code = exit_codes.PREEMPTED if stop() else exit_code(sweep, asked)
    except KeyboardInterrupt:
        say("left at once; the cells go on stopping by themselves")
        return exit_codes.INTERRUPTED
    tell_end(sweep)
    return code


def _settled_since(sweep: SweepFolder, cell: Cell, before: CellRecord) -> bool:
    """Whether a pool that this command followed has brought the cell to an end, good or bad.

    before: the record of its attempt when the command began; a pool on another machine may have another clock.
    """
    return is_done(sweep, cell) or ("ended" in (now := sweep.attempt(cell)) and now != before)


@contextlib.contextmanager
def _turn(sweep: SweepFolder, stop: StopRequest) -> Iterator[bool]:
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


def _in_background(sweep: SweepFolder, options: LocalOptions, asked: Sequence[Cell]) -> int:
    """Start a pool that needs neither this process nor its terminal, and return once it is at work."""
    if pool_lives(sweep):
        say(f"sweep {sweep.name} is run by process {sweep.pool['pid']} already")
        return exit_codes.DONE
    request = {"options": options.model_dump() | {"detach": False}, "cells": [cell.signature for cell in asked]}
    write_atomically(sweep.folder / "request.json", json_text(request, indent=1) + "\n")
    path = os.pathsep.join([str(PACKAGE.parent), *python_path(sweep)])
    with open(sweep.folder / "pool.log", "ab") as log:
        process = subprocess.Popen(
            [*lic_exp_command("pool"), str(sweep.folder)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=os.environ | {"PYTHONPATH": path},
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
