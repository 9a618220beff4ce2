"""`pool`: runs a sweep in the background; its own command starts it so, with `hydra.launcher.detach=true`."""

import argparse
from pathlib import Path

from lic_exp.sweeps.launchers.local.launcher import run_pool

SUMMARY = "the pool of a sweep that runs in the background"
DESCRIPTION = "Run the cells that request.json in a sweep's folder names. Sweeps start this, not people."
HIDDEN = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="of the sweep")


def run(options: argparse.Namespace) -> int:
    return run_pool(options.folder)
