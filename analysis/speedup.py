"""How much sooner one arm of an experiment reaches a level of `val/rd_loss` than another."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.comparable import ARMS, check_comparable, check_done, code_flags, elsewhere_flags, pairs, same_codec
from analysis.errors import AnalysisError
from analysis.ratios import NEVER_HELD, NOT_REACHED, REACHED, Ratio, summary
from analysis.run_places import Place
from analysis.runs import Runs, load_runs
from analysis.training_cost import NEEDED_METRICS, PIXELS, UNITS, Trajectory, trajectory
from lic_exp.tracking import names

Target = Literal["final", "before-decay"] | float
Arm = Runs | Place | Iterable[Place]
"""Runs, or where to load them from."""
Trajectories = Mapping[str, Trajectory]
TARGET_SCALES = (0.99, 1.0, 1.01)


@dataclass(frozen=True)
class SpeedUp:
    """What `speed_up` or `budget_speed_up` found.

    target: what was to be reached. k: evaluations over which a level is taken.
    ratios: by unit (`steps`, `epochs`, `images`, `seconds`, `macs`).
    pairs: one row per seed and rate: `seed, lmbda, baseline, test` (signatures), `target`, `outcome`, and per unit the
        ratio, NaN unless the outcome is "reached"; from `speed_up` also `baseline_<unit>` and `test_<unit>`, the costs.
    sensitivity: the ratio in steps with the target 1 % lower and higher, and with other k; empty for budgets and
        where it was not asked for.
    flags: what a reader should know.
    """

    target: str
    k: int
    ratios: Mapping[str, Ratio]
    pairs: pd.DataFrame
    sensitivity: pd.DataFrame
    flags: tuple[str, ...]


def first_holding(values: NDArray[np.float64], target: float, k: int) -> float | None:
    """Where a series first holds a target, as a position between its entries; None where it never does.

    It holds it from entry i on if entry i is at or below the target, and so is the mean of the k entries from i on
    (of fewer at the series' end): a single dip is not enough. Within the step to entry i the position is interpolated,
    so that a coarse spacing of evaluations biases no ratio. The mean of a series' last k entries is always held by
    the series itself, whatever its noise.
    """
    # Below by rounding only: a level is compared with means of the very numbers that it is made of.
    reached = target + 1e-12 * abs(target)
    for i in np.flatnonzero(values <= reached):
        if values[i : i + k].mean() <= reached:
            before = values[i - 1] if i else target
            return float(i - (target - values[i]) / (before - values[i])) if before > reached else float(i)
    return None


def speed_up(
    baseline: Arm,
    test: Arm,
    *,
    target: Target = "final",
    k: int = 3,
    metric: str = names.VAL_RD_LOSS,
    decay_share: float = 0.9,
    level: float = 0.95,
    macs_per_image: tuple[float, float] | None = None,
    trusted: Collection[str] = (),
    sensitivity: bool = True,
) -> SpeedUp:
    """Cost until the metric first holds (`first_holding`) a level of the baseline, baseline over test.

    Runs are paired by seed and criterion; each pair has its own baseline's target, and that baseline's own crossing by
    the same rule is 1. Several rates of a seed are averaged in the logarithm; over seeds the geometric mean is taken,
    with a Student t interval on the logarithms. A pair that does not get there makes the result "not reached", never
    a number over the rest.

    target: "final", the mean of the baseline's last k evaluations; "before-decay", the same of the evaluations before
        its `train/lr` first falls below `decay_share` of its maximum (with a decay the final level hides differences);
        or a number.
    macs_per_image: of a training step's image, for baseline and test. None: those of the codec's forward pass, as the
        runs recorded them; where they did not, MACs are known only as a ratio, if both have the same model. A
        regularizer's own cost then shows in seconds alone.
    trusted: config keys in which the arms may differ nevertheless; see `check_comparable`.
    sensitivity: whether to try other targets, too.

    Raises AnalysisError where the runs are not comparable, a baseline is not done, or the target does not exist.
    """
    base_runs, test_runs = load_arms(baseline, test, metric=metric)
    check_comparable(base_runs, test_runs, trusted)
    check_done(base_runs)
    matched, flags = pairs(base_runs, test_runs)
    flags += code_flags(base_runs, test_runs) + elsewhere_flags(base_runs, test_runs)
    macs = macs_per_image or (None, None)
    ours = {pair["baseline"]: trajectory(base_runs, pair["baseline"], metric, macs[0]) for pair in matched}
    theirs = {pair["test"]: trajectory(test_runs, pair["test"], metric, macs[1]) for pair in matched}
    levels = {name: _evaluations_of_target(base_runs, name, ours[name], target, decay_share) for name in ours}
    relative_macs = macs_per_image is None and same_codec(base_runs, test_runs)

    def rows(scale: float, window: int, units: Sequence[str] = ("steps",)) -> list[dict[str, Any]]:
        targets = {name: scale * _level(name, values, window) for name, values in levels.items()}
        return [_pair_row(pair, ours, theirs, targets[pair["baseline"]], window, units) for pair in matched]

    of_pairs = rows(1.0, k, (*UNITS, PIXELS))
    for row in of_pairs:
        in_pixels, *_ = (row.pop(name) for name in (PIXELS, *(f"{arm}_{PIXELS}" for arm in ARMS)))
        if relative_macs:
            row["macs"] = in_pixels
        flags += _coarse(row, theirs[row["test"]], k)
        row["outcome"] = _with_reason(test_runs, row)
    found = pd.DataFrame(of_pairs)
    shortest = min(map(len, levels.values()))
    windows = [window for window in sorted({1, k, 2 * k}) if window <= shortest and sensitivity]
    tried = [
        {
            "target": f"{100 * (scale - 1):+.0f} %",
            "k": window,
            "steps": summary("steps", pd.DataFrame(rows(scale, window)), level),
        }
        for window in windows
        for scale in TARGET_SCALES
    ]
    ratios = {unit: summary(unit, found, level) for unit in UNITS}
    return SpeedUp(str(target), k, ratios, found, pd.DataFrame(tried), tuple(flags))


def load_arms(*arms: Arm, metric: str) -> list[Runs]:
    """The arms as runs, with the metrics that a speed-up needs."""
    return [arm if isinstance(arm, Runs) else load_runs(arm, metrics=(metric, *NEEDED_METRICS)) for arm in arms]


def _evaluations_of_target(
    runs: Runs, signature: str, spent: Trajectory, target: Target, share: float
) -> NDArray[np.float64]:
    """The evaluations whose last k make the target."""
    values = spent["value"]
    if target == "final":
        return values
    if target == "before-decay":
        lr = runs.series(signature, names.TRAIN_LR)
        peak = int(lr["value"].argmax()) if len(lr["value"]) else 0
        decayed = lr["step"][peak:][lr["value"][peak:] < share * lr["value"].max(initial=-np.inf)]
        if not len(decayed):
            raise AnalysisError(f"{signature}: its learning rate never falls below {share:.0%} of its maximum")
        # Logged at a step is the rate that this step was made with.
        before: NDArray[np.float64] = values[spent["steps"] < decayed[0]]
        return before
    check_target(target)
    return np.full(len(values), float(target))


def check_target(target: Target) -> None:
    """Raise AnalysisError where there is no such."""
    if target not in ("final", "before-decay") and (isinstance(target, str) or not np.isfinite(target)):
        raise AnalysisError(f"a target is 'final', 'before-decay' or a finite number, not {target!r}")


def _level(signature: str, values: NDArray[np.float64], k: int) -> float:
    if not 1 <= k <= len(values):
        raise AnalysisError(f"{signature}: a level over k={k} evaluations is asked of a run with {len(values)}")
    level = float(values[-k:].mean())
    if not np.isfinite(level):
        raise AnalysisError(f"{signature}: its last {k} evaluations are {values[-k:]}, which is no target")
    return level


def _pair_row(
    pair: Mapping[str, Any], ours: Trajectories, theirs: Trajectories, target: float, k: int, units: Sequence[str]
) -> dict[str, Any]:
    arms = {"baseline": ours[pair["baseline"]], "test": theirs[pair["test"]]}
    places = {arm: first_holding(spent["value"], target, k) for arm, spent in arms.items()}
    cost = {
        f"{arm}_{unit}": np.nan if (place := places[arm]) is None else _at(spent[unit], place)
        for unit in units
        for arm, spent in arms.items()
    }
    missing = NEVER_HELD if places["baseline"] is None else NOT_REACHED
    outcome = REACHED if None not in places.values() else missing
    ratio = {unit: cost[f"baseline_{unit}"] / cost[f"test_{unit}"] for unit in units}
    return {**pair, "target": target, "outcome": outcome, **ratio, **cost}


def _at(cost: NDArray[np.float64], place: float) -> float:
    return float(np.interp(place, np.arange(len(cost)), cost))


def _with_reason(runs: Runs, pair: Mapping[Any, Any]) -> str:
    row = runs.facts(pair["test"])
    unfinished = pair["outcome"] == NOT_REACHED and row["state"] != "done"
    return str(pair["outcome"]) + (f": {row['state']} at step {row['step']:.0f}" if unfinished else "")


def _coarse(pair: Mapping[Any, Any], spent: Trajectory, k: int) -> Iterator[str]:
    """What is to be said where the evaluations of a test run that got there do not tell much."""
    if pair["outcome"] != REACHED:
        return
    after = int((spent["steps"] >= pair["test_steps"]).sum())
    if after == len(spent["steps"]):
        yield f"run {pair['test']} holds the target at its first evaluation: it may have got there long before"
    if after < k:
        yield f"run {pair['test']} holds the target over its last {after} evaluations only, k is {k}"
