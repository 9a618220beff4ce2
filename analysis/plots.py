"""Rate-distortion curves as figures: quality over rate, and the rate that each saves against an anchor."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from analysis.bd import bd_rate
from analysis.curve_files import Curve, told_apart
from analysis.curve_metrics import label_of
from analysis.errors import AnalysisError, CurveError
from analysis.interpolation import Floats
from analysis.out_places import write_out
from lic_exp.plot_style import (
    BAND,
    NEUTRAL,
    SUFFIXES,
    encoded,
    in_style,
    legend_below,
    legend_name,
    literal,
    looks,
    name_axes,
    new_figure,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MANY = 12
"""So many curves have room in a legend inside of the axes, or below them."""

SAMPLES = 101
"""Qualities at which a saving is drawn."""


def rd_plot(path: Path, curves: Sequence[Curve], metric: str = "psnr") -> None:
    """`rd_figure` as a .png, .pdf or .svg file."""
    check_suffix(path)
    write_figure(path, rd_figure(curves, metric))


def check_suffix(path: Path) -> None:
    """Raise AnalysisError where a figure cannot be written so, before anything is computed for it."""
    if path.suffix not in SUFFIXES:
        raise AnalysisError(f"{path}: a plot is one of {', '.join(SUFFIXES)}")


def write_figure(path: Path, figure: "Figure") -> None:
    """Write what `--out` names. Raises AnalysisError, and OSError, as `analysis.out_places.write_out`."""
    check_suffix(path)
    write_out(path, encoded(figure, path.suffix))


@in_style
def rd_figure(curves: Sequence[Curve], metric: str = "psnr", *, width: float = 7.5) -> "Figure":
    """Quality over rate, one line per curve through its points in order of rate.

    Around a mean over seeds a band from the lowest to the highest of them, where all have points on both sides.
    width: of the figure [inches]; a narrow one has its legend below.
    """
    few = len(curves) <= MANY
    beside = 0.0 if few else 3.0
    figure = new_figure(width + beside, 5 if width > 6 else 4.2)
    axes = figure.subplots()
    for curve, look in zip(told_apart(curves), looks(len(curves)), strict=True):
        points = sorted(zip(curve.bpp, curve.quality(metric), strict=True))
        rates, qualities = zip(*points, strict=True)
        axes.plot(rates, qualities, label=legend_name(curve.name), **look.options)
        if (band := seed_band(list(curve.by_seed.values()), metric)) is not None:
            axes.fill_between(*band, color=look.colour, alpha=BAND, linewidth=0)
    name_axes(axes, "rate [bpp]", label_of(metric))
    axes.set_xlim(left=0)
    if few and width <= 6:
        legend_below(figure, [axes])
    elif few:
        literal(axes.legend(loc="lower right"))
    else:
        columns = 1 + len(curves) // 26
        literal(axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0.0, ncols=columns))
    return figure


@in_style
def saving_figure(
    anchor: Curve, tests: Sequence[Curve], metric: str = "psnr", *, width: float = 7.5, beside: Sequence[Curve] = ()
) -> "tuple[Figure, list[str]]":
    """By how much the rate of each curve differs from the anchor's at equal quality [%], and what is to be said of it.

    Over the qualities that both reach, PCHIP through log rate as in `bd_rate`; its mean there is not the BD-rate, which
    is the mean of the logarithm. Curves of which no BD-rate follows are left out, and the notes say why. beside: the
    curves of a figure that this one stands beside, in their order: each looks the same in both. Raises CurveError where
    none is left.
    """
    drawn: dict[str, tuple[Floats, Floats]] = {}
    notes = []
    anchor, *tests = [anchor, *tests] if beside else told_apart([anchor, *tests])
    known = [curve.name for curve in beside or (anchor, *tests)]
    styles = dict(zip(known, looks(len(known)), strict=True))
    for curve in tests:
        try:
            drawn[curve.name] = rate_change(anchor, curve, metric)
        except CurveError as error:
            notes.append(f"{curve.name}: {error}")
    if not drawn:
        raise CurveError("; ".join(notes) or "there is no curve to compare with the anchor")
    figure = new_figure(width, 5 if width > 6 else 4.2)
    axes = figure.subplots()
    axes.axhline(0, color=NEUTRAL, linewidth=1)
    for name, (qualities, percent) in drawn.items():
        axes.plot(qualities, percent, label=legend_name(name), markevery=10, **styles[name].options)
    name_axes(axes, label_of(metric), "rate at equal quality [%]", f"against {anchor.name}; below 0 is a saving")
    legend_below(figure, [axes])
    return figure, notes


def rate_change(anchor: Curve, test: Curve, metric: str = "psnr") -> tuple[Floats, Floats]:
    """Qualities (n,) that both curves reach, and by how much the test's rate differs there [%]. Raises CurveError."""
    from scipy.interpolate import PchipInterpolator

    points = anchor.bpp, anchor.quality(metric), test.bpp, test.quality(metric)
    low, high = bd_rate(*points).shared
    qualities = np.linspace(low, high, SAMPLES)
    logs = []
    for curve in (anchor, test):
        order = np.argsort(curve.bpp)
        line = PchipInterpolator(curve.quality(metric)[order], np.log10(curve.bpp[order]))
        logs.append(line(qualities))
    return qualities, 100 * (10 ** (logs[1] - logs[0]) - 1)


def seed_band(seeds: Sequence[Curve], metric: str) -> tuple[Floats, Floats, Floats] | None:
    """Rates (n,), and the lowest and highest quality (n,) of several seeds there, on straight lines between points.

    Over the rates that all seeds reach; None of fewer than two seeds, and where there are none such.
    """
    points = [
        (curve.bpp[order], curve.quality(metric)[order]) for curve in seeds if len(order := np.argsort(curve.bpp))
    ]
    if len(points) < 2:
        return None
    low, high = max(rates[0] for rates, _ in points), min(rates[-1] for rates, _ in points)
    if low >= high:
        return None
    inner = [rate for rates, _ in points for rate in rates if low < rate < high]
    rates = np.unique([low, *inner, high])
    qualities = np.array([np.interp(rates, *one) for one in points])
    return rates, qualities.min(0), qualities.max(0)
