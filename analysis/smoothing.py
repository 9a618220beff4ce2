"""A curve of losses over costs without its noise: falling, and locally a power law."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.errors import AnalysisError

WIDTH = 0.5
"""Half of the window of the local fit, in the logarithm of the cost: from 0.61 to 1.65 times a place."""

FEWEST = 5
"""Evaluations that a window holds at least, where there are as many."""

Values = NDArray[np.float64]


def smoothed(costs: ArrayLike, losses: ArrayLike) -> Values:
    """log(losses) as a curve over log(costs), (n,): isotonic regression, falling, then a local line at each entry.

    costs: rising and above 0. losses: finite and above 0. What the lines make is kept from rising by its running
    minimum, so that a level is crossed once. Weights are tricube over `WIDTH`, wider where that holds fewer than
    `FEWEST` entries. Raises AnalysisError where a loss is not above 0 or the costs do not rise.
    """
    from scipy.optimize import isotonic_regression

    x, y = _logarithms(costs, "costs"), _logarithms(losses, "losses")
    if len(x) != len(y) or not len(x) or not (np.diff(x) > 0).all():
        raise AnalysisError(f"a curve wants as many losses as costs, and costs that rise: got {len(y)} and {len(x)}")
    falling: Values = np.asarray(isotonic_regression(y, increasing=False).x)
    curve: Values = np.minimum.accumulate(_local_lines(x, falling))
    return curve


def crossing(costs: ArrayLike, curve: Values, level: float) -> float | None:
    """The cost at which a smoothed curve first is at or below a level (both logarithms); None where it never is.

    Between entries the curve is a line over the logarithm of the cost. At the first entry already: that entry's cost.
    """
    below = np.flatnonzero(curve <= level + 1e-12)
    if not len(below):
        return None
    x, i = _logarithms(costs, "costs"), int(below[0])
    if i == 0 or curve[i - 1] == curve[i]:
        return float(np.exp(x[i]))
    share = (curve[i - 1] - level) / (curve[i - 1] - curve[i])
    return float(np.exp(x[i - 1] + min(max(share, 0.0), 1.0) * (x[i] - x[i - 1])))


def _logarithms(values: ArrayLike, what: str) -> Values:
    given = np.asarray(values, dtype=float)
    if given.ndim != 1 or not (np.isfinite(given) & (given > 0)).all():
        raise AnalysisError(f"a curve wants {what} that are finite and above 0")
    logs: Values = np.log(given)
    return logs


def _local_lines(x: Values, y: Values) -> Values:
    """At each x the value of a line fitted to the entries around it, weighted by tricube of their distance."""
    distance = np.abs(x[:, None] - x)
    fewest = np.sort(distance, axis=1)[:, min(FEWEST, len(x)) - 1]
    weights = (1 - np.minimum(distance / np.maximum(WIDTH, 1.001 * fewest)[:, None], 1) ** 3) ** 3
    # Sums about the place itself, so that the fitted line's value there is its intercept.
    shift = x - x[:, None]
    s0, s1, s2 = (np.sum(weights * shift**power, axis=1) for power in range(3))
    t0, t1 = weights @ y, np.sum(weights * shift * y, axis=1)
    spread = s0 * s2 - s1**2
    flat = spread <= 1e-12 * s0**2
    value: Values = np.where(flat, t0 / s0, (s2 * t0 - s1 * t1) / np.where(flat, 1.0, spread))
    return value
