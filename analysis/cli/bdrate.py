"""BD-rate of curves against an anchor, with what to know of each number."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.arguments import CURVE_HELP, console, load_curves, named
from analysis.errors import AnalysisError
from analysis.out_places import write_out
from lic_exp.csv_text import records_text
from lic_exp.json_text import json_text
from lic_exp.saying import say

if TYPE_CHECKING:
    from analysis.bd_comparison import BDComparison


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("anchor", metavar="ANCHOR", help=CURVE_HELP)
    parser.add_argument("tests", nargs="+", metavar="TEST", help="the same")
    parser.add_argument("--method", default="pchip", help="pchip, akima or cubic (default: pchip)")
    parser.add_argument("--metric", default="psnr", help="psnr, ms-ssim-db or ms-ssim (default: psnr)")
    parser.add_argument("--out", type=Path, metavar="FILE", help=".csv or .json")


def run(options: argparse.Namespace) -> int:
    from analysis.bd import known_method
    from analysis.bd_comparison import compare_curves
    from analysis.curves import load_curve

    if options.out is not None and options.out.suffix not in (".csv", ".json"):
        raise AnalysisError(f"--out={options.out}: a BD-rate table is written as .csv or .json")
    anchor = load_curve(options.anchor)
    tests = load_curves(options.tests)
    with named("--method"):
        known_method(options.method)
    with named("--metric"):
        for curve in (anchor, *tests):
            curve.quality(options.metric)
    comparisons = [compare_curves(anchor, test, options.metric, options.method) for test in tests]
    if options.out is not None:
        _write(options.out, comparisons)
    _print_comparisons(comparisons)
    _print_intervals(options, comparisons)
    for row in comparisons:
        if row.error:
            say(f"{row.test.name}: {row.error}")
    return 2 if any(row.error for row in comparisons) else 0


def _print_comparisons(comparisons: "Sequence[BDComparison]") -> None:
    from rich.table import Table

    from lic_exp.console import styled

    first = comparisons[0]
    others = [name for name in ("pchip", "akima", "cubic") if name != first.method]
    table = Table(title=styled(f"against {first.anchor.name}, {first.metric}; negative % is a saving"))
    table.add_column("test", no_wrap=True)
    # No column may be cut to make room: a shortened number reads like another number.
    for title in (f"BD-rate % {first.method}", *others, "BD dB", "R+lmbda D %", "overlap", "range", "points"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("flags")
    for row in comparisons:
        table.add_row(styled(row.test.name), *_cells(row, others))
    out = console(150)
    out.print(table)
    for row in comparisons:
        for flag in filter(_needs_telling, row.flags):
            out.print(f"{row.test.name}: {flag}")


def _print_intervals(options: argparse.Namespace, comparisons: "Sequence[BDComparison]") -> None:
    """Of trainings that were evaluated on the same images."""
    from analysis.image_interval import bd_rate_over_images, curve_by_image

    wanted = options.metric == "psnr" and any(row.rate is not None for row in comparisons)
    anchor = curve_by_image(options.anchor) if wanted else None
    if anchor is None:
        return
    for name, row in zip(options.tests, comparisons, strict=True):
        over_images = None if row.rate is None else bd_rate_over_images(anchor, curve_by_image(name), options.method)
        if over_images is not None:
            console(150).print(f"{row.test.name}: {over_images}", soft_wrap=True)


def _needs_telling(flag: str) -> bool:
    """Whether a flag says more than the column `points` does."""
    return not flag.startswith("unequal-points:")


def _cells(row: "BDComparison", others: list[str]) -> list[str]:
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


def _write(path: Path, comparisons: "Sequence[BDComparison]") -> None:
    rows = [row.row() for row in comparisons]
    if path.suffix == ".json":
        write_out(path, json_text(rows, indent=1) + "\n")
        return
    write_out(path, records_text([{**row, "flags": "; ".join(row["flags"])} for row in rows]))
