"""Ratios of costs over seeds, which may have no value."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.statistics import Interval, t_interval

REACHED, NOT_REACHED, NEVER_HELD = "reached", "not reached", "not held by the baseline itself"
"""Outcomes of a pair of runs."""


@dataclass(frozen=True)
class Ratio:
    """Baseline's cost over the test's in one unit: the geometric mean over seeds. Above 1 the test is sooner.

    value, interval: None where a seed never got there, or where the cost is not known.
    seeds, reached: how many there are, and in how many both runs got there.
    held: in how many the baseline itself did; all of them, but for a target that is not its own level.
    """

    unit: str
    seeds: int
    held: int
    reached: int
    value: float | None
    interval: Interval | None

    def __str__(self) -> str:
        if self.held < self.seeds:
            return f"{NEVER_HELD} ({self.held}/{self.seeds} seeds)"
        if self.reached < self.seeds:
            return f"{NOT_REACHED} ({self.reached}/{self.seeds} seeds)"
        if self.value is None or self.interval is None:
            return "unknown"
        if self.seeds == 1:
            return f"{self.value:.2f}x (one seed, no interval)"
        return f"{self.value:.2f}x [{self.interval.low:.2f}, {self.interval.high:.2f}] ({self.seeds} seeds)"


def summary(unit: str, found: pd.DataFrame, level: float = 0.95) -> Ratio:
    """The geometric mean over seeds of the ratios in column `unit`; found: as `SpeedUp.pairs`."""
    by_seed: dict[Any, list[tuple[str, float]]] = {}
    for seed, *pair in zip(*(found[name].tolist() for name in ("seed", "outcome", unit)), strict=True):
        by_seed.setdefault(seed, []).append((str(pair[0]), float(pair[1])))
    seeds = len(by_seed)
    held = sum(all(outcome != NEVER_HELD for outcome, _ in pairs) for pairs in by_seed.values())
    reached = sum(all(outcome == REACHED for outcome, _ in pairs) for pairs in by_seed.values())
    if reached < seeds or any(math.isnan(ratio) for pairs in by_seed.values() for _, ratio in pairs):
        return Ratio(unit, seeds, held, reached, None, None)
    logs = np.array([math.fsum(np.log([ratio for _, ratio in pairs])) / len(pairs) for pairs in by_seed.values()])
    mean, low, high = (float(np.exp(value)) for value in (logs.mean(), *t_interval(logs, level)))
    return Ratio(unit, seeds, held, reached, mean, Interval(low, high))
