"""The verbs `compare` (runs side by side) and `speedup` (how much sooner one arm gets there than another)."""

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from analysis.errors import AnalysisError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from analysis.runs import Runs
    from analysis.speedup import SpeedUp

RUN_HELP = "run folder, signature, or the beginning of one"

FACTS = ("name", "state", "reason", "step", "git_commit", "stale", "device")
"""What is said of every run, also where all agree."""

NO_DIFFERENCE = (
    *("signature", "folder", "name", "tags", "started", "finished", "host", "attempt", "max_steps", "git_dirty"),
    *("paths.runs", "lmbda"),
)
"""What differs between runs without being a difference, or stands there under another name."""

MEASURES = ("bpp", "psnr", "ms_ssim", "ms_ssim_db", "encode_s", "decode_s")


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    compare = verbs.add_parser("compare", help="what differs between runs: config, state, last metrics, evaluations")
    compare.add_argument("names", nargs="+", metavar="RUN", help=RUN_HELP)
    compare.add_argument("--metrics", metavar="START", default="val/", help="metrics that begin so (default: val/)")
    compare.set_defaults(verb=_compare)
    speedup = verbs.add_parser("speedup", help="steps, epochs, images, seconds and MACs until the baseline's level")
    for arm in ("baseline", "test"):
        speedup.add_argument(f"--{arm}", required=True, metavar="RUN[,RUN]", help=f"{RUN_HELP}; one per seed and rate")
    speedup.add_argument(
        "--target", metavar="LEVEL", help="final, before-decay, or a number (default: the first two, one after another)"
    )
    speedup.add_argument("-k", type=int, help="evaluations that make a level (default: 3; with --budgets 1)")
    speedup.add_argument("--budgets", action="store_true", help="the arms have decayed runs of several lengths")
    speedup.add_argument("--trust", nargs="*", default=[], metavar="KEY", help="config keys that may differ: data.val")
    speedup.set_defaults(verb=_speedup)
    for parser in (compare, speedup):
        parser.add_argument("--runs", default="runs", metavar="FOLDER", help="where run folders are (default: runs)")
        parser.add_argument("--code", metavar="COMMIT", help="the git commit that runs should be of; others are stale")


def _load(names: Sequence[str], options: argparse.Namespace) -> "Runs":
    from analysis.runs import find_runs, load_runs

    return load_runs(find_runs(names, options.runs), code=options.code)


def _compare(options: argparse.Namespace) -> int:
    runs = _load(options.names, options)
    console, ids = _console(), list(runs.runs["signature"])
    console.print(_side_by_side("runs and what differs between them", ids, _differences(runs)))
    console.print(_side_by_side("last values", ids, _last_values(runs, options.metrics)))
    if not runs.evaluation.empty:
        console.print(_side_by_side("evaluations, mean over images", ids, _evaluations(runs)))
    return 0


def _differences(runs: "Runs") -> dict[str, list[Any]]:
    table = runs.runs
    columns = [str(column) for column in table if column not in NO_DIFFERENCE and column not in FACTS]
    different = [column for column in columns if len({_text(value) for value in table[column]}) > 1]
    return {column: list(table[column]) for column in (*FACTS, *different)}


def _last_values(runs: "Runs", start: str) -> dict[str, list[Any]]:
    final = runs.final()
    return {str(name): list(final[name]) for name in final if str(name).startswith(start)}


def _evaluations(runs: "Runs") -> dict[str, list[Any]]:
    """Means of each set of images, and of each rate of variable-rate codecs."""
    measures = [name for name in MEASURES if name in runs.evaluation]
    table = runs.evaluation.assign(rate=runs.evaluation.get("rate", math.nan))
    found: dict[str, list[Any]] = {}
    for key, rows in table.groupby(["set", "rate"], dropna=False):
        name, rate = cast(tuple[str, float], key)
        title = (name or "its own images") + ("" if math.isnan(rate) else f", quality {rate:g}")
        by_run = rows.groupby("signature")
        own = by_run[measures].mean().reindex(runs.runs["signature"])
        found[f"{title}: images"] = list(by_run.size().reindex(own.index))
        found |= {f"{title}: {measure}": list(own[measure]) for measure in measures}
    return found


def _side_by_side(title: str, ids: Sequence[str], rows: Mapping[str, Sequence[Any]]) -> "Table":
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title)
    table.add_column("", no_wrap=True)
    for signature in ids:
        table.add_column(signature, justify="right", overflow="fold")
    for name, values in rows.items():
        table.add_row(escape(name), *(escape(_text(value)) for value in values))
    return table


def _text(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return str(list(value)) if isinstance(value, tuple) else str(value)


def _speedup(options: argparse.Namespace) -> int:
    from analysis.budgets import budget_speed_up
    from analysis.speedup import speed_up

    arms = [_load(names.split(","), options) for names in (options.baseline, options.test)]
    if options.budgets:
        if options.target is not None:
            raise AnalysisError("--budgets compares final levels and takes no --target")
        _print_speed_up(budget_speed_up(*arms, k=options.k or 1, trusted=options.trust))
        return 0
    chosen = {"k": options.k or 3, "trusted": options.trust}
    if options.target is not None:
        _print_speed_up(speed_up(*arms, target=_target(options.target), **chosen))
        return 0
    _print_speed_up(speed_up(*arms, **chosen))
    try:
        _print_speed_up(speed_up(*arms, target="before-decay", **chosen))
    except AnalysisError as error:
        print(f"no level before the decay: {error}")
    return 0


def _target(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


def _print_speed_up(found: "SpeedUp") -> None:
    from rich.markup import escape
    from rich.table import Table

    console = _console()
    table = Table(title=f"speed-up, target: {found.target} (k = {found.k}); above 1 the test is sooner")
    for column in ("seed", "lmbda", "baseline", "test", "target", "outcome", *found.ratios):
        table.add_column(column, justify="left" if column in ("baseline", "test", "outcome") else "right")
    for row in found.pairs.to_dict("records"):
        ratios = (_ratio(row, unit) for unit in found.ratios)
        names = (row["baseline"], row["test"])
        table.add_row(
            str(row["seed"]), _text(row["lmbda"]), *names, _text(row.get("target", math.nan)), row["outcome"], *ratios
        )
    console.print(table)
    for unit, ratio in found.ratios.items():
        console.print(f"{unit:8} {ratio}", highlight=False, markup=False)
    if not found.sensitivity.empty:
        table = Table(title="the same in steps with other targets")
        table.add_column("k", justify="right")
        scales = list(dict.fromkeys(found.sensitivity["target"]))
        for scale in scales:
            table.add_column(f"target {scale}", justify="right")
        for k, rows in found.sensitivity.groupby("k"):
            table.add_row(str(k), *(escape(str(ratio)) for ratio in rows["steps"]))
        console.print(table)
    for flag in found.flags:
        console.print(flag, highlight=False, markup=False)


def _ratio(row: Mapping[Any, Any], unit: str) -> str:
    if row["outcome"] != "reached":
        return ""
    return "unknown" if math.isnan(row[unit]) else f"{row[unit]:.2f}x"


def _console() -> "Console":
    """Where nobody's terminal sets a width, tables get room: a number that was cut reads like another one."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 200)
