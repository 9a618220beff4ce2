"""`extend`: continue a finished run as a new one that knows its parent."""

import argparse

from lic_exp.cli.arguments import add_run
from lic_exp.cli.starting import start
from lic_exp.runs.extension import command_line, extended
from lic_exp.runs.run import find_run

SUMMARY = "continue a finished run as a new one: extend RUN trainer.max_steps=1000"
DESCRIPTION = (
    "Make a new run of a finished run's config with a greater length, whose training goes on from the parent's last "
    "checkpoint, or from the one after parent_step. Other overrides may only be of keys outside the signature (name, "
    "tags, logging, workers, tracker), and of the schedule, if its rates are the parent's up to there. "
    "Schedules that count shares of the run are stretched over the new length."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument(
        "overrides", nargs="+", metavar="OVERRIDE", help="trainer.max_steps=... or trainer.max_epochs=..."
    )


def run(options: argparse.Namespace) -> int:
    parent = find_run(options.run, options.runs)
    return start(extended(parent, options.overrides), command_line(parent, options.overrides))
