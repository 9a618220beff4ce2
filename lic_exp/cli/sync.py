"""`sync`: bring tracking stores up to date from the run folders."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from lic_exp import exit_codes
from lic_exp.cli.arguments import add_several_runs
from lic_exp.config.errors import ConfigError
from lic_exp.console import console_for, styled
from lic_exp.runs.run import Run, find_run, run_folders
from lic_exp.saying import say

if TYPE_CHECKING:
    from lic_exp.runs.syncing import Outcome

SUMMARY = "bring MLflow and other stores up to date from the run folders"
DESCRIPTION = (
    "Send what the stores of runs (`tracker=`) lack. Safe while runs train, and as often as you like. "
    f"Exit code {exit_codes.FAILED}: a store is still away."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", nargs="*", help="folders or signatures, or beginnings; default: all runs")
    add_several_runs(parser)


def run(options: argparse.Namespace) -> int:
    folders = list(dict.fromkeys(options.runs or ["runs"]))
    runs = [run for name in options.run for run in _named(name, folders)]
    runs = runs or [Run(path) for folder in folders for path in run_folders(folder)]
    from lic_exp.runs.syncing import sync_run  # torch, as all that builds components

    outcomes = [outcome for run in runs for outcome in sync_run(run)]
    _print_table(outcomes, console_for(sys.stdout))
    away = [outcome for outcome in outcomes if outcome.away]
    for outcome in away:
        say(f"{outcome.run.signature}, {outcome.store}: {outcome.away}")
    if away:
        say(
            f"{len(away)} of {len(outcomes)} did not get everything. Nothing is lost: the run folders keep it; "
            "once the reason is gone, run this again."
        )
    return exit_codes.FAILED if away else exit_codes.DONE


def _named(name: str, folders: Sequence[str]) -> list[Run]:
    """The run of this name, in each of the folders that has one. Raises ConfigError where none has."""
    found: dict[Path, Run] = {}
    errors: list[str] = []
    for folder in folders:
        try:
            run = find_run(name, folder)
        except ConfigError as error:
            errors += error.messages
        else:
            found.setdefault(run.folder, run)
    if not found:
        raise ConfigError(errors)
    return list(found.values())


def _print_table(outcomes: "Sequence[Outcome]", console: Console) -> None:
    if not outcomes:
        console.print("no run names a store: nothing to send")
        return
    table = Table("run", "state", "store", "sent")
    for outcome in outcomes:
        cells = (outcome.run.signature, outcome.run.state, outcome.store, outcome.text or "away")
        table.add_row(*map(styled, cells), style="yellow" if outcome.away else None)
    console.print(table)
