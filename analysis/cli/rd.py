"""Rate-distortion curves: table, plot, CSV, CompressAI's results format."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.arguments import CURVE_HELP, METRIC_HELP, add_curve_options, console, load_curves, named, one_of_curves
from analysis.errors import AnalysisError
from lic_exp.saying import say

if TYPE_CHECKING:
    from analysis.curve_files import Curve


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("curves", nargs="*", metavar="CURVE", help=CURVE_HELP)
    parser.add_argument("--metric", default="psnr", help=f"for the plot and BD-rates: {METRIC_HELP}")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help=".png, .pdf, .svg, .csv, .json (one curve), or a folder"
    )
    parser.add_argument(
        "--baseline",
        metavar="CURVE",
        help="what BD-rates compare with: a label, or any other curve (default: of a sweep, its first and all anchors)",
    )
    add_curve_options(parser)
    parser.add_argument(
        "--anchors",
        metavar="NAMES",
        help="codecs that are measured on the photos of the runs: jpeg,webp,vvc,... (`anchors --list` has all)",
    )
    parser.add_argument("--list", action="store_true", help="list the published curves and where they come from")


def run(options: argparse.Namespace) -> int:
    from analysis.curve_files import write_curves

    if options.list:
        return _list_published()
    if not options.curves:
        raise AnalysisError("rd needs a curve; `python -m analysis rd --list` shows the published ones")
    curves = load_curves(options.curves, options)
    with named("--metric"):  # before minutes go into measuring
        for curve in curves:
            curve.quality(options.metric)
    if options.anchors is not None:
        curves = _with_anchors(curves, options)
    compared = list(_compared(options, curves))
    with named("--metric"):
        for curve in curves:
            curve.quality(options.metric)
    if options.out is not None:
        from analysis.plots import rd_plot
        from lic_exp.plot_style import SUFFIXES

        if options.out.suffix in SUFFIXES:
            rd_plot(options.out, curves, options.metric)
        else:
            write_curves(options.out, curves)
    _print_points(curves)
    _print_unlike(curves, options.metric)
    told = {curve.said(note) for curve in curves for note in curve.notes}
    for anchor, tests in compared:
        from analysis.bd_comparison import compare_curves
        from analysis.bd_report import print_comparisons

        rows = [compare_curves(anchor, test, options.metric) for test in tests]
        print_comparisons(rows, told=told)
        for row in rows:
            if row.error:
                say(f"{row.test.name}: {row.error}")
    return 0


def _with_anchors(curves: "Sequence[Curve]", options: argparse.Namespace) -> "list[Curve]":
    """These, and those of the codecs that `--anchors` names."""
    from analysis.curve_files import told_apart
    from analysis.measured.beside import anchors_beside

    names = [name.strip() for name in options.anchors.split(",") if name.strip()]
    single = [one for curve in curves for one in (curve, *curve.by_seed.values())]
    evaluations = [folder for curve in single for folder in curve.of_runs]
    with named("--anchors"):
        return told_apart([*curves, *anchors_beside(names, evaluations, options.metric)])


def _compared(options: argparse.Namespace, curves: "Sequence[Curve]") -> "Iterator[tuple[Curve, list[Curve]]]":
    """(curve, those that are compared with it). Arms of a sweep are compared unasked: with its first, and with others.

    Raises AnalysisError where the baseline is no curve.
    """
    if options.baseline is not None:
        yield one_of_curves(options.baseline, curves, options)
        return
    arms = [curve for curve in curves if curve.of_runs or curve.by_seed]
    if len(options.curves) == len(curves) and not any(arm.by_seed or len(arm.of_runs) > 1 for arm in arms):
        return
    anchors = [curve for curve in curves if curve not in arms]
    if len(arms) > 1:
        yield arms[0], arms[1:]
    for anchor in anchors:
        yield anchor, arms


def _print_points(curves: Sequence["Curve"]) -> None:
    from rich.table import Table

    from analysis.curve_files import columns_of
    from analysis.curve_metrics import RAW, label_of
    from analysis.made_by import flags
    from lic_exp.console import styled

    metrics = {metric: "{:.5f}" if metric in RAW else "{:.3f}" for metric in columns_of(curves)}
    table = Table()
    for title in ("curve", "bpp", *(label_of(metric).replace("[dB]", "dB") for metric in metrics)):
        table.add_column(title, justify="left" if title == "curve" else "right")
    for curve in curves:
        columns = [
            [form.format(value) for value in curve.quality(metric)] if metric in curve.metrics else [""] * len(curve)
            for metric, form in metrics.items()
        ]
        for i, (bpp, *cells) in enumerate(zip(curve.bpp, *columns, strict=True)):
            table.add_row(styled("" if i else curve.name), f"{bpp:.4f}", *cells, end_section=i == len(curve) - 1)
    out = console(150)
    out.print(table)
    for curve in curves:
        if caution := curve.about.get("caution"):
            out.print(f"{curve.name}: caution: {caution}")
        for flag in [*flags(curve.made_by), *curve.notes]:
            out.print(f"{curve.name}: {flag}", markup=False, highlight=False, soft_wrap=True)


def _print_unlike(curves: Sequence["Curve"], metric: str) -> None:
    """In what any two of the curves that are drawn together are unlike."""
    from analysis.unlike_runs import told_of, unlike_pairs

    for text in told_of(unlike_pairs(curves), metric):
        console(150).print(text, markup=False, highlight=False, soft_wrap=True)


def _list_published() -> int:
    from rich.table import Table

    from analysis.curves import load_curve
    from analysis.published import anchors
    from lic_exp.console import styled

    table = Table(title="published curves")
    for title in ("name", "points", "bpp", "metrics", "source"):
        table.add_column(title, overflow="fold")
    for name in anchors():
        curve = load_curve(name)
        rates, source = curve.bpp, curve.about["source"]
        place = f"{source['repo'].removeprefix('https://github.com/')} {source['file']}"
        span = f"{rates.min():.3f} to {rates.max():.3f}"
        table.add_row(name, str(len(curve)), span, ", ".join(curve.metrics), styled(place))
    console(150).print(table)
    return 0
