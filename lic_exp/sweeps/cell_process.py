"""The process of a cell, `python -m lic_exp cell FROZEN.json`: the same one, whoever starts it."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from lic_exp.processes import identity, kill_group
from lic_exp.sweeps.folder import Cell, CellRecord, SweepFolder

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def start_cell(
    sweep: SweepFolder, cell: Cell, command: Sequence[str], environment: Mapping[str, str], **process: Any
) -> subprocess.Popen[bytes]:
    """Start a cell's process; what it says goes to the end of the cell's log. process: more options of Popen."""
    with open(sweep.log(cell), "ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**environment, "PYTHONPATH": os.pathsep.join(python_path(sweep))},
            cwd=sweep.manifest.get("folder"),
            **process,
        )


def start_recorded(
    sweep: SweepFolder, cell: Cell, command: Sequence[str], environment: Mapping[str, str], known: CellRecord
) -> tuple[subprocess.Popen[bytes], dict[str, Any]]:
    """Start a cell's process, leader of a group of its own, and write down that it runs; the process and its record.

    known: what else the record holds. Raises OSError where it cannot be started or written down; then nothing of it
    runs, and the record, where there can be one, says why.
    """
    process = None
    try:
        sweep.exit_file(cell).unlink(missing_ok=True)
        process = start_cell(sweep, cell, command, environment, start_new_session=True)
        record = identity(process.pid) | {"started": time.time(), **known}
        sweep.record_attempt(cell, record)
    except OSError as error:
        if process is not None:
            kill_group(process.pid)
            process.wait()
        reason, now = f"its process could not be started: {error}", time.time()
        with suppress(OSError):
            failed = {"started": now, "ended": now, "exit_code": None, "state": "failed", "reason": reason}
            sweep.record_attempt(cell, failed)
        raise
    return process, record


def cell_command(frozen: Path, memory_gb: float | None = None) -> list[str]:
    """What starts a cell. memory_gb: its limit of address space; None: none."""
    limit = [] if memory_gb is None else ["--memory-gb", str(memory_gb)]
    return [*lic_exp_command("cell"), str(frozen), *limit]


def lic_exp_command(word: str) -> list[str]:
    """`python -m lic_exp WORD`. Without -P the folder it starts in could hide the sweep's own copy of the code."""
    return [sys.executable, "-P", "-m", "lic_exp", word]


def python_path(sweep: SweepFolder) -> list[str]:
    """Where a cell's process finds this package and the user's: the sweep's own copy first, where it has one."""
    copy = [str(sweep.copy)] if sweep.copy else []
    return [*copy, *sweep.manifest.get("path", ())]


def thread_environment(threads: int | str) -> dict[str, str]:
    """So many CPU threads for a cell, in the words of every library that counts them."""
    return dict.fromkeys(THREADS, str(threads))
