"""Steps, epochs, images, seconds and MACs until the baseline's level."""

import argparse
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from analysis.arguments import RUN_HELP, add_runs_or_store, console, named, value_text
from analysis.errors import AnalysisError
from analysis.named_runs import load_named
from analysis.run_places import is_store
from lic_exp.command_parser import whole_number
from lic_exp.saying import show

if TYPE_CHECKING:
    from analysis.runs import Runs
    from analysis.speedup import SpeedUp


def add_arguments(parser: argparse.ArgumentParser) -> None:
    for arm in ("baseline", "test"):
        parser.add_argument(f"--{arm}", required=True, metavar="RUN[,RUN]", help=f"{RUN_HELP}; one per seed and rate")
    parser.add_argument(
        "--target", metavar="LEVEL", help="final, before-decay, or a number (default: the first two, one after another)"
    )
    parser.add_argument("-k", type=whole_number(1), help="evaluations that make a level (default: 3; with --budgets 1)")
    parser.add_argument("--budgets", action="store_true", help="the arms have decayed runs of several lengths")
    parser.add_argument("--trust", nargs="*", default=[], metavar="KEY", help="config keys that may differ: data.val")
    add_runs_or_store(parser)


def run(options: argparse.Namespace) -> int:
    if options.budgets and options.target is not None:
        raise AnalysisError("--budgets compares final levels and takes no --target")
    arms = (options.baseline, options.test)
    baseline, test = (load_named(_names(arm, options.runs), options.runs) for arm in arms)
    for found in _measured(baseline, test, options):
        _print_speed_up(found)
    return 0


def _names(text: str, runs: str) -> list[str]:
    """What an arm is called: a store has signatures alone, without commas in them."""
    return text.split(",") if is_store(runs) else [text]


def _measured(baseline: "Runs", test: "Runs", options: argparse.Namespace) -> "Iterator[SpeedUp]":
    from analysis.budgets import budget_speed_up
    from analysis.speedup import check_target, speed_up

    if options.budgets:
        yield budget_speed_up(baseline, test, k=options.k or 1, trusted=options.trust)
        return
    wanted: Any = "final" if options.target is None else _target(options.target)
    with named("--target"):
        check_target(wanted)
    chosen = {"k": options.k or 3, "trusted": options.trust}
    yield speed_up(baseline, test, target=wanted, **chosen)
    if options.target is None:
        try:
            yield speed_up(baseline, test, target="before-decay", **chosen)
        except AnalysisError as error:
            show(f"no level before the decay: {error}")


def _target(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


def _print_speed_up(found: "SpeedUp") -> None:
    from rich.table import Table

    from lic_exp.console import styled

    out = console(200)
    table = Table(title=styled(f"speed-up, target: {found.target} (k = {found.k}); above 1 the test is sooner"))
    for column in ("seed", "lmbda", "baseline", "test", "target", "outcome", *found.ratios):
        table.add_column(column, justify="left" if column in ("baseline", "test", "outcome") else "right")
    for row in found.pairs.to_dict("records"):
        ratios = (_ratio(row, unit) for unit in found.ratios)
        names = (styled(row["baseline"]), styled(row["test"]))
        table.add_row(
            str(row["seed"]),
            value_text(row["lmbda"]),
            *names,
            value_text(row.get("target", math.nan)),
            row["outcome"],
            *ratios,
        )
    out.print(table)
    for unit, ratio in found.ratios.items():
        out.print(f"{unit:8} {ratio}")
    if any(ratio.interval is not None and ratio.seeds > 1 for ratio in found.ratios.values()):
        out.print("intervals: 95 % by Student t over seeds alone, not over images: val/rd_loss is one number of all")
    if not found.sensitivity.empty:
        table = Table(title="the same in steps with other targets")
        table.add_column("k", justify="right")
        scales = list(dict.fromkeys(found.sensitivity["target"]))
        for scale in scales:
            table.add_column(f"target {scale}", justify="right")
        for k, rows in found.sensitivity.groupby("k"):
            table.add_row(str(k), *(styled(str(ratio)) for ratio in rows["steps"]))
        out.print(table)
    for flag in found.flags:
        out.print(flag)


def _ratio(row: Mapping[Any, Any], unit: str) -> str:
    if row["outcome"] != "reached":
        return ""
    return "unknown" if math.isnan(row[unit]) else f"{row[unit]:.2f}x"
