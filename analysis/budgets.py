"""The second form of a speed-up: fully decayed runs of several budgets, where the first reads each run's curve."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.comparable import (
    ARMS,
    check_comparable,
    check_done,
    check_one_arm,
    code_flags,
    elsewhere_flags,
    groups,
    same_codec,
)
from analysis.errors import AnalysisError
from analysis.ratios import REACHED, summary
from analysis.runs import Runs
from analysis.speedup import Arm, SpeedUp, load_arms
from analysis.training_cost import PIXELS, UNITS, trajectory
from lic_exp.tracking import names

DECAYED = 0.1
"""A learning rate that ends above this share of its maximum is flagged as not decayed."""


class NoShiftError(AnalysisError):
    """Two curves that cannot be laid onto each other."""


def horizontal_shift(
    cost_a: NDArray[np.float64], level_a: NDArray[np.float64], cost_b: NDArray[np.float64], level_b: NDArray[np.float64]
) -> float:
    """log(cost a / cost b) at equal level, the mean over the levels that both curves reach.

    Each curve (n,), n >= 2, is piecewise linear in log cost over level; lower levels are better.
    Raises NoShiftError where a curve is no better with a larger cost, or where the curves share no level.
    """
    levels_a, log_a = _by_level(cost_a, level_a)
    levels_b, log_b = _by_level(cost_b, level_b)
    low, high = max(levels_a[0], levels_b[0]), min(levels_a[-1], levels_b[-1])
    if not low < high:
        ranges = " and ".join(f"{levels[-1]:.4g} to {levels[0]:.4g}" for levels in (levels_a, levels_b))
        raise NoShiftError(f"no common level: {ranges}")
    inside = np.union1d(levels_a, levels_b)
    knots = np.array([low, *inside[(inside > low) & (inside < high)], high])
    shift = np.interp(knots, levels_a, log_a) - np.interp(knots, levels_b, log_b)
    return float(((shift[1:] + shift[:-1]) / 2 * np.diff(knots)).sum() / (high - low))


def _by_level(cost: NDArray[np.float64], level: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    order = np.argsort(cost)
    cost, level = cost[order], level[order]
    if len(cost) < 2 or not (np.diff(cost) > 0).all():
        raise NoShiftError(f"two or more different budgets are needed, not {', '.join(f'{c:g}' for c in cost)}")
    if not (np.diff(level) < 0).all():
        raise NoShiftError(f"not better with every larger budget: {', '.join(f'{value:.4g}' for value in level)}")
    return level[::-1], np.log(cost[::-1])


def budget_speed_up(
    baseline: Arm,
    test: Arm,
    *,
    k: int = 1,
    metric: str = names.VAL_RD_LOSS,
    level: float = 0.95,
    macs_per_image: tuple[float, float] | None = None,
    trusted: Collection[str] = (),
) -> SpeedUp:
    """How much less budget the test needs for the same final level, from runs of several lengths (T/4, T/2, T, 2T).

    Each arm has runs of several lengths per seed and criterion, whole ones or branches of one trunk. A branch's costs
    include the trunk's up to there, its seconds where the trunk lies in the folder beside the branch's own. The trunk
    itself is no budget, and is not named.
    A run's final level is the mean of its last k evaluations, its budget what it cost until the last. Per seed and
    criterion the curves of level over log budget are laid onto each other (`horizontal_shift`); the rest is as in
    `speed_up`, whose other arguments these are. Where curves have no common level, or are not better with every larger
    budget, the outcome says so, and of which runs, without a number; where that is so in another unit than steps, a
    flag does.

    Raises AnalysisError where the runs are not comparable or not done: the budgets of an arm, too, differ in their
    length alone and in what counts by it (`check_one_arm`), but for keys that are trusted.
    """
    arms = dict(zip(ARMS, load_arms(baseline, test, metric=metric), strict=True))
    check_comparable(arms["baseline"], arms["test"], trusted, beginnings=False)
    for runs in arms.values():
        check_done(runs)
    matched, flags = groups(*arms.values())
    for arm, runs in arms.items():
        for pair in matched:
            check_one_arm(arm, runs, pair[arm], trusted)
    macs = dict(zip(ARMS, macs_per_image or (None, None), strict=True))
    found = pd.DataFrame(
        [
            _row(pair, {arm: _ends(arms[arm], pair[arm], metric, k, macs[arm]) for arm in ARMS}, flags)
            for pair in matched
        ]
    )
    pixels = found.pop(PIXELS)
    if macs_per_image is None and same_codec(*arms.values()):
        found["macs"] = pixels
    flags += code_flags(*arms.values()) + elsewhere_flags(*arms.values())
    flags += [flag for runs in arms.values() for flag in _not_decayed(runs)]
    ratios = {unit: summary(unit, found, level) for unit in UNITS}
    return SpeedUp("final level over budgets", k, ratios, found, pd.DataFrame(), tuple(flags))


def _ends(runs: Runs, signatures: list[str], metric: str, k: int, macs: float | None) -> pd.DataFrame:
    """One row per run: its whole cost, and its final level as `value`."""
    rows = []
    for signature in signatures:
        spent = trajectory(runs, signature, metric, macs)
        count = len(spent["value"])
        if not 1 <= k <= count:
            raise AnalysisError(f"{signature}: a level over k={k} evaluations is asked of a run with {count}")
        ends = {name: column[-1] for name, column in spent.items()}
        rows.append({"signature": signature} | ends | {"value": spent["value"][-k:].mean()})
    return pd.DataFrame(rows)


def _row(pair: Mapping[str, Any], ends: Mapping[str, pd.DataFrame], flags: list[str]) -> dict[str, Any]:
    row = {**pair, **{arm: ", ".join(pair[arm]) for arm in ARMS}, "outcome": REACHED}
    for unit in (*UNITS, PIXELS):
        known = not any(np.isnan(ends[arm][unit]).any() for arm in ARMS)
        try:
            row[unit] = _ratio(ends, unit) if known else np.nan
        except NoShiftError as error:
            row[unit] = np.nan
            if unit == "steps":
                row["outcome"] = str(error)
            elif unit in UNITS and row["outcome"] == REACHED:
                flags.append(f"seed {pair['seed']}, {unit}: {error}")
    return row


def _ratio(ends: Mapping[str, pd.DataFrame], unit: str) -> float:
    """Raises NoShiftError with the runs that it is about."""
    curves = {arm: (ends[arm][unit].to_numpy(float), ends[arm]["value"].to_numpy(float)) for arm in ARMS}
    for arm, (cost, level) in curves.items():
        try:
            _by_level(cost, level)
        except NoShiftError as error:
            named = ", ".join(f"{name} ({spent:g})" for name, spent in zip(ends[arm]["signature"], cost, strict=True))
            raise NoShiftError(f"{error}: of the {arm}, by {unit}: {named}") from error
    try:
        return float(np.exp(horizontal_shift(*curves["baseline"], *curves["test"])))
    except NoShiftError as error:
        raise NoShiftError(f"{error} in baseline and test") from error


def _not_decayed(runs: Runs) -> list[str]:
    lr = {name: runs.curve(name, names.TRAIN_LR)["value"] for name in runs.runs["signature"]}
    return [
        f"run {name} ended at {values.iloc[-1] / values.max():.0%} of its highest learning rate: not fully decayed"
        for name, values in lr.items()
        if len(values) and values.iloc[-1] > DECAYED * values.max()
    ]
