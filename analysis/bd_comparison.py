"""One curve against an anchor, with everything that should be read beside the number."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from analysis.bd import BD, Method, bd_quality, bd_rate
from analysis.curve_files import Curve
from analysis.errors import CurveError
from analysis.lagrangian import rd_change_of_curves
from analysis.made_by import flags as code_flags
from analysis.measured_alike import unlike
from analysis.unlike_runs import unlike_runs


@dataclass(frozen=True)
class BDComparison:
    """test against anchor: BD-rate [%], BD-quality [dB], change of R + lmbda D [%].

    A number is None where it cannot be had; `error` says why there is no BD-rate. rd_change exists for PSNR only.
    """

    anchor: Curve
    test: Curve
    metric: str
    method: Method
    rate: BD | None
    quality: BD | None
    rd_change: float | None
    flags: tuple[str, ...]
    error: str | None

    def row(self) -> dict[str, Any]:
        """One row of a table, plain values."""
        methods = self.rate.methods if self.rate is not None else {}
        shared = self.rate.shared if self.rate is not None else (None, None)
        return {
            "anchor": self.anchor.name,
            "test": self.test.name,
            "metric": self.metric,
            "method": self.method,
            "bd_rate_percent": None if self.rate is None else float(self.rate),
            **{f"bd_rate_{name}_percent": methods.get(name) for name in ("pchip", "akima", "cubic")},
            "bd_quality_db": None if self.quality is None else float(self.quality),
            "rd_change_percent": self.rd_change,
            "overlap": None if self.rate is None else self.rate.overlap,
            "shared_low": shared[0],
            "shared_high": shared[1],
            "points_anchor": len(self.anchor),
            "points_test": len(self.test),
            "flags": list(self.flags),
            "error": self.error,
        }


def compare_curves(anchor: Curve, test: Curve, metric: str = "psnr", method: Method = "pchip") -> BDComparison:
    """Compare `test` with `anchor`. Points that allow no BD-rate give a row with its reason in `error`.

    Raises CurveError for an unknown method and for a metric that a curve does not have.
    """
    points = anchor.bpp, anchor.quality(metric), test.bpp, test.quality(metric)
    flags = list(_flags(anchor, test, metric))
    rate = quality = error = None
    faults: tuple[str, ...] = ()
    try:
        rate = bd_rate(*points, method=method)
        flags += [flag for flag in rate.flags if flag.split(":")[0] not in {own.split(":")[0] for own in flags}]
    except CurveError as refused:
        if not refused.names:
            raise
        error, faults = str(refused), refused.names
    if error is None or faults == ("no-overlap",):
        try:
            quality = bd_quality(*points, method=method)
        except CurveError as refused:
            flags.append(f"no-bd-quality: {refused}")
    comparable = metric == "psnr" and (error is None or faults == ("no-overlap",))
    change = rd_change_of_curves(*points) if comparable else None
    return BDComparison(anchor, test, metric, method, rate, quality, change, tuple(flags), error)


def _flags(anchor: Curve, test: Curve, metric: str) -> Iterator[str]:
    """What the curves' own descriptions give reason to say."""
    if caution := anchor.about.get("caution"):
        yield f"wrong-anchor: {anchor.name}: {caution}"
    if caution := test.about.get("caution"):
        yield f"caution: {test.name}: {caution}"
    runs = {made.signature: made for curve in (anchor, test) for made in curve.made_by}
    yield from (f"other-code: {text}" for text in code_flags(list(runs.values())))
    yield from dict.fromkeys(curve.said(note) for curve in (anchor, test) for note in curve.notes)
    yield from map(str, unlike(anchor, test, metric))
    yield from map(str, unlike_runs(anchor, test))
