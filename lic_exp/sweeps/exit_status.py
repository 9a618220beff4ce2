"""How a cell's process ended, in one word and one line, from its exit code and what it left behind."""

import re
import signal
from pathlib import Path
from typing import Any

from lic_exp import exit_codes
from lic_exp.config.errors import ConfigError
from lic_exp.runs.run import Run
from lic_exp.sweeps.folder import Cell, CellRecord, SweepFolder

ASKED = ("time_limit", "cancelled", "preempted")
"""Why a cell was asked to stop; the state it then has."""

MEMORY = re.compile(
    r"MemoryError|out ?of ?memory|can't allocate memory|cannot allocate memory|std::bad_alloc|"
    r"not enough memory|CUBLAS_STATUS_ALLOC_FAILED|unable to mmap|"
    r"exceeded (job |step )?memory limit|oom[-_]kill",
    re.IGNORECASE,
)
MEMORY_ADVICE = "lower data.batch_size, split the batch with trainer.accumulate, or run fewer cells at a time"

LIBRARY = re.compile(r"static TLS|failed to map segment|cannot apply additional memory protection", re.IGNORECASE)
"""What the loader says of a library that it could not map, be it for want of memory: no batch is there yet."""

LIBRARY_ADVICE = (
    "a library could not be loaded, which no smaller batch mends: raise or drop hydra.launcher.memory_gb where it is "
    "given; for static TLS have that library loaded first, by LD_PRELOAD"
)
LOG_END_BYTES = 20_000


def outcome(
    sweep: SweepFolder, cell: Cell, attempt: CellRecord, exit_code: int | None = None, *, kernel_killed: bool = False
) -> tuple[str, str]:
    """(state, reason) of an attempt whose process is gone; as it was recorded, where it was."""
    if "state" in attempt:
        return attempt["state"], attempt["reason"]
    exit_code = exit_of(sweep, cell, attempt, exit_code)
    status = status_of(sweep.run(cell))
    asked = "cancelled" if sweep.cancelled(cell).exists() else attempt.get("asked")
    log = end_of(sweep.log(cell), attempt.get("log_begin", 0))
    return diagnose(exit_code, asked, status if is_of(status, attempt) else {}, log, kernel_killed=kernel_killed)


def exit_of(sweep: SweepFolder, cell: Cell, attempt: CellRecord, exit_code: int | None) -> int | None:
    """An attempt's exit code: its own word, where it came so far, since something may kill it on its way out.

    exit_code: as whoever started it saw it, None where nobody did.
    """
    ended = sweep.exit_of(cell)
    own = ended.get("exit_code") if ended.get("pid") == attempt.get("pid") else None
    return own if own is not None and (exit_code is None or exit_code < 0) else exit_code


def is_of(status: CellRecord, attempt: CellRecord) -> bool:
    """Whether this attempt's process wrote the run's status, or has started the ranks of which the first did."""
    writers = [pid for pid in (status.get("pid"), status.get("starter")) if pid is not None]
    return attempt.get("pid") in writers and status.get("host") == attempt.get("host")


def status_of(run: Run) -> dict[str, Any]:
    """A run's status; {} where it has none, or one that is damaged, which must end no pool."""
    try:
        return run.status
    except ConfigError:
        return {}


def diagnose(
    exit_code: int | None, asked: str | None, status: CellRecord, log: str, *, kernel_killed: bool
) -> tuple[str, str]:
    """(state, reason) of an attempt that has ended.

    exit_code: negative for a signal; None where nobody saw it end. asked: one of ASKED, or None. status: status.json if
    the attempt wrote it, else {}. log: the end of what the process said. kernel_killed: whether the kernel killed
    something for memory meanwhile.
    """
    said = str(status.get("reason") or "").strip()
    last = said or _last_line(log)
    if exit_code == exit_codes.DONE or (exit_code is None and status.get("state") == "done"):
        return "done", ""
    if asked and exit_code in (exit_codes.PREEMPTED, -signal.SIGTERM, -signal.SIGKILL, None):
        killed = "; it did not stop in time and was killed" if exit_code == -signal.SIGKILL else ""
        return asked, f"{_WHY[asked]}{killed}; it goes on from its newest checkpoint"
    if is_of_memory(said) or (exit_code not in _ORDERLY and not said and is_of_memory(log)):
        return "out_of_memory", f"{_memory_line(last, log)}; {MEMORY_ADVICE}"
    if LIBRARY.search(last) and exit_code not in (*_ORDERLY, None):
        return "failed", f"{' '.join(last.split())}; {LIBRARY_ADVICE}"
    if exit_code is None or exit_code < 0:
        return _gone(exit_code, last, kernel_killed=kernel_killed)
    state, said_otherwise = {
        exit_codes.PREEMPTED: ("preempted", "asked to stop before its training began"),
        exit_codes.CONFIG: ("refused", _refusal(log)),
        exit_codes.DIVERGED: ("diverged", last),
    }.get(exit_code, ("failed", last or f"exit code {exit_code}"))
    return state, " ".join(said.split()) or said_otherwise


def is_of_memory(text: str) -> bool:
    """Whether a line tells of memory that ran out, and not of a library that could not be loaded."""
    return any(MEMORY.search(line) and not LIBRARY.search(line) for line in text.splitlines())


def _gone(exit_code: int | None, last: str, *, kernel_killed: bool) -> tuple[str, str]:
    """Of a process that ended by a signal, or unseen."""
    if exit_code is None:
        return "dead", "its process is gone, and nobody saw how it ended"
    if exit_code == -signal.SIGKILL and kernel_killed:
        return "out_of_memory", f"the kernel killed it for memory; {MEMORY_ADVICE}"
    if exit_code == -signal.SIGKILL:
        return "killed", f"killed by SIGKILL: by somebody, or by the kernel; if it was memory, {MEMORY_ADVICE}"
    known = {number.value: number.name for number in signal.Signals}
    name = known.get(-exit_code, f"signal {-exit_code}")
    return "killed", f"killed by {name}{f': {last}' if last else ''}"


_ORDERLY = (exit_codes.PREEMPTED, exit_codes.CONFIG, exit_codes.DIVERGED)

_WHY = {"time_limit": "it reached its time limit", "cancelled": "cancelled", "preempted": "it was asked to stop"}


def end_of(log: Path, begin: int = 0) -> str:
    """The end of a log, not what stood there before byte `begin`."""
    try:
        with open(log, "rb") as file:
            file.seek(max(begin, log.stat().st_size - LOG_END_BYTES))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def _last_line(log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def _memory_line(last: str, log: str) -> str:
    lines = [last, *(line.strip() for line in reversed(log.splitlines()))]
    return next((line for line in lines if is_of_memory(line)), last)


def _refusal(log: str) -> str:
    """The numbered messages of a refused config."""
    found = re.findall(r"^  \d+\. (.*)$", log, flags=re.MULTILINE)
    return " ".join(dict.fromkeys(found)) or _last_line(log)  # which each of several ranks may have said
