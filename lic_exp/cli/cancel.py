"""`cancel`: stop cells of a sweep."""

import argparse

from lic_exp import exit_codes
from lic_exp.cli.arguments import add_sweep
from lic_exp.saying import show
from lic_exp.sweeps.control import cancel
from lic_exp.sweeps.folder import find_sweep

SUMMARY = "stop cells, which keep their checkpoints, and start no more of them"
DESCRIPTION = "Stop cells, which keep their checkpoints, and start no more of them. See docs/sweeps.md."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_sweep(parser, cells=True)


def run(options: argparse.Namespace) -> int:
    sweep = find_sweep(options.sweep, options.runs)
    show(*cancel(sweep, sweep.find(options.cell)))
    return exit_codes.DONE
