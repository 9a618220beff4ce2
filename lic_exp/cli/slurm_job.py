"""`slurm-job`: what a job of SLURM runs: its cell of the array that a file describes."""

import argparse

from lic_exp.sweeps.launchers.slurm.job import work

SUMMARY = "one cell of an array, inside its job of SLURM"
DESCRIPTION = "Run this job's cell of the array that the file describes. Jobs are started by it, not people."
HIDDEN = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("array", metavar="ARRAY", help="the file slurm/NAME.json in a sweep's folder")


def run(options: argparse.Namespace) -> int:
    return work(options.array)
