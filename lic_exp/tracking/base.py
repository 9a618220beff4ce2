"""The tracker contract and the writer of the truth."""

import time
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from lic_exp.tracking.run_folder import RunFolder, encode_metrics


class Tracker(Protocol):
    """A projection of a run folder into a tracking store.

    It follows `metrics.jsonl` and is never in the way of training: `start` and `poke` return at once, a store that
    is away or locked is no error of the run, and what could not be sent is sent by a later `finish` or sync.
    """

    def start(self) -> None:
        """Begin to follow the run folder."""

    def poke(self) -> None:
        """Something was written; send it when it suits."""

    def finish(self, state: str) -> None:
        """Send what is left, artifacts included, within a bounded time; `state` is the run's final state."""


class MetricsWriter:
    """Appends to `metrics.jsonl`, the truth: {"step", "epoch", "time" [Unix s], metric name: value, ...} per line."""

    def __init__(self, run: RunFolder) -> None:
        self._file = open(run.metrics_file, "a", buffering=1)  # noqa: SIM115 (closed by close)

    def write(self, metrics: dict[str, float], *, step: int, epoch: int) -> None:
        entry: dict[str, Any] = {"step": step, "epoch": epoch, "time": time.time()} | metrics
        self._file.write(encode_metrics(entry))

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
