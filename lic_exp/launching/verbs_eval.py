"""`eval`: code images to real bitstreams with a run's best weights."""

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lic_exp.launching import exit_codes
from lic_exp.launching.errors import ConfigError
from lic_exp.launching.verbs import add_run

if TYPE_CHECKING:
    from lic_exp.evaluation.search import Measure
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
    parser.add_argument(
        "--qualities",
        type=_numbers,
        metavar="Q[,...]",
        help="of a variable-rate model; default: what the run evaluates at. Results go to eval/chosen_rates",
    )
    for measure, meaning in (("bpp", "bits per pixel"), ("psnr", "a PSNR [dB]")):
        parser.add_argument(
            f"--target-{measure}",
            type=_numbers,
            default=[],
            metavar="X[,...]",
            help=f"search the qualities of a variable-rate model that meet {meaning}, and evaluate there; goes to "
            "eval/targets",
        )
    parser.set_defaults(verb=_eval)


def _numbers(text: str) -> list[float]:
    numbers = [float(part) for part in text.split(",")]
    if not all(math.isfinite(number) and number >= 0 for number in numbers):
        raise ValueError
    return numbers


_numbers.__name__ = "list of numbers"  # argparse says: invalid list of numbers value


def _eval(options: argparse.Namespace) -> int:
    from lic_exp.launching.run import find_run
    from lic_exp.launching.summary import console_for

    run = find_run(options.run, options.runs)
    targets: list[tuple[Measure, float]] = [("bpp", value) for value in options.target_bpp]
    targets += [("psnr", value) for value in options.target_psnr]
    _check(options.qualities, targets)
    if run.state != "done":
        print(_so_far(run), file=sys.stderr)
    folder = _folder(run, options, "targets" if targets else "" if options.qualities is None else "chosen_rates")
    from lic_exp.evaluation.report import evaluation_table
    from lic_exp.evaluation.search import Target
    from lic_exp.launching.evaluate_run import evaluate_run
    from lic_exp.launching.targets import find_targets, write_targets
    from lic_exp.models.files import CheckpointError

    errors, found, qualities = console_for(sys.stderr), [], options.qualities
    try:
        if targets:
            wanted = [Target(measure, value) for measure, value in targets]
            found = find_targets(run, wanted, data=options.data, console=errors)
            qualities = sorted({one.quality for one in found})
        evaluation = evaluate_run(run, data=options.data, folder=folder, qualities=qualities, console=errors)
    except CheckpointError as error:
        raise ConfigError([str(error)]) from error
    if found and folder is not None:
        write_targets(folder, found)
    console_for(sys.stdout).print(evaluation_table(evaluation))
    return exit_codes.FAILED if evaluation.mismatches else exit_codes.DONE


def _check(qualities: list[float] | None, targets: list[tuple["Measure", float]]) -> None:
    if qualities is not None and targets:
        raise ConfigError(["--qualities gives the qualities that --target-bpp and --target-psnr search: leave one out"])
    if qualities is not None and len(set(qualities)) < len(qualities):
        raise ConfigError(["--qualities: a quality stands there twice"])
    if not all(value > 0 for _, value in targets):
        raise ConfigError(["a target must be greater than 0"])


def _folder(run: "Run", options: argparse.Namespace, chosen: str) -> Path | None:
    """Where results go; None leaves it to `evaluate_run`. eval/ itself is for the finished run's own results."""
    if options.out:
        return Path(options.out)
    parts = [Path(options.data).resolve().name] if options.data else []
    parts += ["so_far"] if run.state != "done" and not options.data else []
    parts += [chosen] if chosen else []
    return run.files.eval / "_".join(parts) if parts else None


def _so_far(run: "Run") -> str:
    """What to know of an unfinished run's best weights. Raises ConfigError where it has none yet."""
    if not (run.files.checkpoints / "best.pt").is_file():
        raise ConfigError(
            [f"run {run.signature} is {run.state} and has no best.pt yet: it comes with the first validation"]
        )
    return f"run {run.signature} is {run.state}, not done: these are its best weights so far"
