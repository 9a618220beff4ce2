"""The tracker contract and the writer of the truth."""

import hashlib
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from filelock import FileLock, Timeout

from lic_exp.tracking.run_folder import RunFolder, encode_metrics

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
        self._file = open(run.metrics_file, "a", buffering=1)  # noqa: SIM115 (closed by close)

    def write(self, metrics: dict[str, float], *, step: int, epoch: int) -> None:
        entry: dict[str, Any] = {"step": step, "epoch": epoch, "time": time.time()} | metrics
        self._file.write(encode_metrics(entry))

    def position(self) -> int:
        """Bytes written so far."""
        return self._file.tell()

    def rewind(self, position: int) -> None:
        """Drop what lies after `position`: a resumed run writes it again."""
        self._file.truncate(position)
        self._file.seek(position)

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def artifact_files(run: RunFolder) -> list[Path]:
    """What a store should keep beside the metrics: config, environment, log, evaluation tables and pictures."""
    folders = [path for folder in (run.eval, run.artifacts) for path in sorted(folder.rglob("*")) if path.is_file()]
    return [path for path in (run.config, run.environment, run.log) if path.exists()] + folders
