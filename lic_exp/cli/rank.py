"""`rank`: one of the processes that share a training, started by the one that was asked for it."""

import argparse
import sys
import traceback
from pathlib import Path

from lic_exp import exit_codes

SUMMARY = "one process of a training on several devices"
DESCRIPTION = "Train along with the other ranks, as the environment and the frozen config say. Trainings start this."
HIDDEN = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", metavar="JOB", type=Path, help="the frozen config, and how it was asked for")


def run(options: argparse.Namespace) -> int:
    """Returns 0 wherever the process that started this one learns by its store how it ended: it stops what fails."""
    from lic_exp.cli.cell import checked
    from lic_exp.console import console_for
    from lic_exp.records import read_record
    from lic_exp.runs.attempt import execute
    from lic_exp.runs.rank_launch import leave_end, leave_outcome
    from lic_exp.runs.rank_place import is_follower
    from lic_exp.sweeps.kinds import FrozenCell
    from lic_exp.tracking.run_folder import RunFolder

    outcome: bool | BaseException
    try:
        job = read_record(options.job, FrozenCell)
        config, console = checked(job), console_for(sys.stderr)
        console.quiet = is_follower()
        folder = RunFolder(Path(config.paths.runs, config.signature))
        outcome = execute(config, folder, job["given"], console, sweep=job.get("sweep"))
    except BaseException as error:  # noqa: BLE001 (the process that has asked for the training raises it)
        error.add_note(traceback.format_exc())
        outcome = error
    if not is_follower():
        leave_outcome(outcome)
    elif isinstance(outcome, BaseException) and not leave_end(f"{type(outcome).__name__}: {outcome}"):
        return exit_codes.FAILED  # before the others were met, who wait for it
    return exit_codes.DONE
