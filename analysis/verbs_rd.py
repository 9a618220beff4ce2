"""The verbs `rd` (curves as table, picture, file) and `bdrate` (curves against an anchor)."""

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.errors import AnalysisError

if TYPE_CHECKING:
    from rich.console import Console

    from analysis.savings import Saving

CURVE_HELP = (
    "a published curve (kodak/vtm_18.0), a results file (.json), a run folder, a folder of runs, or several of these "
    "joined by commas to one curve"
)


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    rd = verbs.add_parser("rd", help="rate-distortion curves: table, plot, CSV, CompressAI's results format")
    rd.add_argument("curves", nargs="*", metavar="CURVE", help=CURVE_HELP)
    rd.add_argument("--metric", default="psnr", help="psnr, ms-ssim-db or ms-ssim, for the plot (default: psnr)")
    rd.add_argument("--out", type=Path, metavar="FILE", help=".png, .pdf, .svg, .csv, .json (one curve), or a folder")
    rd.add_argument("--list", action="store_true", help="list the published curves and where they come from")
    rd.set_defaults(verb=_rd)
    bdrate = verbs.add_parser("bdrate", help="BD-rate of curves against an anchor, with what to know of each number")
    bdrate.add_argument("anchor", metavar="ANCHOR", help=CURVE_HELP)
    bdrate.add_argument("tests", nargs="+", metavar="TEST", help="the same")
    bdrate.add_argument("--method", default="pchip", help="pchip, akima or cubic (default: pchip)")
    bdrate.add_argument("--metric", default="psnr", help="psnr, ms-ssim-db or ms-ssim (default: psnr)")
    bdrate.add_argument("--out", type=Path, metavar="FILE", help=".csv or .json")
    bdrate.set_defaults(verb=_bdrate)


def _rd(options: argparse.Namespace) -> int:
    from analysis.curves import load_curve, write_curves

    if options.list:
        return _list_published()
    if not options.curves:
        raise AnalysisError("rd needs a curve; `python -m analysis rd --list` shows the published ones")
    curves = [load_curve(name) for name in options.curves]
    for curve in curves:
        curve.quality(options.metric)
    if options.out is not None:
        from analysis.plots import SUFFIXES, rd_plot

        if options.out.suffix in SUFFIXES:
            rd_plot(options.out, curves, options.metric)
        else:
            write_curves(options.out, curves)
    _print_points(curves)
    return 0


def _print_points(curves: Sequence[Any]) -> None:
    from rich.markup import escape
    from rich.table import Table

    metrics = {"psnr": "{:.3f}", "ms-ssim-db": "{:.3f}", "ms-ssim": "{:.5f}"}
    table = Table()
    for title in ("curve", "bpp", "PSNR dB", "MS-SSIM dB", "MS-SSIM"):
        table.add_column(title, justify="left" if title == "curve" else "right")
    for curve in curves:
        columns = [
            [form.format(value) for value in curve.quality(metric)] if metric in curve.metrics else [""] * len(curve)
            for metric, form in metrics.items()
        ]
        for i, (bpp, *cells) in enumerate(zip(curve.bpp, *columns, strict=True)):
            table.add_row("" if i else escape(curve.name), f"{bpp:.4f}", *cells, end_section=i == len(curve) - 1)
    console = _console()
    console.print(table)
    for curve in curves:
        if caution := curve.about.get("caution"):
            console.print(f"{curve.name}: caution: {caution}", markup=False, highlight=False)


def _list_published() -> int:
    from rich.markup import escape
    from rich.table import Table

    from analysis.curves import load_curve
    from analysis.published import anchors

    table = Table(title="published curves")
    for title in ("name", "points", "bpp", "metrics", "source"):
        table.add_column(title, overflow="fold")
    for name in anchors():
        curve = load_curve(name)
        rates, source = curve.bpp, curve.about["source"]
        place = f"{source['repo'].removeprefix('https://github.com/')} {source['file']}"
        span = f"{rates.min():.3f} to {rates.max():.3f}"
        table.add_row(name, str(len(curve)), span, ", ".join(curve.metrics), escape(place))
    _console().print(table)
    return 0


def _bdrate(options: argparse.Namespace) -> int:
    from analysis.curves import load_curve
    from analysis.savings import saving

    if options.out is not None and options.out.suffix not in (".csv", ".json"):
        raise AnalysisError(f"{options.out}: a BD-rate table is written as .csv or .json")
    anchor = load_curve(options.anchor)
    savings = [saving(anchor, load_curve(test), options.metric, options.method) for test in options.tests]
    if options.out is not None:
        _write(options.out, savings)
    _print_savings(savings)
    for row in savings:
        if row.error:
            print(f"{row.test.name}: {row.error}", file=sys.stderr)
    return 2 if any(row.error for row in savings) else 0


def _print_savings(savings: "Sequence[Saving]") -> None:
    from rich.markup import escape
    from rich.table import Table

    first = savings[0]
    others = [name for name in ("pchip", "akima", "cubic") if name != first.method]
    table = Table(title=f"against {escape(first.anchor.name)}, {first.metric}; negative % is a saving")
    table.add_column("test", no_wrap=True)
    # No column may be cut to make room: a shortened number reads like another number.
    for title in (f"BD-rate % {first.method}", *others, "BD dB", "R+lmbda D %", "overlap", "range", "points"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("flags")
    for row in savings:
        table.add_row(escape(row.test.name), *_cells(row, others))
    console = _console()
    console.print(table)
    for row in savings:
        for flag in filter(_needs_telling, row.flags):
            console.print(f"{row.test.name}: {flag}", markup=False, highlight=False)


def _needs_telling(flag: str) -> bool:
    """Whether a flag says more than the column `points` does."""
    return not flag.startswith("unequal-points:")


def _cells(row: "Saving", others: list[str]) -> list[str]:
    points = f"{len(row.anchor)}/{len(row.test)}"
    flags = ", ".join(flag.split(":")[0] for flag in row.flags if _needs_telling(flag))
    rate = row.rate
    quality = "" if row.quality is None else f"{row.quality:+.3f}"
    change = "" if row.rd_change is None else f"{row.rd_change:+.2f}"
    if rate is None:
        return ["none", *[""] * len(others), quality, change, "", "", points, ", ".join(filter(None, ["error", flags]))]
    methods = [f"{rate.methods[name]:+.2f}" if name in rate.methods else "" for name in others]
    shared = f"{rate.shared[0]:.2f} to {rate.shared[1]:.2f}"
    return [f"{rate:+.2f}", *methods, quality, change, f"{rate.overlap:.2f}", shared, points, flags]


def _write(path: Path, savings: "Sequence[Saving]") -> None:
    rows = [row.row() for row in savings]
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".json":
        path.write_text(json.dumps(rows, indent=1) + "\n")
        return
    with open(path, "w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows({**row, "flags": "; ".join(row["flags"])} for row in rows)


def _console() -> "Console":
    """Where nobody's terminal sets a width, tables get room for all their columns."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 150)
