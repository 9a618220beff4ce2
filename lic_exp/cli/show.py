"""`show`: one run's whole story."""

import argparse
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from lic_exp import exit_codes
from lic_exp.cli.arguments import add_run
from lic_exp.console import console_for, styled
from lic_exp.runs.run import find_run
from lic_exp.runs.story import Line, story

SUMMARY = "one run's whole story: status, config, metrics, evaluation, files, environment, log"
DESCRIPTION = "Everything known of a run. Of its config, only what differs from the defaults."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run(parser)


def run(options: argparse.Namespace) -> int:
    found = find_run(options.run, options.runs)
    console = console_for(sys.stdout)
    console.print(f"run {found.signature} in {found.folder}", style="bold", soft_wrap=True)
    for title, rows in story(found):
        if rows:
            _print_section(title, rows, console)
    return exit_codes.DONE


def _print_section(title: str, rows: Sequence[Line], console: Console) -> None:
    """Rows of a key and a text, which goes on below, indented, where it is long; without a key, plain lines."""
    console.print("", title, sep="\n", style="bold")
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for key, text in rows:
        if key:
            grid.add_row(styled(key, "dim"), styled(text))
        else:
            console.print(text, soft_wrap=True)
    console.print(grid)
