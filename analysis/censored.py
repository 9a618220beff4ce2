"""Log ratios over seeds, of which some are known by a bound only: how large they are on average, and how sure that is.

A run that had not got there when its learning rate began to fall says that its ratio is at most so and so. Leaving it
out, or calling the row unknown, would throw away what it says: that the row is slow.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from analysis.errors import AnalysisError
from analysis.statistics import Interval


@dataclass(frozen=True)
class Observation:
    """A seed's log ratio, or a bound of it. upper: whether it is at most `value`; lower: whether it is at least so."""

    value: float
    upper: bool = False
    lower: bool = False

    @property
    def exact(self) -> bool:
        return not (self.upper or self.lower)


@dataclass(frozen=True)
class Spread:
    """The standard deviation of a pair's log ratio, pooled, and its degrees of freedom (0: not known).

    of_images: the share of its square that hangs on the images, and that more seeds make no smaller
    (`analysis.crossed`).
    """

    sd: float
    degrees: float
    of_images: float = 0.0

    @property
    def known(self) -> bool:
        return self.degrees > 0


@dataclass(frozen=True)
class LogEstimate:
    """What observations say of their mean.

    mean: the maximum of the likelihood; -inf where every observation is an upper bound, inf where every one is a lower.
    interval: of the mean; one end is infinite where only bounds are known, both where the spread is not.
    """

    mean: float
    interval: Interval
    spread: Spread
    observations: tuple[Observation, ...]

    @property
    def censored(self) -> int:
        """How many are known by a bound only."""
        return sum(not one.exact for one in self.observations)


def pooled(again: Sequence[float], row: Sequence[Observation]) -> Spread:
    """The spread of a pair, from A/A pairs and from a row's own.

    again: log ratios of runs that differ in their seed alone; their mean is 0, whichever is called the baseline, so
    each is a degree of freedom. row: its pairs count about their own mean, n - 1 degrees, where all of them are exact:
    those left over where some are bounds are too much alike.
    """
    own = np.array([one.value for one in row]) if all(one.exact for one in row) else np.empty(0)
    degrees = len(again) + max(len(own) - 1, 0)
    squares = float((np.asarray(again, dtype=float) ** 2).sum())
    squares += float(((own - own.mean()) ** 2).sum()) if len(own) > 1 else 0.0
    return Spread(float(np.sqrt(squares / degrees)) if degrees else float("nan"), degrees)


def estimate(observations: Sequence[Observation], spread: Spread, *, level: float = 0.95) -> LogEstimate:
    """The mean of normal observations of one standard deviation, some of them bounds.

    All exact: the t interval with the pooled spread. Mixed: the profile likelihood, prod phi((y - mu) / sd) times
    prod Phi((U - mu) / sd) over upper bounds U (mirrored for lower ones), its signed root against Student t. Nothing
    but upper bounds: the mean under which all n of them would be met with probability (1 - level) / 2, by Student t;
    where they are equal U - sd t^-1(((1 - level) / 2)^(1/n)).
    Raises AnalysisError for no observation or one that is not finite.
    """
    values = np.array([one.value for one in observations])
    if not len(values) or not np.isfinite(values).all():
        raise AnalysisError(f"an estimate needs finite observations, got {values.tolist()}")
    given = tuple(observations)
    seen = _Likelihood(values, given, spread.sd)
    mean = seen.maximum()
    if not spread.known or np.isnan(mean):
        return LogEstimate(mean, Interval(-np.inf, np.inf), spread, given)
    tail = (1 - level) / 2
    if not np.isfinite(mean):
        side = int(np.sign(-mean))
        end = side * _root(
            lambda mu: np.log(tail) - seen.all_met(side * mu, spread.degrees), side * values.mean(), seen.sd
        )
        return LogEstimate(mean, Interval(-np.inf, end) if side > 0 else Interval(end, np.inf), spread, given)
    drop = special.stdtrit(spread.degrees, 1 - tail) ** 2 / 2
    return LogEstimate(mean, Interval(seen.end(mean, -1, drop), seen.end(mean, 1, drop)), spread, given)


def p_value(found: LogEstimate, at: float = 0.0) -> float:
    """The two-sided probability of an estimate as far from `at`, as its interval is made; 1 of no spread."""
    values, degrees = np.array([one.value for one in found.observations]), found.spread.degrees
    seen = _Likelihood(values, found.observations, found.spread.sd)
    if not found.spread.known or np.isnan(found.mean):
        return 1.0
    if not np.isfinite(found.mean):
        return float(min(1.0, 2 * np.exp(seen.all_met(at, degrees))))
    root = np.sqrt(2 * max(seen(found.mean) - seen(at), 0.0))
    return float(2 * special.stdtr(degrees, -root))


class _Likelihood:
    """The logarithm of what observations have as their probability under a mean, but for a constant."""

    def __init__(self, values: NDArray[np.float64], observations: Sequence[Observation], sd: float) -> None:
        self.values, self.sd = values, max(sd, 1e-9) if np.isfinite(sd) else 1.0
        self.exact = np.array([one.exact for one in observations])
        self.side = np.array([1.0 if one.upper else -1.0 for one in observations])

    def __call__(self, mu: float) -> float:
        z = (self.values - mu) / self.sd
        return float(np.where(self.exact, -(z**2) / 2, special.log_ndtr(self.side * z)).sum())

    def maximum(self) -> float:
        """Where it is largest; infinite where all are bounds of one kind, NaN where all are bounds of both kinds."""
        if not self.exact.any():
            return -np.inf if (self.side > 0).all() else np.inf if (self.side < 0).all() else float("nan")
        middle = float(self.values[self.exact].mean())
        return middle if self.exact.all() else _root(self._slope, middle, self.sd)

    def end(self, top: float, side: int, drop: float) -> float:
        """Where on a side of the maximum at `top` it has fallen by `drop`."""
        return top + side * _root(lambda by: self(top) - self(top + side * by) - drop, 0.0, self.sd)

    def _slope(self, mu: float) -> float:
        """Minus the derivative, times sd: rises with mu."""
        z = (self.values - mu) / self.sd
        bounded = self.side * z
        ratio = np.exp(-(bounded**2) / 2 - np.log(2 * np.pi) / 2 - special.log_ndtr(bounded))
        return float(np.where(self.exact, -z, self.side * ratio).sum())

    def all_met(self, mu: float, degrees: float) -> float:
        """The logarithm of the probability that all bounds are met, by Student t."""
        return float(np.log(special.stdtr(degrees, self.side * (self.values - mu) / self.sd)).sum())


def _root(rising: Callable[[float], float], start: float, step: float) -> float:
    """Where a function that rises is 0, looked for on both sides of `start` in growing steps."""
    low, high = start, start
    while rising(low) > 0:
        low, step = low - step, 2 * step
    while rising(high) <= 0:
        high, step = high + step, 2 * step
    from scipy.optimize import brentq

    return float(brentq(rising, low, high, xtol=1e-12))
