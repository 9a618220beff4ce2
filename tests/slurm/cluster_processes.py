"""The processes of a test cluster: which they are, and how they end, even when whoever started them was killed.

A cluster's folder is the mark. Its daemons have their working directory in there, and SLURM tells each job the name of
its cluster, which is the folder's.

`python cluster_processes.py FOLDER` is the keeper: it waits until its standard input ends, which happens when the
starter closes it or dies in whatever way, then ends the cluster and removes the folder.
"""

import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

DAEMONS = {"munged", "mariadbd", "slurmdbd", "slurmctld", "slurmscriptd", "slurmd", "slurmstepd"}


def running() -> Iterator[tuple[int, str, int]]:
    """(pid, name, parent's pid) of every process; a dead one that nobody has collected is none."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            head, _, tail = (entry / "stat").read_text(errors="replace").rpartition(")")
        except OSError:
            continue
        state, parent, *_ = tail.split()
        if state not in "ZX":
            yield int(entry.name), head.partition("(")[2], int(parent)


def works_in(pid: int, folder: Path) -> bool:
    try:
        return Path(os.readlink(f"/proc/{pid}/cwd")).is_relative_to(folder)
    except OSError:
        return False


def is_job(pid: int, cluster: str, node: str) -> bool:
    """Whether SLURM gave this process its environment, on this node or, if that is "", on any."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
    on_node = f"SLURMD_NODENAME={node}".encode()
    return f"SLURM_CLUSTER_NAME={cluster}".encode() in environment and any(
        entry == on_node if node else entry.startswith(on_node) for entry in environment
    )


def belonging(folder: Path, node: str = "") -> list[int]:
    """The daemons of the cluster (or of its node), then its jobs and all that these started."""
    table = list(running())
    place = folder / node
    daemons = [pid for pid, name, _ in table if name in DAEMONS and works_in(pid, place)]
    found = {*daemons, *(pid for pid, _, _ in table if is_job(pid, folder.name, node))}
    while more := {pid for pid, _, parent in table if parent in found} - found:
        found |= more
    return daemons + sorted(found - set(daemons))


def end(folder: Path, node: str = "", seconds: float = 20) -> None:
    """SIGKILL what belongs to the cluster (or to its node) until nothing is left.

    Nothing is asked to stop by itself: the cluster keeps nothing that is worth saving, and slurmctld takes seconds.
    Daemons go first, so that none lives to report how a job died.
    """
    deadline = time.monotonic() + seconds
    while found := belonging(folder, node):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{folder}: still running {seconds:g} s after SIGKILL: {found}")
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def keep(folder: Path) -> None:
    sys.stdin.buffer.read()
    end(folder)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
