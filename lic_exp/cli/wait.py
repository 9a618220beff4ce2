"""`wait`: return when nothing of a sweep runs any more."""

import argparse

from lic_exp import exit_codes
from lic_exp.cli.arguments import add_sweep
from lic_exp.command_parser import finite_number
from lic_exp.sweeps.control import wait
from lic_exp.sweeps.folder import find_sweep

SUMMARY = "return when nothing of a sweep runs any more, with its exit code"
DESCRIPTION = "Return when nothing of a sweep runs any more, with its exit code. See docs/sweeps.md."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_sweep(parser)
    parser.add_argument(
        "--timeout",
        type=finite_number(0, 1e6),
        metavar="MINUTES",
        help=f"give up, with exit code {exit_codes.PREEMPTED}",
    )


def run(options: argparse.Namespace) -> int:
    return wait(find_sweep(options.sweep, options.runs), None if options.timeout is None else 60 * options.timeout)
