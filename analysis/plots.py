"""Pictures. Matplotlib is imported where it draws, without pyplot: no display, no global state."""

import io
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

import numpy as np

from analysis.curve_files import Curve, told_apart
from analysis.curve_metrics import label_of
from analysis.errors import AnalysisError
from analysis.interpolation import Floats
from analysis.out_places import write_out
from lic_exp.text import visible

SUFFIXES = (".png", ".pdf", ".svg")


def rd_plot(path: Path, curves: Sequence[Curve], metric: str = "psnr") -> None:
    """Quality over rate, one line per curve through its points in order of rate, into a .png, .pdf or .svg file.

    Around a mean over seeds a band from the lowest to the highest of them, where all have points on both sides.
    """
    if path.suffix not in SUFFIXES:
        raise AnalysisError(f"{path}: a plot is one of {', '.join(SUFFIXES)}")
    from matplotlib.figure import Figure

    few = len(curves) <= 12
    figure = Figure(figsize=(7.5 if few else 10.5, 5), layout="constrained")
    axes = figure.add_subplot()
    markers, styles = cycle("os^Dv<>PX*"), cycle(["-"] * 10 + ["--"] * 10 + [":"] * 10)
    for curve, marker, style in zip(told_apart(curves), markers, styles, strict=False):
        points = sorted(zip(curve.bpp, curve.quality(metric), strict=True))
        rates, qualities = zip(*points, strict=True)
        (line,) = axes.plot(
            rates, qualities, linestyle=style, marker=marker, markersize=4, linewidth=1.2, label=_label(curve.name)
        )
        if (band := seed_band(list(curve.by_seed.values()), metric)) is not None:
            axes.fill_between(*band, color=line.get_color(), alpha=0.25, linewidth=0)
    axes.set_xlabel("rate [bpp]")
    axes.set_ylabel(label_of(metric))
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    outside = {"loc": "upper left", "bbox_to_anchor": (1.01, 1), "borderaxespad": 0.0, "ncols": 1 + len(curves) // 26}
    legend = axes.legend(fontsize="small", **({"loc": "lower right"} if few else outside))
    for text in legend.get_texts():
        text.set_parse_math(False)  # a name is a name, dollar signs and all
    drawn = io.BytesIO()
    figure.savefig(drawn, format=path.suffix.removeprefix("."), dpi=150)
    write_out(path, drawn.getvalue())


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


def _label(name: str) -> str:
    """A name as a legend takes it, which would leave out one that begins with an underscore."""
    text = visible(name)
    return f" {text}" if text.startswith("_") else text
