"""How far a run is by its `metrics.jsonl`, of which a process reads every byte once, however often it looks."""

import math
import os
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

from lic_exp.tracking import names
from lic_exp.tracking.jsonl_reader import LineReader
from lic_exp.tracking.run_folder import decode_metrics

LATEST = 40
"""How many entries a pace is told from."""


@dataclass(frozen=True)
class Logged:
    """step: of the last entry. best: the lowest finite `val/rd_loss`. Both None where there is none.

    latest: (step, time [Unix s]) of the last entries, LATEST at most.
    """

    step: int | None = None
    best: float | None = None
    latest: tuple[tuple[int, float], ...] = ()

    def seconds_per_step(self, since: float) -> float | None:
        """Wall-clock seconds per step over the latest entries from `since` [Unix s] on; None where they are too few."""
        seen = [(step, when) for step, when in self.latest if when >= since]
        steps = seen[-1][0] - seen[0][0] if seen else 0
        return (seen[-1][1] - seen[0][1]) / steps if steps > 0 else None


def logged(metrics_file: Path) -> Logged:
    """What is in the file by now. A damaged line says nothing. Raises RecordError."""
    return _file(os.path.abspath(metrics_file)).look()


@cache
def _file(path: str) -> "_LoggedFile":
    return _LoggedFile(Path(path))


class _LoggedFile:
    """One file, by as many threads as like to look."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        self._begin()

    def _begin(self) -> None:
        self._lines = LineReader(self._path)
        self._logged = Logged()

    def look(self) -> Logged:
        with self._lock:
            restarts = self._lines.restarts
            try:
                lines = self._lines.new_lines()
            except FileNotFoundError:
                self._begin()
                return self._logged
            former = self._logged if self._lines.restarts == restarts else Logged()
            self._logged = _with(former, lines)
            return self._logged


def _with(former: Logged, lines: list[bytes]) -> Logged:
    """Only lines that matter are decoded: the last ones, and those of validations."""
    latest = deque(former.latest, LATEST)
    entries = list(_entries(lines[-LATEST:]))
    latest.extend((entry["step"], entry["time"]) for entry in entries if "time" in entry)
    validated = _entries(line for line in lines if names.VAL_RD_LOSS.encode() in line)
    values = [entry[names.VAL_RD_LOSS] for entry in validated if names.VAL_RD_LOSS in entry]
    known = [] if former.best is None else [former.best]
    best = min([*known, *filter(math.isfinite, values)], default=None)
    return Logged(entries[-1]["step"] if entries else former.step, best, tuple(latest))


def _entries(lines: Iterable[bytes]) -> Iterable[dict[str, Any]]:
    """What is no entry, such as zeros after a power cut, is passed over."""
    for line in lines:
        try:
            yield decode_metrics(line)
        except ValueError:
            continue
