"""The tracker contract and the writer of the truth."""

import hashlib
import logging
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self

from filelock import FileLock, Timeout

from lic_exp.atomic import write_atomically
from lic_exp.fault_points import reached
from lic_exp.tracking import names
from lic_exp.tracking.run_folder import RunFolder, decode_metrics, encode_metrics

_log = logging.getLogger("lic_exp.tracking")

NOT_METRICS = ("step", "epoch", "time")
FINAL_STATES = ("done", "failed", "diverged", "preempted")


class Tracker(Protocol):
    """Projections of a run folder into one or several tracking stores.

    They follow `metrics.jsonl` and are never in the way of training: `start` and `poke` return at once, a store that
    is away or locked is no error of the run, and what could not be sent is sent by a later `finish` or sync.
    """

    def start(self) -> None:
        """Begin to follow the run folder."""

    def poke(self) -> None:
        """Something was written; send it when it suits."""

    def finish(self, state: str) -> None:
        """Send what is left, artifacts included, within a bounded time; `state` is the run's final state."""


class Projection(Protocol):
    """One run folder in one opened store. After an error it is of no use any more: close it and open another.

    Opening another, after a crash, a resume or on another machine, must complete what the store lacks and send
    nothing twice.
    """

    def send_metrics(self) -> int:
        """Send what was logged since the last call and is not in the store; how many points that was."""

    def send_state(self, state: str) -> None:
        """Show the run's state; with one of FINAL_STATES comes whatever else the store keeps."""

    def close(self) -> None:
        """Let go of the store; everything sent is in it then, or an error says that it is not."""


class BusyError(RuntimeError):
    """Another process, or another thread of this one, is sending this run to this store."""


@contextmanager
def claim(run: RunFolder, store: str) -> Iterator[None]:
    """Be the only one who sends `run` to `store`, or raise BusyError: two would send the same points twice.

    The operating system releases it when its holder dies.
    """
    digest = hashlib.sha256(store.encode()).hexdigest()[:12]
    run.make(tracking_folder(run))
    lock = FileLock(tracking_folder(run) / f".{digest}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise BusyError(f"{store} is being sent run {run.signature} by somebody else") from None
    try:
        yield
    finally:
        lock.release()


def tracking_folder(run: RunFolder) -> Path:
    """Where a run remembers who it is in its stores."""
    return run.root / "tracking"


def forget(run: RunFolder) -> None:
    """Let the run be a new one in its stores, as it should where it begins again at its first step."""
    for record in tracking_folder(run).glob("*.json"):
        record.unlink()


def without_password(text: str) -> str:
    """`text` with `user:password@` cut out of any address in it."""
    return re.sub(r"//[^/@\s]+@", "//", text)


def metrics_of(entry: dict[str, Any]) -> dict[str, float]:
    """The numbers of a line of `metrics.jsonl`, without its step, epoch and time."""
    return {name: float(value) for name, value in entry.items() if name not in NOT_METRICS}


class MetricsWriter:
    """Appends to `metrics.jsonl`, the truth: {"step", "epoch", "time" [Unix s], metric name: value, ...} per line."""

    def __init__(self, run: RunFolder) -> None:
        self._path = run.metrics_file
        self._open()
        self._count(_entries_of(self._file.read())[0])

    def _count(self, entries: "list[_Entry]") -> None:
        self._entries, self._last_step = len(entries), entries[-1].step if entries else -1

    def _open(self) -> None:
        # Unbuffered: what a write has returned from survives this process, and a failed one is not tried twice.
        self._file = open(self._path, "a+b", buffering=0)  # noqa: SIM115 (closed by close)
        self._bytes = self._file.seek(0, os.SEEK_END)
        self._file.seek(0)

    def write(self, metrics: dict[str, float], *, step: int, epoch: int) -> None:
        entry: dict[str, Any] = {"step": step, "epoch": epoch, "time": time.time()} | metrics
        left = memoryview(encode_metrics(entry).encode())
        self._bytes += len(left)
        while left:
            left = left[self._file.write(left) :]
        reached("metrics.written")
        self._entries, self._last_step = self._entries + 1, step

    def position(self) -> dict[str, int]:
        """What is written so far, on the disk by now: bytes, entries, and the step of the last one, -1 for none."""
        self._keep_in_place()
        os.fsync(self._file.fileno())
        reached("metrics.durable")
        size = self._file.seek(0, os.SEEK_END)
        if size != self._bytes:
            self._file.seek(0)
            entries, damaged = _entries_of(self._file.read())
            _log.warning(
                "%s was changed while the run wrote to it: it has %d bytes instead of %d, %d entries instead of %d, "
                "and %d damaged lines. What is missing is lost; the training itself is not affected",
                *(self._path, size, self._bytes, len(entries), self._entries, damaged),
            )
            self._bytes = size
        return {"bytes": size, "entries": self._entries, "step": self._last_step}

    def rewind(self, position: dict[str, int] | int) -> str:
        """Drop what lies after a position: a resumed run writes it again. Returns what of it is lost, or "".

        Where the file is not what it was at that position, it is reduced to the entries that are whole and not later;
        one with lines that are no entries is kept beside it. A position of an earlier version is the bytes alone.
        """
        at = {"bytes": position, "entries": -1, "step": sys.maxsize} if isinstance(position, int) else position
        self._file.seek(0)
        content = self._file.read()
        before = content[: at["bytes"]]
        entries, damaged = _entries_of(before)
        complete = len(before) == at["bytes"] and before[-1:] in (b"", b"\n")
        as_it_was = at["entries"] in (-1, len(entries)) and all(entry.step <= at["step"] for entry in entries)
        if complete and as_it_was and not damaged:
            self._bytes = self._file.truncate(at["bytes"])
            lost = ""
        else:
            if not complete:  # other bytes than were counted, so the place says nothing, and the steps must
                entries, damaged = _entries_of(content)
            entries = [entry for entry in entries if entry.step <= at["step"] and not entry.marks_an_end]
            lost = self._reduce(entries, damaged, at)
        self._count(entries)
        return lost

    def _reduce(self, entries: "list[_Entry]", damaged: int, at: dict[str, int]) -> str:
        """Write these entries in place of the file; what to say of it."""
        kept_in = ""
        if damaged:
            former = self._path.with_name(f"{self._path.name}.damaged")
            os.replace(self._path, former)
            kept_in = f" The damaged file is kept as {former.name}."
        self.close()
        write_atomically(self._path, b"".join(entry.line for entry in entries))
        self._open()
        count = "" if at["entries"] == -1 else f" of {at['entries']}"
        steps = f", the last of step {entries[-1].step}" if entries else ""
        until = "" if at["entries"] == -1 else f" It should have reached step {at['step']}."
        return (
            f"{self._path} is not what it was when the checkpoint was written: it has {len(entries)}{count} entries"
            f"{steps}, and {damaged} damaged lines.{until} What is missing is lost; the training itself is not "
            f"affected.{kept_in}"
        )

    def _keep_in_place(self) -> None:
        """Put the file back where somebody deleted or replaced it while it was written to."""
        try:
            if os.path.samestat(os.stat(self._path), os.fstat(self._file.fileno())):
                return
            os.replace(self._path, self._path.with_name(f"{self._path.name}.replaced"))
        except FileNotFoundError:
            pass
        self._file.seek(0)
        content = self._file.read()
        self.close()
        write_atomically(self._path, content)
        self._open()
        _log.warning("%s was deleted or replaced while the run wrote to it, and is put back", self._path)

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Entry(NamedTuple):
    """A whole line of `metrics.jsonl`. marks_an_end: it says that the run diverged, after its last checkpoint."""

    step: int
    line: bytes
    marks_an_end: bool


def _entries_of(content: bytes) -> tuple[list[_Entry], int]:
    """The entries, and how many lines are none; an unfinished last line is neither."""
    entries, damaged = [], 0
    for line in content.split(b"\n")[:-1]:
        try:
            entry = decode_metrics(line)
            entries.append(_Entry(entry["step"], line + b"\n", names.TRAIN_DIVERGED in entry))
        except ValueError:
            damaged += 1
    return entries, damaged


def artifact_files(run: RunFolder) -> list[Path]:
    """What a store should keep beside the metrics: config, environment, log, evaluation tables and pictures."""
    folders = [path for folder in (run.eval, run.artifacts) for path in sorted(folder.rglob("*")) if path.is_file()]
    return [path for path in (run.config, run.environment, run.log) if path.exists()] + folders
