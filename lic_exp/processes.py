"""Processes that outlive whoever started them: told apart by pid and start time, since a pid is used again."""

import os
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any


def identity(pid: int) -> dict[str, Any]:
    """What finds this process again: host, pid, and when it began, in the kernel's ticks."""
    return {"host": socket.gethostname(), "pid": pid, "ticks": _ticks(pid)}


def is_here(record: Mapping[str, Any]) -> bool:
    """Whether the process of an `identity` would run on this machine."""
    return record.get("host") == socket.gethostname()


def is_own(record: Mapping[str, Any]) -> bool:
    """Whether an `identity` is that of the process that asks."""
    return is_here(record) and record.get("pid") == os.getpid()


def lives(record: Mapping[str, Any]) -> bool:
    """Whether the process of an `identity` runs, on this machine; a zombie does not."""
    pid = int(record.get("pid", 0))
    if not is_here(record) or pid <= 0:
        return False
    ticks = _ticks(pid)
    if ticks is None:  # gone, or a system without /proc
        return record.get("ticks") is None and _exists(pid)
    return ticks == record.get("ticks")


def ask_to_stop(record: Mapping[str, Any]) -> None:
    """SIGTERM to the process alone: a run writes its checkpoint and ends its workers by itself."""
    if lives(record):
        with suppress(ProcessLookupError):
            os.kill(int(record["pid"]), signal.SIGTERM)


def kill(record: Mapping[str, Any]) -> None:
    """SIGKILL to the process and to what is left of its group; it leads its own."""
    with suppress(ProcessLookupError, PermissionError):
        if lives(record):
            os.killpg(int(record["pid"]), signal.SIGKILL)


def kill_group(leader: int) -> None:
    """SIGKILL to what a process that is gone left behind in its group, such as data loaders."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def usable_cores(system: Path = Path("/")) -> int:
    """The CPU cores that this process may use: those that it may run on, or the share of them that its group gets.

    system: the root of the files in which the kernel tells that share.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([allowed, *_core_limits(system)]))


def _core_limits(system: Path) -> Iterator[int]:
    """What this process's control group gets, and those that it lies in: cores, part of one counted as one."""
    try:
        groups = [line.split(":", 2) for line in Path(system, "proc/self/cgroup").read_text().splitlines()]
    except OSError:  # a system without groups
        return
    for _, controllers, group in groups:
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = Path(system, "sys/fs/cgroup", *(["cpu"] if controllers else []))
        own = top / group.lstrip("/")
        for folder in (own, *(parent for parent in own.parents if parent.is_relative_to(top))):
            with suppress(OSError, ValueError):
                quota, period = _quota(folder, unified=not controllers)
                if quota > 0 and period > 0:
                    yield -(-quota // period)


def _quota(folder: Path, *, unified: bool) -> tuple[int, int]:
    """Microseconds of processor time that a group gets in each so many. Raises ValueError where there is no limit."""
    if unified:
        quota, period = (folder / "cpu.max").read_text().split()
        return int(quota), int(period)
    return int((folder / "cpu.cfs_quota_us").read_text()), int((folder / "cpu.cfs_period_us").read_text())


def out_of_memory_kills() -> int | None:
    """How often the kernel has killed for memory in this process's control group; None where it does not say."""
    with suppress(OSError, ValueError):
        group = Path("/proc/self/cgroup").read_text().strip().splitlines()[-1].rpartition(":")[2]
        for folder in (f"/sys/fs/cgroup{group}", "/sys/fs/cgroup"):
            with suppress(OSError):
                lines = Path(folder, "memory.events").read_text().splitlines()
                return next(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
    return None


def _ticks(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the name before it may hold anything
    return None if fields[0] in ("Z", "X") else int(fields[19])


def _own_beginning() -> float:
    ticks = _ticks(os.getpid())
    if ticks is None:  # a system without /proc
        return time.time()
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK")


PROCESS_BEGAN = _own_beginning()
"""When this process began [Unix s]; where the kernel does not tell, when this module was imported."""


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not Path("/proc").is_dir()
