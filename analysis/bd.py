"""Bjontegaard deltas that come with their report; the traps and their treatment are in docs/bd_rate.md.

BD-rate: 100 (10^d - 1) % with d = mean over the shared quality range of log10 R_test(q) - log10 R_anchor(q).
BD-quality: mean over the shared range of log10 rate of q_test - q_anchor, in dB. (Bjontegaard, VCEG-M33, 2001.)
"""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import ArrayLike, NDArray

from analysis.bd_checks import (
    METHODS_APART,
    SHORT_RANGE_DB,
    SMALL_OVERLAP,
    CurveFinding,
    CurvePoints,
    Describe,
    arrange,
    cautions,
    faults,
)
from analysis.errors import CurveError
from analysis.interpolation import MINIMUM_POINTS, Floats, mean_over
from analysis.published import caution_about

Method = Literal["pchip", "akima", "cubic"]
Invalid = Literal["raise", "nan"]


class BD(float):
    """A Bjontegaard delta [% or dB] with its report.

    overlap: shared range over the test curve's range, of quality [dB] (BD-rate) or of log10 rate (BD-quality).
    shared: that range, (lowest, highest).
    flags: what a reader should know, each "name: numbers"; () where there is nothing.
    methods: the value by every method that the points allow.
    """

    overlap: float
    shared: tuple[float, float]
    flags: tuple[str, ...]
    methods: dict[str, float]
    method: str


@dataclass(frozen=True, eq=False)
class BDSamples(NDArrayOperatorsMixin):
    """Bjontegaard deltas (...) of many curves: an array to NumPy, with the attributes of `BD` as arrays (...).

    A flag names its first sample and counts the rest; `flags_of` are those of one sample. It is no subclass of ndarray,
    whose `flags` are something else.
    """

    values: Floats
    overlap: Floats
    shared: tuple[Floats, Floats]
    flags: tuple[str, ...]
    methods: dict[str, Floats]
    method: str
    findings: tuple[CurveFinding, ...] = ()

    def flags_of(self, *index: int) -> tuple[str, ...]:
        """What `BD.flags` are of this sample alone."""
        return tuple(text for finding in self.findings if (text := finding.at(index)))

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.array(self.values, dtype=dtype) if copy else np.asarray(self.values, dtype=dtype)

    def __array_ufunc__(self, ufunc: Any, method: Any, *inputs: Any, **kwargs: Any) -> Any:
        return getattr(ufunc, method)(*(i.values if isinstance(i, BDSamples) else i for i in inputs), **kwargs)

    def __getitem__(self, index: Any) -> Any:
        return self.values[index]

    def __len__(self) -> int:
        return len(self.values)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape


def bd_rate(
    rate_anchor: ArrayLike,
    quality_anchor: ArrayLike,
    rate_test: ArrayLike,
    quality_test: ArrayLike,
    method: Method = "pchip",
    *,
    invalid: Invalid = "raise",
) -> Any:
    """Mean change of rate at equal quality, test against anchor [%]; negative is a saving.

    rate (..., n): in one unit for both curves, positive; quality (..., n): PSNR or MS-SSIM in dB. The curves may
    have different n. Points are sorted by rate. With leading axes (bootstrap samples) these broadcast, and the
    result is `BDSamples`; without, `BD`. `invalid="nan"` gives faulty samples NaN and a flag instead of an error.
    Raises CurveError (a ValueError) where no honest number follows from the points.
    """
    anchor, test = _curves(rate_anchor, quality_anchor, rate_test, quality_test, method)
    return _delta(anchor, test, method, invalid, by_quality=True)


def bd_quality(
    rate_anchor: ArrayLike,
    quality_anchor: ArrayLike,
    rate_test: ArrayLike,
    quality_test: ArrayLike,
    method: Method = "pchip",
    *,
    invalid: Invalid = "raise",
) -> Any:
    """Mean change of quality at equal rate (BD-PSNR) [dB]; positive is a gain. Arguments and errors as `bd_rate`."""
    anchor, test = _curves(rate_anchor, quality_anchor, rate_test, quality_test, method)
    return _delta(anchor, test, method, invalid, by_quality=False)


def _curves(
    rate_anchor: ArrayLike, quality_anchor: ArrayLike, rate_test: ArrayLike, quality_test: ArrayLike, method: str
) -> tuple[CurvePoints, CurvePoints]:
    known_method(method)
    fewest = MINIMUM_POINTS[method]
    anchor = arrange("anchor", rate_anchor, quality_anchor, fewest, method)
    return anchor, arrange("test", rate_test, quality_test, fewest, method)


def known_method(method: str) -> None:
    """Raise CurveError where there is no such way of interpolating."""
    if method not in MINIMUM_POINTS:
        near = difflib.get_close_matches(str(method), MINIMUM_POINTS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise CurveError(f"no method {method!r}: it is one of {', '.join(MINIMUM_POINTS)}{hint}")


def _delta(anchor: CurvePoints, test: CurvePoints, method: str, invalid: Invalid, *, by_quality: bool) -> Any:
    wrong, broken = [], np.asarray(False)
    for finding in [*faults(anchor), *faults(test)]:
        if finding.where.any():
            wrong.append(finding)
            broken = broken | finding.where
    _refuse(wrong, invalid)
    x_anchor, y_anchor, x_test, y_test = _functions(anchor, test, broken, by_quality)
    low, high = np.maximum(x_anchor[..., 0], x_test[..., 0]), np.minimum(x_anchor[..., -1], x_test[..., -1])
    nothing = (high <= low) & ~broken
    apart = CurveFinding("no-overlap", nothing, _no_overlap(x_anchor, x_test, nothing.shape, by_quality))
    if apart.where.any():
        _refuse([apart], invalid)
        wrong.append(apart)
    broken = broken | apart.where
    overlap = np.where(broken, np.nan, np.maximum(high - low, 0) / (x_test[..., -1] - x_test[..., 0]))

    fewest = min(x_anchor.shape[-1], x_test.shape[-1])
    low_or_any, high_or_any = np.where(broken, 0.0, low), np.where(broken, 1.0, high)
    values = {}
    for name in [name for name, least in MINIMUM_POINTS.items() if least <= fewest]:
        mean_test = mean_over(x_test, y_test, low_or_any, high_or_any, name)
        change = mean_test - mean_over(x_anchor, y_anchor, low_or_any, high_or_any, name)
        change = np.where(broken, np.nan, change)
        values[name] = 100 * np.expm1(change * np.log(10)) if by_quality else change

    findings = [*wrong, *_flags(anchor, test, overlap, (low, high), values, by_quality=by_quality)]
    return _result(method, values, overlap, (low, high), [finding for finding in findings if finding.where.any()])


def _refuse(wrong: list[CurveFinding], invalid: Invalid) -> None:
    """Raise what is wrong, unless it is wrong of some samples and the caller wants NaN there."""
    if invalid not in ("raise", "nan"):
        raise CurveError(f'invalid={invalid!r}: it is "raise" or "nan"')
    if wrong and (invalid == "raise" or any(finding.where.ndim == 0 for finding in wrong)):
        raise CurveError("; ".join(map(str, wrong)), tuple(finding.name for finding in wrong))


def _functions(
    anchor: CurvePoints, test: CurvePoints, broken: NDArray[np.bool_], by_quality: bool
) -> tuple[Floats, Floats, Floats, Floats]:
    """Abscissa and ordinate of anchor and of test; a straight line stands in for a broken sample."""
    axes = []
    for curve in (anchor, test):
        rate, quality = curve.rate, curve.quality
        if broken.any():
            line = np.linspace(1.0, 2.0, rate.shape[-1])
            rate, quality = (np.where(broken[..., None], line, values) for values in (rate, quality))
        axes += [quality, np.log10(rate)] if by_quality else [np.log10(rate), quality]
    return axes[0], axes[1], axes[2], axes[3]


def _no_overlap(x_anchor: Floats, x_test: Floats, shape: tuple[int, ...], by_quality: bool) -> Describe:
    what = "quality" if by_quality else "rate"
    ends = [np.broadcast_to((x if by_quality else 10**x)[..., [0, -1]], (*shape, 2)) for x in (x_anchor, x_test)]

    def describe(index: tuple[int, ...]) -> str:
        a, t = ends[0][index], ends[1][index]
        raw = by_quality and min(a[1], t[1]) <= 1 < max(a[1], t[1])
        hint = "; is one raw MS-SSIM and the other dB?" if raw else ""
        return (
            f"{what} {a[0]:g} to {a[1]:g} of the anchor and {t[0]:g} to {t[1]:g} of the test share no range{hint}; "
            "rd_change needs none"
        )

    return describe


def _flags(
    anchor: CurvePoints,
    test: CurvePoints,
    overlap: Floats,
    shared: tuple[Floats, Floats],
    values: dict[str, Floats],
    *,
    by_quality: bool,
) -> Iterator[CurveFinding]:
    for curve in (anchor, test):
        yield from cautions(curve)
    if anchor.rate.ndim == 1 and (caution := caution_about(anchor.rate, anchor.quality)):
        yield CurveFinding("wrong-anchor", np.asarray(True), lambda _: caution)
    counts = anchor.rate.shape[-1], test.rate.shape[-1]
    unequal = np.full(overlap.shape, counts[0] != counts[1])
    yield CurveFinding(
        "unequal-points", unequal, lambda _: f"anchor {counts[0]}, test {counts[1]}; no method needs them equal"
    )
    same = np.full(overlap.shape, counts[0] == counts[1])
    if counts[0] == counts[1]:
        same = ((anchor.rate == test.rate) & (anchor.quality == test.quality)).all(-1)
    yield CurveFinding("same-curve", same, lambda _: "anchor and test are the same points")
    what, low, high = "quality" if by_quality else "log10 rate", *shared
    small = overlap < SMALL_OVERLAP
    if by_quality:
        # Raw MS-SSIM spans less than 1 always, and has its own flag.
        small = small | ((overlap > 0) & (high - low < SHORT_RANGE_DB) & (high > 1))
    yield CurveFinding(
        "small-overlap",
        small,
        lambda i: f"{100 * overlap[i]:.1f} % of the test's range of {what}, {low[i]:g} to {high[i]:g}; see rd_change",
    )
    if by_quality:
        stack = np.stack(list(values.values()))
        spread = stack.max(0) - stack.min(0)

        def apart(index: tuple[int, ...]) -> str:
            each = ", ".join(f"{name} {value[index]:.2f}" for name, value in values.items())
            return f"{each}: {spread[index]:.2f} points between them"

        yield CurveFinding("methods-apart", spread > METHODS_APART, apart)


def _result(
    method: str, values: dict[str, Floats], overlap: Floats, shared: tuple[Floats, Floats], found: list[CurveFinding]
) -> BD | BDSamples:
    flags = tuple(map(str, found))
    if overlap.ndim:
        return BDSamples(values[method], overlap, shared, flags, values, method, tuple(found))
    result = BD(values[method])
    result.overlap, result.shared = float(overlap), (float(shared[0]), float(shared[1]))
    result.methods = {name: float(value) for name, value in values.items()}
    result.flags, result.method = flags, method
    return result
