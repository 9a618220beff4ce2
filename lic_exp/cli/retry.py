"""`retry`: run again what a sweep did not bring to its end."""

import argparse

from lic_exp.cli.arguments import add_sweep
from lic_exp.command_parser import whole_number
from lic_exp.sweeps.control import retry
from lic_exp.sweeps.folder import find_sweep

SUMMARY = "run again what failed, was killed, timed out or was cancelled"
DESCRIPTION = "Run again what failed, was killed, timed out or was cancelled. See docs/sweeps.md."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_sweep(parser, cells=True)
    parser.add_argument(
        "--stale",
        action="store_true",
        help="also make anew, from nothing, what other code has made, or nobody knows which",
    )
    parser.add_argument("--slots", type=whole_number(1), help="cells at a time (default: as the sweep was started)")
    parser.add_argument("--detach", action="store_true", help="in the background")


def run(options: argparse.Namespace) -> int:
    sweep = find_sweep(options.sweep, options.runs)
    changes = {"detach": True} if options.detach else {}
    changes |= {} if options.slots is None else {"slots": options.slots}
    return retry(sweep, sweep.find(options.cell), stale=options.stale, **changes)
