"""`cell`: one cell of a sweep, as its frozen config says.

The file is all it gets: no option of conf/ is read, so that an edit after the sweep was made changes nothing.
"""

import argparse
import os
import resource
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from lic_exp import exit_codes
from lic_exp.atomic import write_atomically
from lic_exp.command_parser import finite_number
from lic_exp.config.errors import ConfigError
from lic_exp.json_text import json_text
from lic_exp.saying import say

if TYPE_CHECKING:
    from lic_exp.config.schema import RunConfig

SUMMARY = "one cell of a sweep"
DESCRIPTION = (
    "Train and evaluate as the frozen config says, and leave the exit code beside it. Pools and jobs start this."
)
HIDDEN = True

ASKING = (signal.SIGTERM, signal.SIGUSR2)
"""Signals by which a pool or SLURM asks a cell to stop."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("frozen", metavar="FROZEN", type=Path, help="cells/SIGNATURE.json in the sweep's folder")
    parser.add_argument(
        "--memory-gb", type=finite_number(0, 1e9), metavar="X", help="address space that it may have [10^9 bytes]"
    )


def run(options: argparse.Namespace) -> int:
    """Run the frozen config to its end, and leave the exit code beside it; of several ranks the first does."""
    # Before training has its own handler there is nothing to save.
    for number in ASKING:
        signal.signal(number, _stopped)
    from lic_exp.runs.rank_place import is_follower  # as below

    code = exit_codes.FAILED
    try:
        if options.memory_gb is not None:
            limit = round(options.memory_gb * 1e9)
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        code = run_frozen(options.frozen)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else exit_codes.FAILED
    finally:
        for number in ASKING:  # too late to stop, and while Python shuts down its default would end the process
            signal.signal(number, signal.SIG_IGN)
        if not is_follower():
            ended = {"pid": os.getpid(), "exit_code": code}
            write_atomically(options.frozen.with_suffix(".exit"), json_text(ended) + "\n")
    return code


def run_frozen(path: Path) -> int:
    """Train and evaluate as the file says. Returns the exit code."""
    # Only now: the signals are minded from the start, not once Hydra is imported.
    from lic_exp.console import console_for
    from lic_exp.records import RecordError, read_record
    from lic_exp.runs.outcome import guarded
    from lic_exp.runs.start import start_run
    from lic_exp.sweeps.kinds import FrozenCell

    try:
        frozen = read_record(path, FrozenCell)
    except (FileNotFoundError, RecordError) as error:
        say(f"  1. {error}; the sweep's command writes it anew")
        return exit_codes.CONFIG
    console, results, given = console_for(sys.stderr), console_for(sys.stdout), frozen["given"]
    return guarded(lambda: start_run(checked(frozen), given, console, results, sweep=frozen.get("sweep")), console)


def checked(frozen: Mapping[str, Any]) -> "RunConfig":
    """The cell's config. Raises ConfigError where it no longer is the run that the sweep signed."""
    from lic_exp.config.signing import wanted_evaluation
    from lic_exp.config.validation import validate

    config = validate(frozen["config"])
    if config.signature != frozen["signature"]:
        raise ConfigError(
            [
                f"this cell was signed as {frozen['signature']} and is {config.signature} now: its images, its weights "
                "or the options' code changed since. Give the sweep's command again to sign it anew"
            ]
        )
    if "evaluation" in frozen and wanted_evaluation(config) != frozen["evaluation"]:
        raise ConfigError(
            ["evaluation.data: its images changed since this cell was made. Give the sweep's command again"]
        )
    return config


def _stopped(number: int, frame: FrameType | None) -> None:
    sys.exit(exit_codes.PREEMPTED)
