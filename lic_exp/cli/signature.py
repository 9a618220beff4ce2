"""`signature`: the name of the run that a command line means."""

import argparse

from lic_exp import exit_codes
from lic_exp.cli.launch import planning
from lic_exp.config.loading import load_config
from lic_exp.saying import show
from lic_exp.sweeps.trainings import one_training

SUMMARY = "the name of the run that a command line means: signature model=hyperprior seed=1"
DESCRIPTION = (
    "Print the name of the run that `python launch.py OVERRIDES` trains or finds, and nothing else. Nothing is started "
    f"or written. Exit code {exit_codes.CONFIG}: an override is wrong; the error stream says which, and why."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("overrides", metavar="OVERRIDE", nargs="*", help="as for launch.py; none is the default run")


def run(options: argparse.Namespace) -> int:
    _, values = planning(options.overrides)  # what it is asked for beside plan=true
    show(load_config(one_training(values).overrides).signature)
    return exit_codes.DONE
