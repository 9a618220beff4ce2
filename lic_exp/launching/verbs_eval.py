"""`eval`: code images to real bitstreams with a run's best weights."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lic_exp.launching import exit_codes
from lic_exp.launching.errors import ConfigError
from lic_exp.launching.verbs import add_run

if TYPE_CHECKING:
    from lic_exp.launching.run import Run
    from lic_exp.launching.verbs import Verbs


def add_parser(verbs: "Verbs") -> None:
    parser = verbs.add_parser(
        "eval",
        help="code images to real bitstreams with a run's best weights",
        description="Code images to real bitstreams with a run's best weights by val/rd_loss, and decode them again. "
        "Exit code 1: a decoder came to another picture than its encoder.",
    )
    add_run(parser)
    parser.add_argument("--data", metavar="FOLDER", help="images; default: what the run evaluates on")
    parser.add_argument("--out", metavar="FOLDER", help="where results go (default: eval/ in the run folder)")
    parser.set_defaults(verb=_eval)


def _eval(options: argparse.Namespace) -> int:
    from lic_exp.launching.run import find_run
    from lic_exp.launching.summary import console_for

    run = find_run(options.run, options.runs)
    folder = Path(options.out) if options.out else None
    unfinished = run.state != "done"
    if unfinished:
        print(_so_far(run), file=sys.stderr)
        if options.data is None and folder is None:
            # eval/ itself is for the finished run's results.
            folder = run.files.eval / "so_far"
    from lic_exp.evaluation.report import evaluation_table
    from lic_exp.launching.execute import evaluate_run
    from lic_exp.models.files import CheckpointError

    try:
        evaluation = evaluate_run(run, data=options.data, folder=folder, console=console_for(sys.stderr))
    except CheckpointError as error:
        raise ConfigError([str(error)]) from error
    console_for(sys.stdout).print(evaluation_table(evaluation))
    return exit_codes.FAILED if evaluation.mismatches else exit_codes.DONE


def _so_far(run: "Run") -> str:
    """What to know of an unfinished run's best weights. Raises ConfigError where it has none yet."""
    if not (run.files.checkpoints / "best.pt").is_file():
        raise ConfigError(
            [f"run {run.signature} is {run.state} and has no best.pt yet: it comes with the first validation"]
        )
    return f"run {run.signature} is {run.state}, not done: these are its best weights so far"
