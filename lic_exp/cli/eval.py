"""`eval`: code images to real bitstreams with a run's best weights."""

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lic_exp import exit_codes
from lic_exp.cli.arguments import add_run
from lic_exp.cli.flags import flags_named
from lic_exp.config.errors import ConfigError
from lic_exp.console import console_for
from lic_exp.runs.outcome import said_of_evaluation
from lic_exp.runs.run import Run, find_run
from lic_exp.saying import say

if TYPE_CHECKING:
    from lic_exp.evaluation.search import Measure

SUMMARY = "code images to real bitstreams with a run's best weights"
DESCRIPTION = (
    "Code images to real bitstreams with a run's best weights by val/rd_loss, and decode them again. "
    f"Exit code {exit_codes.FAILED}: a decoder came to another picture than its encoder, or images changed meanwhile."
)


def _numbers(text: str) -> list[float]:
    numbers = [float(part) for part in text.split(",")]
    if not all(math.isfinite(number) and number >= 0 for number in numbers):
        raise ValueError
    return numbers


_numbers.__name__ = "list of numbers"  # argparse says: invalid list of numbers value


def _listed(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("--data", metavar="FOLDER", help="images; default: what the run evaluates on")
    parser.add_argument("--out", metavar="FOLDER", help="where results go (default: in eval/ of the run folder)")
    parser.add_argument(
        "--qualities",
        type=_numbers,
        metavar="Q[,...]",
        help="of a variable-rate model; default: what the run evaluates at",
    )
    parser.add_argument(
        "--metrics",
        type=_listed,
        metavar="NAME[,...]",
        help="beside bpp, PSNR and MS-SSIM: psnr-y, ms-ssim-y, psnr-hvs-m, or package.module:function of your own",
    )
    for measure, meaning in (("bpp", "bits per pixel"), ("psnr", "a PSNR [dB]")):
        parser.add_argument(
            f"--target-{measure}",
            type=_numbers,
            default=[],
            metavar="X[,...]",
            help=f"search the qualities of a variable-rate model that meet {meaning}, and evaluate there",
        )


FLAGS = {"evaluation.qualities": "--qualities", "evaluation.metrics": "--metrics"}
"""What it calls a key of the run's config that the user gives anew."""


def run(options: argparse.Namespace) -> int:
    found = find_run(options.run, options.runs)
    targets: list[tuple[Measure, float]] = [("bpp", value) for value in options.target_bpp]
    targets += [("psnr", value) for value in options.target_psnr]
    _check(options.qualities, targets)
    if found.state != "done":
        say(_so_far(found))
    from lic_exp.evaluation.report import evaluation_table  # torch
    from lic_exp.evaluation.unfinished import DamagedImagesError, EvaluationError
    from lic_exp.runs.reevaluation import reevaluate

    try:
        given = {"evaluation.qualities": options.qualities, "evaluation.metrics": options.metrics}
        with flags_named({key: flag for key, flag in FLAGS.items() if given[key] is not None}):
            evaluation, folder = reevaluate(
                found,
                data=options.data,
                folder=None if options.out is None else Path(options.out),
                qualities=options.qualities,
                targets=targets,
                metrics=options.metrics,
                console=console_for(sys.stderr),
            )
    except (DamagedImagesError, EvaluationError) as error:
        return said_of_evaluation(error)
    console = console_for(sys.stdout)
    console.print(evaluation_table(evaluation))
    console.print(f"results: {folder}", markup=False, highlight=False, soft_wrap=True)
    return exit_codes.FAILED if evaluation.mismatches or evaluation.images_changed else exit_codes.DONE


def _check(qualities: list[float] | None, targets: Sequence[tuple["Measure", float]]) -> None:
    if qualities is not None and targets:
        raise ConfigError(["--qualities gives the qualities that --target-bpp and --target-psnr search: leave one out"])
    if qualities is not None and len({f"{value:g}" for value in qualities}) < len(qualities):
        raise ConfigError(["--qualities: a quality stands there twice"])
    if wrong := [f"--target-{measure}={value:g}" for measure, value in targets if not value > 0]:
        raise ConfigError(f"{text}: a target must be greater than 0" for text in wrong)


def _so_far(run: Run) -> str:
    """What to know of an unfinished run's best weights. Raises ConfigError where it has none yet."""
    if not (run.files.checkpoints / "best.pt").is_file():
        raise ConfigError(
            [f"run {run.signature} is {run.state} and has no best.pt yet: it comes with the first validation"]
        )
    return f"run {run.signature} is {run.state}, not done: these are its best weights so far"
