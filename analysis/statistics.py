"""How sure a number is: seeds by Student t, images by bootstrap.

Quantiles come from scipy.special, because importing scipy.stats takes longer than most tables.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from analysis.errors import AnalysisError


class Interval(NamedTuple):
    """A confidence interval; (-inf, inf) where nothing is known."""

    low: float
    high: float

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float | np.number) and bool(self.low <= value <= self.high)


def t_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """Of the mean of independent, roughly normal values (n,), as per-seed results are: Student t with n - 1 degrees.

    One value tells nothing of its spread: (-inf, inf). Raises AnalysisError for no value or one that is not finite.
    """
    samples = _finite(values)
    n = len(samples)
    if n == 1:
        return Interval(-np.inf, np.inf)
    half = special.stdtrit(n - 1, (1 + level) / 2) * samples.std(ddof=1) / np.sqrt(n)
    return Interval(float(samples.mean() - half), float(samples.mean() + half))


def _finite(values: ArrayLike) -> NDArray[np.float64]:
    samples = np.asarray(values, dtype=float)
    if samples.ndim == 0 or len(samples) == 0 or not np.isfinite(samples).all():
        raise AnalysisError(f"an interval needs one or more finite values, got {values!r}")
    return samples


def mean_over_rows(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """(..., n) -> (...)"""
    mean: NDArray[np.float64] = rows.mean(axis=-1)
    return mean


def bca_interval(
    rows: ArrayLike,
    statistic: Callable[[NDArray[np.float64]], Any] = mean_over_rows,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Of a statistic of n independent rows, as test images are: bias-corrected, accelerated bootstrap, seeded.

    rows: (n, ...), n >= 3, whole rows are drawn; e.g. (24 images, rates, 2 for bpp and quality).
    statistic: takes many samples at once, (..., n, *row) -> (...); the default is the mean of rows that are numbers.

    The level is expanded to what a t interval of n values would cover (Hesterberg, The American Statistician 69(4),
    2015, section 3.4): a bootstrap of few rows is too narrow by the sqrt((n - 1) / n) of its standard deviation and
    by normal instead of t quantiles, at 24 rows 93 % for 95 %. Where the rows do not differ it has no width.
    Raises AnalysisError where the statistic of a sample is not finite.
    """
    data = _finite(rows)
    n = len(data)
    if n < 3:
        raise AnalysisError(f"a bootstrap needs at least 3 rows, got {n}")

    def of_samples(places: NDArray[np.intp]) -> NDArray[np.float64]:
        values = np.asarray(statistic(data[places]), dtype=float)
        if values.shape != places.shape[:-1]:
            raise AnalysisError(f"the statistic made {values.shape} of {places.shape[:-1]} samples of {n} rows")
        if not np.isfinite(values).all():
            raise AnalysisError("the statistic of a resampled set is not finite: the rows are too few or too different")
        return values

    everything = np.arange(n)
    estimate = of_samples(everything[None])[0]
    influence = of_samples(np.array([np.delete(everything, i) for i in everything]))
    influence = influence.mean() - influence
    if np.abs(influence).max() <= 1e-12 * np.abs(estimate):
        return Interval(float(estimate), float(estimate))
    drawn = of_samples(np.random.default_rng(seed).integers(0, n, (resamples, n)))
    # Efron 1987, equations 6.5 and 6.6: half of the ties count as below.
    bias = special.ndtri(((drawn < estimate).mean() + (drawn <= estimate).mean()) / 2)
    acceleration = (influence**3).sum() / (6 * (influence**2).sum() ** 1.5)
    normal = np.sqrt(n / (n - 1)) * special.stdtrit(n - 1, np.array([1 - level, 1 + level]) / 2)
    shares = special.ndtr(bias + (bias + normal) / (1 - acceleration * (bias + normal)))
    if not np.isfinite(shares).all():
        raise AnalysisError(f"the estimate {estimate:g} lies outside of all {resamples} resampled ones")
    low, high = np.quantile(drawn, shares)
    return Interval(float(low), float(high))


def resolvable(sd: float, seeds: int, *, level: float = 0.95, power: float = 0.8, paired: bool = False) -> float:
    """The smallest true difference of two arms that `seeds` seeds per arm show with probability `power`.

    Show: the t interval at `level` of the difference excludes zero. In the unit of sd; inf for one seed.

    sd: standard deviation over the seeds of one arm; with paired=True that of the per-seed differences, as where
    both arms share initialisation and data order, or where each value compares with its own seed's baseline.
    """
    if not (sd >= 0 and seeds >= 1 and 0 < power < 1):
        raise AnalysisError(f"needs sd >= 0, seeds >= 1 and a power in (0, 1), got {sd}, {seeds} and {power}")
    if seeds == 1:
        return float("inf")
    degrees = seeds - 1 if paired else 2 * (seeds - 1)
    critical = special.stdtrit(degrees, (1 + level) / 2)
    shift = special.nctdtrinc(degrees, 1 - power, critical)  # of the noncentral t distribution
    return float(shift * sd * np.sqrt((1 if paired else 2) / seeds))
