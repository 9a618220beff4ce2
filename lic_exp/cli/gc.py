"""`gc`: find what nobody needs any more, and delete it."""

import argparse
import sys
from collections.abc import Sequence
from itertools import groupby

from rich.table import Table

from lic_exp import exit_codes
from lic_exp.cli.arguments import add_runs, add_yes, confirmed
from lic_exp.config.errors import ConfigError
from lic_exp.console import console_for, styled
from lic_exp.runs.cleaning import LOCKS, Litter, find_litter, remove_litter
from lic_exp.saying import say, show
from lic_exp.text import size_text

SUMMARY = "delete what nobody needs: old step checkpoints, left-overs, runs without a checkpoint"
DESCRIPTION = (
    "Find and delete: step checkpoints of finished runs, left-over temporary files, runs that ended before their first "
    "checkpoint, locks of finished runs. Of step checkpoints the last one stays, those that trainer.keep_every_steps "
    "keeps, and those that unfinished runs begin at (parent, parent_step). best.pt always stays."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_runs(parser)
    parser.add_argument(
        "--keep-last",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="keep a finished run's last step checkpoint, which extending it needs (default)",
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would go")
    add_yes(parser)


def run(options: argparse.Namespace) -> int:
    litter = find_litter(options.runs, keep_last=options.keep_last)
    if not litter:
        show(f"nothing to remove in {options.runs}")
        return exit_codes.DONE
    _print_table(litter)
    total = size_text(sum(item.bytes for item in litter))
    if options.dry_run or not confirmed(f"remove {total}?", yes=options.yes):
        show(f"nothing was removed; {total} could go")
        return exit_codes.DONE
    refused: list[str] = []
    freed = remove_litter(litter, lambda reason: say(f"left alone: {reason}"), refused.append)
    if len(refused) == len({item.run for item in litter}):
        raise ConfigError(refused)
    for reason in refused:
        say(f"not removed: {reason}")
    show(f"removed {size_text(freed)}")
    return exit_codes.FAILED if refused else exit_codes.DONE


def _print_table(litter: Sequence[Litter]) -> None:
    """One row per kind and run, and the total."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_footer=True)
    table.add_column("what", "total")
    table.add_column("where", overflow="fold")
    table.add_column("files", str(len(litter)), justify="right")
    table.add_column("size", size_text(sum(item.bytes for item in litter)), justify="right", no_wrap=True)
    for (kind, where), group in groupby(litter, key=_row):
        items = list(group)
        place = where or ("1 run" if len(items) == 1 else f"{len(items)} runs")
        table.add_row(kind, styled(place), str(len(items)), size_text(sum(item.bytes for item in items)))
    console_for(sys.stdout).print(table, highlight=False)


def _row(item: Litter) -> tuple[str, str]:
    """What shares a row; locks are empty files of which there is one per run."""
    return item.kind, "" if item.kind == LOCKS else str(item.run or item.path)
