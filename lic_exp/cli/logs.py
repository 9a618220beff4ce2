"""`logs`: what the cells of a sweep said."""

import argparse
import sys
import time

from lic_exp import exit_codes
from lic_exp.cli.arguments import add_sweep
from lic_exp.command_parser import whole_number
from lic_exp.config.errors import ConfigError
from lic_exp.saying import show
from lic_exp.sweeps.folder import Cell, SweepFolder, find_sweep
from lic_exp.sweeps.states import ACTIVE, UNBEGUN, logs_of, pool_lives, state_of
from lic_exp.text import uncoloured

SUMMARY = "what the cells of a sweep said"
DESCRIPTION = "What the cells of a sweep said. See docs/sweeps.md."

LOOK_EVERY_S = 1.0
LOG_LINES = 30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_sweep(parser, cells=True)
    parser.add_argument(
        "-n", "--lines", type=whole_number(1), default=LOG_LINES, help="from the end (default: %(default)s)"
    )
    parser.add_argument("--follow", action="store_true", help="go on with one cell's log until it has ended")


def run(options: argparse.Namespace) -> int:
    sweep = find_sweep(options.sweep, options.runs)
    cells = sweep.find(options.cell)
    if options.follow:
        if len(cells) != 1:
            raise ConfigError(["--follow: name one cell"])
        _follow(sweep, cells[0])
        return exit_codes.DONE
    for cell in cells:
        _print_end(sweep, cell, options.lines)
    return exit_codes.DONE


def _print_end(sweep: SweepFolder, cell: Cell, lines: int) -> None:
    """The end of the cell's log, and of what its job said outside of it."""
    for path in logs_of(sweep, cell):
        if path.exists():
            said = path.read_text(encoding="utf-8", errors="replace").splitlines()
            show(f"== {cell.label} ({path})", *map(uncoloured, said[-lines:]))


def _follow(sweep: SweepFolder, cell: Cell) -> None:
    place, begun = 0, ""
    while True:
        state = state_of(sweep, cell).state
        if sweep.log(cell).exists():
            with open(sweep.log(cell), encoding="utf-8", errors="replace") as file:
                file.seek(place)
                *said, begun = (begun + file.read()).split("\n")
                show(*map(uncoloured, said))
                place = file.tell()
        if state not in ACTIVE and not (state in UNBEGUN and pool_lives(sweep)):
            show(*filter(None, [uncoloured(begun)]))
            return
        sys.stdout.flush()
        time.sleep(LOOK_EVERY_S)
