"""What each choice of a sweep came to, as mean and interval over its seeds.

The last value of a metric in the finished cells of a sweep, one row per choice of its keys.
"""

import argparse
import math
from typing import Any

from analysis.arguments import add_runs, console, named
from analysis.sweep_manifests import find_sweep
from lic_exp.labels import value_text
from lic_exp.saying import say, show


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "sweep", metavar="SWEEP", nargs="?", help="name, its beginning, or folder (default: the latest)"
    )
    parser.add_argument("--metric", default="val/rd_loss", help="default: %(default)s")
    parser.add_argument("--over", nargs="*", default=["seed"], metavar="KEY", help="repetitions (default: seed)")
    parser.add_argument("--csv", action="store_true", help="CSV instead of a table for people")
    add_runs(parser)


def run(options: argparse.Namespace) -> int:
    sweep = find_sweep(options.sweep, options.runs)
    from rich.table import Table

    from analysis.comparable import code_flags
    from analysis.sweeps import sweep_results
    from lic_exp.console import styled
    from lic_exp.csv_text import frame_text

    found = sweep_results(sweep)
    with named("--over"):
        found.check_over(options.metric, options.over)
    with named("--metric"):
        summary = found.summary(options.metric, options.over)
    flags = [] if found.runs is None else code_flags(found.runs)
    if options.csv:
        say(*flags)
        show(*frame_text(summary).splitlines())
        return 0
    over = f"95 % interval over {' and '.join(options.over)} alone" if options.over else "no repetitions"
    table = Table(title=styled(f"{found.name}: last {options.metric} of finished cells, {over}"))
    keys = [key for key in found.keys if key not in options.over]
    for key in keys:
        table.add_column(styled(key))
    for title in ("done", "mean", "low", "high"):
        table.add_column(title, justify="right")
    for row in summary.to_dict("records"):
        counted = f"{row['done']}/{row['cells']}"
        numbers = [_text(row[name]) for name in ("mean", "low", "high")]
        table.add_row(*(styled(_choice(row[key])) for key in keys), counted, *numbers)
    out = console(150)
    out.print(table)
    for flag in flags:
        out.print(flag, markup=False, highlight=False)
    return 0


def _choice(value: Any) -> str:
    """The value of a key, blank where a cell has no such key."""
    missing = value is None or (isinstance(value, float) and math.isnan(value))  # pandas makes the one of the other
    return "" if missing else value_text(value)


def _text(value: Any) -> str:
    return f"{value:.6g}" if math.isfinite(value) else ""
