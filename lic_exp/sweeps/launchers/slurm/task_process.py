"""The process that a task of a job starts for its cell, whichever task it is."""

import ctypes
import signal
import subprocess
from collections.abc import Callable, Mapping
from types import FrameType

from lic_exp.sweeps.cell_process import cell_command, start_cell, thread_environment
from lic_exp.sweeps.folder import Cell, SweepFolder

WARNING, END = signal.SIGUSR2, signal.SIGTERM
PR_SET_PDEATHSIG = 1


def listen(hear: Callable[[int, FrameType | None], None]) -> None:
    """Have SLURM's signals heard, instead of being ended by them."""
    signal.signal(WARNING, hear)
    signal.signal(END, hear)
    signal.signal(signal.SIGCONT, signal.SIG_IGN)


def start_task(
    sweep: SweepFolder, cell: Cell, environment: Mapping[str, str], rank: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Start the cell's process, of one rank where there are several. rank: what tells it so in its environment."""
    told = {**environment, **_threads(environment), **rank}
    return start_cell(sweep, cell, cell_command(sweep.frozen(cell)), told, preexec_fn=_prepare_process)


def _threads(environment: Mapping[str, str]) -> dict[str, str]:
    """As many threads as the task has processors; where nobody said how many, the node's, divided among its tasks."""
    threads = environment.get("SLURM_CPUS_PER_TASK")
    if threads is None and int(environment.get("SLURM_NTASKS", "1")) > 1 and "SLURM_CPUS_ON_NODE" in environment:
        here = int(environment["SLURM_NTASKS"]) // int(environment.get("SLURM_JOB_NUM_NODES", "1"))
        threads = str(max(1, int(environment["SLURM_CPUS_ON_NODE"]) // max(1, here)))
    return thread_environment(threads) if threads else {}


def _prepare_process() -> None:
    """In the cell's process before it begins; safe, since the job's has one thread.

    Where its job's process is killed, it writes its checkpoint and ends. SLURM's warning also reaches it directly, and
    must not end it before it listens.
    """
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, END)
    signal.signal(WARNING, signal.SIG_IGN)
