"""`status`: the cells of a sweep as they stand."""

import argparse
import sys
import time

from rich.live import Live

from lic_exp import exit_codes
from lic_exp.cli.arguments import add_sweep
from lic_exp.console import console_for
from lic_exp.json_text import json_text
from lic_exp.saying import show
from lic_exp.sweeps.display import as_records, status_view
from lic_exp.sweeps.folder import SweepFolder, find_sweep
from lic_exp.sweeps.states import ACTIVE, pool_lives, states

SUMMARY = "a sweep's cells: state, step, rd_loss, ETA, host, attempts, reason"
DESCRIPTION = "A sweep's cells: state, step, rd_loss, ETA, host, attempts, reason. See docs/sweeps.md."

LOOK_EVERY_S = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_sweep(parser)
    parser.add_argument("--watch", action="store_true", help="renew the table until Ctrl-C, or until all has ended")
    parser.add_argument("--json", action="store_true", help="one JSON object per cell")


def run(options: argparse.Namespace) -> int:
    sweep = find_sweep(options.sweep, options.runs)
    if options.json:
        for record in as_records(sweep, states(sweep).values()):
            show(json_text(record))
    elif options.watch:
        _watch(sweep)
    else:
        console = console_for(sys.stdout)
        console.print(status_view(sweep, list(states(sweep).values()), console.width))
    return exit_codes.DONE


def _watch(sweep: SweepFolder) -> None:
    console = console_for(sys.stdout)
    with Live(console=console, refresh_per_second=2) as live:
        try:
            while True:
                now = list(states(sweep).values())
                live.update(status_view(sweep, now, console.width))
                if not pool_lives(sweep) and not any(cell.state in ACTIVE for cell in now):
                    return
                time.sleep(LOOK_EVERY_S)
        except KeyboardInterrupt:
            return
