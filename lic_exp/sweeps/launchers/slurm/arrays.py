"""One array of jobs: the file that says what it is, and its submission through submitit.

The file is written before the submission, and has the name that the jobs bear. A job finds its cell and its options
there, so that nothing has to happen after sbatch; and whoever comes after a submitter that was killed finds its jobs.
"""

import os
import re
import secrets
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from lic_exp.atomic import file_system_time, write_atomically
from lic_exp.config.errors import ConfigError
from lic_exp.json_text import json_text
from lic_exp.private_interfaces import slurm_executor
from lic_exp.records import RecordError, read_record
from lic_exp.saying import say
from lic_exp.sweeps.cell_process import python_path
from lic_exp.sweeps.folder import Cell, SweepFolder
from lic_exp.sweeps.kinds import ArrayRecord
from lic_exp.sweeps.launcher import launcher_options
from lic_exp.sweeps.launchers.slurm.options import SlurmOptions
from lic_exp.sweeps.launchers.slurm.queue import SlurmError, ask

# sbatch's names where they are not those of the options.
NAMES = {"timeout_min": "time", "tasks_per_node": "ntasks_per_node", "mem_gb": "mem"}


def array_folder(sweep: SweepFolder) -> Path:
    """Where arrays have their files, and submitit its logs."""
    return sweep.folder / "slurm"


def job_log(sweep: SweepFolder, job: str) -> Path:
    """What a job said outside of its cell, on its error stream; submitit names the file."""
    return array_folder(sweep) / f"{job}_0_log.err"


@dataclass(frozen=True)
class Array:
    """Cells that are submitted at once. after: what SLURM must wait for, in its words, or nothing."""

    sweep: SweepFolder
    cells: Sequence[Cell]
    request: Mapping[str, Any]
    options: SlurmOptions
    after: str = ""

    def submit(self) -> str:
        """Returns the number of the array, or of the job where it is of one cell.

        Raises ConfigError in sbatch's words; nothing is submitted then.
        """
        name = f"{self.sweep.name}.{secrets.token_hex(4)}"
        path = array_folder(self.sweep) / f"{name}.json"
        cells = [cell.signature for cell in self.cells]
        content = {"name": name, "made": time.time(), "cells": cells, "job": None}
        content["options"] = self.options.model_dump(exclude_unset=True)
        write_atomically(path, json_text(content) + "\n")
        try:
            with own_environment(self.request):
                jobs = _executor(path.parent, self._parameters(name), path).map_array(_never_called, cells)
        except Exception as error:  # submitit has several kinds for a refusal
            _withdraw(name, path)
            raise ConfigError([f"SLURM refused {len(cells)} cells: {_words(error)}"]) from error
        number: str = jobs[0].job_id.partition("_")[0]
        _record(self.sweep, path, {job.job_id: signature for job, signature in zip(jobs, cells, strict=True)})
        return number

    def _parameters(self, name: str) -> dict[str, Any]:
        """What submitit makes a batch script from."""
        given = {NAMES.get(key, key): value for key, value in self.request.items() if value is not None}
        if "mem" in given:
            given["mem"] = f"{round(1024 * given['mem'])}M"
        path = shlex.quote(os.pathsep.join(python_path(self.sweep)))
        setup = [
            f"export PYTHONPATH={path}${{PYTHONPATH:+:$PYTHONPATH}}",
            # srun does not take it over from sbatch since SLURM 22.05.
            '[ -z "${SLURM_CPUS_PER_TASK:-}" ] || export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK',
        ]
        fixed = {
            "requeue" if self.options.requeue else "no-requeue": True,
            "kill-on-invalid-dep": "yes",
            # The script itself is replaced by the job where there is no step to be warned.
            "signal": f"{'' if self.request['use_srun'] else 'B:'}USR2@{self.options.signal_delay_s}",
        }
        return given | {
            "job_name": name,
            "setup": [*given.pop("setup"), *setup],
            # A task that ends early must not end the others, which agree on their end.
            "srun_args": ["--wait=0", *given.pop("srun_args")],
            "array_parallelism": self.options.array_parallelism,
            "dependency": self.after or None,
            "additional_parameters": fixed | given.pop("additional_parameters"),
        }


def _executor(folder: Path, parameters: Mapping[str, Any], path: Path) -> Any:
    """Submitit's executor for jobs that need no pickle of their own."""

    def command(python: str) -> str:
        text = f"{python} -P -u -m lic_exp slurm-job {shlex.quote(str(path))}"
        return text if parameters["use_srun"] else f"exec {text}"

    executor = slurm_executor(folder, command)
    executor.update_parameters(**parameters)
    return executor


def _never_called(signature: str) -> None:
    """What submitit pickles for a job; the job's command is our own."""


def _withdraw(name: str, path: Path) -> None:
    """After an error that may hide a success: sbatch may have lost the answer only."""
    try:
        ask(["scancel", f"--name={name}"])
    except SlurmError as error:
        say(f"jobs named {name} may have been submitted, and could not be cancelled: {error}")
        return
    path.unlink()


def _record(sweep: SweepFolder, path: Path, jobs: Mapping[str, str]) -> None:
    """Write down which job has which cell, {number: signature}, and that it is written."""
    for number, signature in jobs.items():
        if signature in sweep.by_signature:
            sweep.record_job(sweep.by_signature[signature], job_record(number, time.time()))
    content = read_record(path, ArrayRecord)
    write_atomically(path, json_text(content | {"job": next(iter(jobs)).partition("_")[0]}) + "\n")


def job_record(number: str, submitted: float) -> dict[str, Any]:
    """As it lies beside a cell. submitted: [Unix s]."""
    return {"launcher": SlurmOptions.kind, "job": number, "submitted": submitted}


def task_of(path: Path, place: int) -> tuple[SweepFolder, Cell, SlurmOptions]:
    """The sweep, the cell and the options of a task of the array that the file describes. Raises ConfigError."""
    sweep = SweepFolder(path.parents[1])
    try:
        content = read_record(path, ArrayRecord)
    except (FileNotFoundError, RecordError) as error:
        raise ConfigError([str(error)]) from error
    cells = [sweep.by_signature.get(signature) for signature in content["cells"]]
    cell = cells[place] if place < len(cells) else None
    if cell is None:
        raise ConfigError([f"{path}: sweep {sweep.name} has no cell for task {place} of it"])
    options = launcher_options(SlurmOptions.kind, content["options"])
    assert isinstance(options, SlurmOptions)
    return sweep, cell, options


ORPHANED_AFTER_S = 60.0
"""So long an sbatch may be under way whose submitter was killed."""


def adopt(sweep: SweepFolder, names: Mapping[str, Sequence[str]]) -> None:
    """Write down the jobs of a submitter that was killed before it could. names: {name: numbers} of the jobs there are.

    Raises ConfigError where its sbatch may still be under way.
    """
    for path in array_folder(sweep).glob("*.json"):
        try:
            content = read_record(path, ArrayRecord)
        except (FileNotFoundError, RecordError) as error:
            say(f"{error}; if jobs of it were never written down, their cells will be submitted again")
            continue
        if content["job"] is not None:
            continue
        numbers = names.get(content["name"], ())
        if numbers:
            places = {number: int(number.partition("_")[2] or 0) for number in numbers}
            listed = content["cells"]
            _record(sweep, path, {number: listed[place] for number, place in places.items() if place < len(listed)})
        # By the clock that dates the file: the submitter's may be another than this machine's.
        elif abs(file_system_time(path.parent) - path.stat().st_mtime) < ORPHANED_AFTER_S:
            raise ConfigError(
                [f"sweep {sweep.name} was being submitted a moment ago: give the command again in a minute"]
            )
        else:
            path.unlink()


@contextmanager
def own_environment(request: Mapping[str, Any]) -> Iterator[None]:
    """Without what sbatch would take for wishes: of a job that the sweep is made in, and where the options have said.

    A default of the user's own, such as SBATCH_ACCOUNT, counts where the options leave the choice.
    """
    inside = "SLURM_JOB_ID" in os.environ
    left = {"SBATCH_RESERVATION", "SBATCH_CLUSTERS"}
    left |= {f"SBATCH_{key.upper()}" for key in DEFAULTS if request[key] is None}
    hidden = {
        key: value
        for key, value in os.environ.items()
        if (key.startswith("SBATCH_") and key not in left)
        or (inside and key.startswith(OF_A_JOB) and key != "SLURM_CONF")
    }
    for key in hidden:
        del os.environ[key]
    try:
        yield
    finally:
        os.environ.update(hidden)


DEFAULTS = ("account", "partition", "qos", "constraint")
OF_A_JOB = ("SLURM_", "SLURMD_", "SRUN_", "SUBMITIT_")


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
