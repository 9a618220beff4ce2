"""From the cells of a sweep to arrays of SLURM jobs, through submitit.

A job gets one function and the path of the cell's frozen file. What is submitted is written down twice: before, as an
intent with the name that its jobs will bear, and afterwards, as the number of each cell's job. Whoever comes after a
submitter that was killed in between finds the jobs by their name.
"""

import json
import os
import re
import secrets
import shlex
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from lic_exp.atomic import write_atomically
from lic_exp.launching.errors import ConfigError
from lic_exp.launching.overrides import parsed
from lic_exp.launching.slurm.job import work
from lic_exp.launching.slurm.options import Slurm, plain_text
from lic_exp.launching.slurm.queue import QUEUE, SlurmError, ask
from lic_exp.launching.sweeps.folder import Cell, Sweep
from lic_exp.launching.sweeps.pool import python_path
from lic_exp.launching.sweeps.states import ACTIVE, FINISHED, states
from lic_exp.tracking.mlflow_store import flatten

# sbatch's names where they are not those of the options.
NAMES = {"timeout_min": "time", "tasks_per_node": "ntasks_per_node", "mem_gb": "mem"}

Request = Mapping[str, Any]


@dataclass(frozen=True)
class Batch:
    """Cells that are submitted at once. after: what SLURM must wait for, in its words, or nothing."""

    cells: Sequence[Cell]
    request: Request
    after: str = ""


def submit(sweep: Sweep, options: Slurm, asked: Sequence[Cell]) -> list[str]:
    """Submit those of the cells that neither wait nor run already. Returns the numbers of the arrays and jobs.

    Raises ConfigError with sbatch's own words where it refuses one of them; nothing is left submitted then.
    """
    with _turn(sweep):
        adopt(sweep)
        now = states(sweep)
        left = [cell for cell in asked if now[cell.signature].state not in (*ACTIVE, *FINISHED)]
        return list(_Submission(sweep, options, len(left)).run(left)) if left else []


@contextmanager
def _turn(sweep: Sweep) -> Iterator[None]:
    """One submitter of a sweep at a time, and no local pool meanwhile."""
    try:
        with FileLock(sweep.folder / ".lock", timeout=60):
            yield
    except Timeout:
        pool = sweep.pool
        raise ConfigError(
            [f"sweep {sweep.name} is run by process {pool.get('pid')} on {pool.get('host')}: wait for it or cancel it"]
        ) from None


def adopt(sweep: Sweep) -> None:
    """Write down the jobs of a submitter that was killed before it could."""
    intents = list(intent_folder(sweep).glob("*.intent"))
    jobs = QUEUE.jobs(since=time.time()) if intents else {}
    if jobs is None:
        raise ConfigError([f"SLURM cannot be asked: {QUEUE.trouble}"])
    for path in intents:
        intent = json.loads(path.read_text(encoding="utf-8"))
        for view in jobs.values():
            task = view.job.partition("_")[2]
            if view.name == intent["name"] and (task.isdigit() or len(intent["cells"]) == 1):
                cell = sweep.by_signature.get(intent["cells"][int(task or 0)])
                if cell is not None:
                    sweep.record_job(cell, {"job": view.job, "submitted": intent["submitted"]})
        path.unlink()


def intent_folder(sweep: Sweep) -> Path:
    """Where submitit keeps its files, too."""
    return sweep.folder / "slurm"


class _Submission:
    """One call of `submit`: what it has submitted so far, to be taken back together."""

    def __init__(self, sweep: Sweep, options: Slurm, count: int) -> None:
        self.sweep = sweep
        self.options = options
        self.folder = intent_folder(sweep)
        self.limited = count > options.array_parallelism
        self._jobs: list[str] = []

    def run(self, cells: Sequence[Cell]) -> Iterator[str]:
        """Parents before their children, whose jobs wait for theirs. Yields the numbers."""
        if re.search(r"[%\n\\]", str(self.folder)):
            raise ConfigError([f"paths.runs: SLURM cannot write its logs to {str(self.folder)!r}: no %, \\ or newline"])
        self.folder.mkdir(exist_ok=True)
        try:
            for level in levels(cells):
                for batch in self._batches(level):
                    yield self._submit(batch)
        except BaseException:
            self._take_back()
            raise

    def _batches(self, level: Sequence[Cell]) -> Iterator[Batch]:
        """Of cells that do not wait for each other: by what they ask for, as many as an array may have."""
        kinds: dict[tuple[str, str], list[Cell]] = {}
        for cell in level:
            described = _described(self.sweep, cell) if self.options.resources else ({}, {})
            request = json.dumps(self.options.request(*described), sort_keys=True)
            kinds.setdefault((self._dependency(cell), request), []).append(cell)
        most = largest_array()
        for (after, request), members in kinds.items():
            for begin in range(0, len(members), most):
                yield Batch(members[begin : begin + most], json.loads(request), after)

    def _dependency(self, cell: Cell) -> str:
        """What the cell's job waits for; a parent or a screening that is done already needs no waiting."""
        if cell.parent is not None:
            parent = self.sweep.by_signature[cell.parent]
            return f"afterok:{self.sweep.job(parent)['job']}" if self._is_open(parent) else ""
        return self._after_screening if cell.group is not None and not cell.first else ""

    @cached_property
    def _after_screening(self) -> str:
        """Asked for once the screening is submitted, since it comes first."""
        firsts = [one for one in self.sweep.cells if one.first and self._is_open(one)]
        arrays = dict.fromkeys(self.sweep.job(one)["job"].partition("_")[0] for one in firsts)
        return f"afterany:{':'.join(arrays)}" if arrays else ""

    def _is_open(self, cell: Cell) -> bool:
        return bool(self.sweep.job(cell)) and self.sweep.run(cell).state != "done"

    def _submit(self, batch: Batch) -> str:
        """One array, or one job for one cell. Returns its number."""
        after = batch.after
        if self.limited and self._jobs:
            # Arrays limit themselves, not each other.
            after = ",".join(filter(None, [after, f"afterany:{self._jobs[-1]}"]))
        submitted, name = time.time(), f"{self.sweep.name}.{secrets.token_hex(4)}"
        intent = self.folder / f"{name}.intent"
        content = {"name": name, "submitted": submitted, "cells": [cell.signature for cell in batch.cells]}
        write_atomically(intent, json.dumps(content) + "\n")
        executor = self._executor(name, batch.request, after)
        paths = [str(self.sweep.frozen(cell)) for cell in batch.cells]
        try:
            with outside_of_jobs():
                jobs = executor.map_array(work, paths)
        except Exception as error:  # submitit has several kinds for a refusal
            intent.unlink()
            raise ConfigError([f"SLURM refused {len(paths)} cells: {_words(error)}"]) from error
        self._jobs.append(jobs[0].job_id.partition("_")[0])
        for cell, job in zip(batch.cells, jobs, strict=True):
            self.sweep.record_job(cell, {"job": job.job_id, "submitted": submitted})
        intent.unlink()
        return self._jobs[-1]

    def _executor(self, name: str, request: Request, after: str) -> Any:
        import submitit

        executor = submitit.SlurmExecutor(self.folder, self.options.max_num_timeout)
        executor.update_parameters(**self._parameters(name, request, after))
        return executor

    def _parameters(self, name: str, request: Request, after: str) -> dict[str, Any]:
        """What submitit makes a batch script from."""
        given = {NAMES.get(key, key): value for key, value in request.items() if value is not None}
        if "mem" in given:
            given["mem"] = f"{round(1024 * given['mem'])}M"
        path = shlex.quote(os.pathsep.join(python_path(self.sweep)))
        paths = [f"export PYTHONPATH={path}${{PYTHONPATH:+:$PYTHONPATH}}", "export PYTHONSAFEPATH=1"]
        requeue = {"requeue" if self.options.requeue else "no-requeue": True, "kill-on-invalid-dep": "yes"}
        return given | {
            "job_name": name,
            "setup": [*given.pop("setup"), *paths],
            "array_parallelism": self.options.array_parallelism,
            "signal_delay_s": self.options.signal_delay_s,
            "dependency": after or None,
            "additional_parameters": requeue | given.pop("additional_parameters"),
        }

    def _take_back(self) -> None:
        """Cancel what this call has submitted, so that a refusal leaves nothing behind."""
        if not self._jobs:
            return
        for cell in self.sweep.cells:
            if self.sweep.job(cell).get("job", "").partition("_")[0] in self._jobs:
                self.sweep.forget_job(cell)
        try:
            ask(["scancel", *self._jobs])
        except SlurmError as error:
            print(f"jobs {', '.join(self._jobs)} could not be cancelled again: {error}", file=sys.stderr)


@contextmanager
def outside_of_jobs() -> Iterator[None]:
    """Without what a job's environment says of that job, which sbatch would take for wishes: for sweeps made in one."""
    hidden: dict[str, str] = {}
    if "SLURM_JOB_ID" in os.environ:
        hidden = {key: os.environ[key] for key in os.environ if key.startswith(OF_A_JOB) and key != "SLURM_CONF"}
    for key in hidden:
        del os.environ[key]
    try:
        yield
    finally:
        os.environ.update(hidden)


OF_A_JOB = ("SLURM_", "SLURMD_", "SRUN_", "SUBMITIT_")


def levels(cells: Iterable[Cell]) -> list[list[Cell]]:
    """Cells that wait for none of the others, then those that wait for these only, and so on; a screening first."""
    depth: dict[str, int] = {}
    found: dict[int, list[Cell]] = {}
    cells = list(cells)
    screening = any(cell.first for cell in cells)
    for cell in cells:  # in their order a chain's parents come first
        later = screening and cell.group is not None and not cell.first
        depth[cell.signature] = depth[cell.parent] + 1 if cell.parent in depth else int(later)
        found.setdefault(depth[cell.signature], []).append(cell)
    return [found[level] for level in sorted(found)]


def _described(sweep: Sweep, cell: Cell) -> tuple[dict[str, str], dict[str, str]]:
    """A cell's overrides and its whole config, flat."""
    frozen = json.loads(sweep.frozen(cell).read_text(encoding="utf-8"))
    overrides = (parsed(text) for text in frozen["given"])
    return {one.key_or_group: plain_text(one.value()) for one in overrides}, flatten(frozen["config"])


@cache
def largest_array() -> int:
    """How many jobs an array may have on this cluster. Raises ConfigError where SLURM does not say."""
    try:
        text = ask(["scontrol", "show", "config"])
    except SlurmError as error:
        raise ConfigError([f"hydra/launcher=slurm: {error}"]) from error
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", text, flags=re.MULTILINE)
    return max(1, int(found[1])) if found else 1000


def _words(error: Exception) -> str:
    """The command's own message, without what submitit wraps around it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = [line for line in lines if line.startswith(("sbatch:", "slurm"))]
    return " ".join(said or lines) or type(error).__name__
