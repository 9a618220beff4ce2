"""What may be wrong with rate-distortion points: faults, from which no number follows, and flags beside a number.

Arrays are (..., n), one curve per leading index. The decisions, fault or flag, are listed in docs/bd_rate.md.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.errors import CurveError
from analysis.interpolation import Floats

SMALL_OVERLAP = 0.75
"""Share of the test curve's range below which a value says too little of the curve."""

SHORT_RANGE_DB = 1.0
"""Shared range of quality [dB] below which a value is of one operating point rather than of a curve."""

METHODS_APART = 0.5
"""Points of BD-rate [%] between methods above which the points do not settle the value."""

NEEDED_POINTS = 4
"""Below these, a curve is drawn through too little, whatever method allows it."""

DB_LIKE = (10.0, 70.0)
MS_SSIM_LIKE = (0.3, 1.0)
"""Ranges [lowest, highest] in which a codec's PSNR [dB] and its raw MS-SSIM lie."""

Describe = Callable[[tuple[int, ...]], str]


@dataclass(frozen=True)
class CurveFinding:
    """Something to say of those samples where `where` (...) is true; `describe(index)` has the numbers of one."""

    name: str
    where: NDArray[np.bool_]
    describe: Describe

    def at(self, index: tuple[int, ...]) -> str:
        """What is said of one sample, as if it were the only one; "" where that has nothing of it."""
        # One of all samples together has fewer axes, or axes of length 1.
        shape = self.where.shape
        own = tuple(min(i, size - 1) for i, size in zip(index[len(index) - len(shape) :], shape, strict=True))
        return f"{self.name}: {self.describe(own)}" if self.where[own] else ""

    def __str__(self) -> str:
        index = tuple(int(i) for i in np.argwhere(self.where)[0])
        text = self.at(index)
        if self.where.ndim == 0:
            return text
        place = index[0] if len(index) == 1 else index
        return f"{text} (sample {place}; {self.where.sum()} of {self.where.size} samples)"


@dataclass(frozen=True)
class CurvePoints:
    """One curve (or many) in order of rising rate: rate [any unit] and quality [dB], both (..., n)."""

    role: str
    rate: Floats
    quality: Floats
    was_sorted: NDArray[np.bool_]

    def at(self, index: tuple[int, ...]) -> tuple[Floats, Floats]:
        return self.rate[index], self.quality[index]

    def say(self, what: Callable[[Floats, Floats], str]) -> Describe:
        return lambda index: f"{self.role}: {what(*self.at(index))}"


def arrange(role: str, rate: object, quality: object, fewest: int, method: str) -> CurvePoints:
    """The curve's points as arrays in order of rising rate. Raises CurveError where their number is wrong."""
    rates, qualities = (np.atleast_1d(np.asarray(values, dtype=np.float64)) for values in (rate, quality))
    if rates.shape[-1] != qualities.shape[-1]:
        raise CurveError(
            f"unequal-lists: {role}: {rates.shape[-1]} rates but {qualities.shape[-1]} qualities; a point needs both",
            ("unequal-lists",),
        )
    if rates.shape[-1] < fewest:
        raise CurveError(
            f"too-few-points: {role}: {rates.shape[-1]}, and {method} needs at least {fewest}", ("too-few-points",)
        )
    rates, qualities = np.broadcast_arrays(rates, qualities)
    with np.errstate(invalid="ignore"):
        ordered = (np.diff(rates) >= 0).all(-1)
    if not ordered.all():
        order = np.argsort(rates, axis=-1, kind="stable")
        rates, qualities = np.take_along_axis(rates, order, -1), np.take_along_axis(qualities, order, -1)
    return CurvePoints(role, rates, qualities, np.asarray(ordered))


def faults(curve: CurvePoints) -> Iterator[CurveFinding]:
    """What leaves a curve without a BD-rate, in the order in which it should be told."""
    rate, quality = curve.rate, curve.quality
    finite = np.isfinite(rate) & np.isfinite(quality)
    yield CurveFinding("not-finite", ~finite.all(-1), curve.say(_not_finite))
    yield CurveFinding(
        "non-positive-rate", (rate <= 0).any(-1), curve.say(lambda r, _: f"rate {r.min():g} has no logarithm")
    )
    with np.errstate(all="ignore"):
        rate_steps, steps = np.diff(rate), np.diff(quality)
        exchanged = _spread(quality) > _spread(rate)
    exchanged &= _within(rate, DB_LIKE) | _within(rate, MS_SSIM_LIKE)
    yield CurveFinding("exchanged-axes", exchanged & finite.all(-1), curve.say(_exchanged))
    falling = ((steps < 0) & (rate_steps > 0)).all(-1)
    yield CurveFinding("falling-quality", falling, curve.say(_falling))
    duplicate = (rate_steps == 0) | (steps == 0)
    yield CurveFinding("duplicate-points", duplicate.any(-1), curve.say(_duplicate))
    yield CurveFinding("not-monotone", (steps < 0).any(-1) & ~falling, curve.say(_not_monotone))


def cautions(curve: CurvePoints) -> Iterator[CurveFinding]:
    """What a reader of the number should know of one curve; the curve has no faults."""
    count = np.full(curve.rate.shape[:-1], curve.rate.shape[-1])
    yield CurveFinding("unordered", ~curve.was_sorted, curve.say(lambda r, _: "its points were sorted by rate"))
    yield CurveFinding(
        "few-points",
        count < NEEDED_POINTS,
        curve.say(lambda r, _: f"{len(r)}; four or more are usual, and cubic's least"),
    )
    raw = _within(curve.quality, (0.0, 1.0))
    yield CurveFinding("raw-ms-ssim", raw, curve.say(_raw))
    with np.errstate(all="ignore"):
        steep = _spread(curve.quality) > _spread(curve.rate)
    yield CurveFinding("exchanged-axes", steep, curve.say(_exchanged))


def _spread(values: Floats) -> Floats:
    """ln(highest / lowest) of each curve; 0 where a value is not positive."""
    low, high = values.min(-1), values.max(-1)
    spread: Floats = np.where(low > 0, np.log(high / np.where(low > 0, low, 1)), 0.0)
    return spread


def _within(values: Floats, bounds: tuple[float, float]) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = (values.min(-1) >= bounds[0]) & (values.max(-1) <= bounds[1])
    return inside


def _not_finite(rate: Floats, quality: Floats) -> str:
    bad = int(np.argmin(np.isfinite(rate) & np.isfinite(quality)))
    advice = "; a lossless point is no part of a curve: leave it out" if np.isinf(quality[bad]) else ""
    return f"rate {rate[bad]:g} with quality {quality[bad]:g}{advice}"


def _exchanged(rate: Floats, quality: Floats) -> str:
    return (
        f"rates {_range(rate)} vary less than qualities {_range(quality)}, which no codec does: "
        "are rate and quality exchanged?"
    )


def _falling(rate: Floats, quality: Floats) -> str:
    return (
        f"quality falls from {quality[0]:g} to {quality[-1]:g} while rate rises from {rate[0]:g} to {rate[-1]:g}: "
        "are the pairs crossed, or is it an error (MSE) instead of a quality?"
    )


def _duplicate(rate: Floats, quality: Floats) -> str:
    i = int(np.argmax((np.diff(rate) == 0) | (np.diff(quality) == 0)))
    return f"points {_pair(rate, quality, i)} and {_pair(rate, quality, i + 1)} share rate or quality"


def _not_monotone(rate: Floats, quality: Floats) -> str:
    i = int(np.argmax(np.diff(quality) < 0))
    return f"more rate gives less quality: {_pair(rate, quality, i)}, then {_pair(rate, quality, i + 1)}"


def _raw(_: Floats, quality: Floats) -> str:
    return f"qualities {_range(quality)} look like raw MS-SSIM; papers take it in dB, which gives another BD-rate"


def _pair(rate: Floats, quality: Floats, i: int) -> str:
    return f"({rate[i]:g}, {quality[i]:g})"


def _range(values: Floats) -> str:
    return f"{values.min():g} to {values.max():g}"
