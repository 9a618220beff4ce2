"""BD-rate of curves against an anchor, with what to know of each number."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.arguments import (
    CURVE_HELP,
    METRIC_HELP,
    add_curve_options,
    load_curves,
    load_named_curves,
    named,
    one_of_curves,
)
from analysis.errors import AnalysisError
from analysis.out_places import write_out
from lic_exp.csv_text import records_text
from lic_exp.json_text import json_text
from lic_exp.saying import say

if TYPE_CHECKING:
    from analysis.bd_comparison import BDComparison
    from analysis.bd_report import BDInterval
    from analysis.curve_files import Curve


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("anchor", metavar="ANCHOR", help=CURVE_HELP)
    parser.add_argument("tests", nargs="*", metavar="TEST", help="the same; with --baseline, ANCHOR is a test too")
    parser.add_argument(
        "--baseline", metavar="CURVE", help="the anchor, where it is one of a sweep's curves: its label; or any other"
    )
    parser.add_argument("--method", default="pchip", help="pchip, akima or cubic (default: pchip)")
    parser.add_argument("--metric", default="psnr", help=METRIC_HELP)
    parser.add_argument("--out", type=Path, metavar="FILE", help=".csv or .json")
    add_curve_options(parser)
    parser.set_defaults(usage_error=parser.error)


def run(options: argparse.Namespace) -> int:
    from analysis.bd import known_method
    from analysis.bd_comparison import compare_curves

    if options.out is not None and options.out.suffix not in (".csv", ".json"):
        raise AnalysisError(f"--out={options.out}: a BD-rate table is written as .csv or .json")
    anchor, tests = _anchor_and_tests(options)
    with named("--method"):
        known_method(options.method)
    with named("--metric"):
        for curve in (anchor, *tests):
            curve.quality(options.metric)
    comparisons = [compare_curves(anchor, test, options.metric, options.method) for test in tests]
    from analysis.bd_report import intervals, print_comparisons

    found = intervals(comparisons)
    if options.out is not None:
        _write(options.out, comparisons, found)
    print_comparisons(comparisons, found)
    for row in comparisons:
        if row.error:
            say(f"{row.test.name}: {row.error}")
    return 2 if any(row.error for row in comparisons) else 0


def _anchor_and_tests(options: argparse.Namespace) -> "tuple[Curve, list[Curve]]":
    """The curve to compare with and those compared. Raises AnalysisError where it is not said which is the former."""
    if options.baseline is not None:
        curves = load_curves([options.anchor, *options.tests], options)
        return one_of_curves(options.baseline, curves, options)
    first = load_named_curves(options.anchor, options)
    if len(first) == 1 and not options.tests:
        options.usage_error("the following arguments are required: TEST, or --baseline")
    if len(first) > 1:
        names = " | ".join(curve.name for curve in first)
        raise AnalysisError(f"{options.anchor} has {len(first)} curves: name the anchor with --baseline: {names}")
    return first[0], load_curves(options.tests, options)


def _write(path: Path, comparisons: "Sequence[BDComparison]", found: "Sequence[BDInterval]") -> None:
    from analysis.bd_report import interval_row

    rows = [row.row() | interval_row(interval) for row, interval in zip(comparisons, found, strict=True)]
    if path.suffix == ".json":
        write_out(path, json_text(rows, indent=1) + "\n")
        return
    write_out(path, records_text([{**row, "flags": "; ".join(row["flags"])} for row in rows]))
