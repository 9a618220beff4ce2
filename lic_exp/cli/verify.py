"""`verify`: a released checkpoint beside the points that were published for it."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from lic_exp import exit_codes
from lic_exp.cli.flags import flags_named
from lic_exp.config.errors import ConfigError
from lic_exp.console import console_for
from lic_exp.evaluation.published import Points, PointsError, names_of, published
from lic_exp.runs.outcome import said_of_evaluation

if TYPE_CHECKING:
    from lic_exp.evaluation.report import Evaluation

SUMMARY = "code images with a released checkpoint, beside its published points"
DESCRIPTION = (
    "Code images to real bitstreams with a released checkpoint, and set the means beside the points that its authors "
    f"published. Exit code {exit_codes.FAILED}: a decoder came to another picture than its encoder."
)

GOALS = ("mse", "ms-ssim")
MEASURES = {"psnr": ("PSNR dB", "psnr"), "ms-ssim-db": ("MS-SSIM dB", "ms_ssim_db"), "ms-ssim": ("MS-SSIM", "ms_ssim")}
"""A published quality: its heading, and the measure of an evaluation."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", metavar="CKPT", type=Path, help="file of weights")
    parser.add_argument(
        "--weights-key", metavar="KEY", help="where in CKPT the weights lie, as model.weights_key=KEY, e.g. ema"
    )
    parser.add_argument("--model", required=True, help="as in model=MODEL, e.g. hpcm_base")
    parser.add_argument("--data", required=True, metavar="FOLDER", help="images, e.g. Kodak's 24")
    parser.add_argument(
        "--published", default="kodak", metavar="SET", help="data set of the published points (default: kodak)"
    )
    parser.add_argument(
        "--optimized-for", choices=GOALS, help="what the weights were trained for, so that the results say it"
    )
    parser.add_argument("--no-compat", action="store_true", help="weights of our own, trained with model.compat=false")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, ... (default: auto)")
    parser.add_argument("--out", metavar="FOLDER", type=Path, help="where results go (default: in verify/)")


FLAGS = {
    "model=": "--model=",
    "set model.compat=true": "leave out --no-compat",
    "set model.compat=false": "give --no-compat",
    "model.weights_key": "--weights-key",
    "model.weights": "CKPT",
    "trainer.device": "--device",
}
"""What it calls the keys of a config."""


def run(options: argparse.Namespace) -> int:
    curves = published_of(options.model, options.published)
    from lic_exp.evaluation.report import evaluation_table  # torch
    from lic_exp.evaluation.unfinished import DamagedImagesError, EvaluationError
    from lic_exp.models.weights import PARTIAL
    from lic_exp.runs.released import measure_released

    try:
        with flags_named({f". {PARTIAL}": "", **FLAGS}):  # it takes weights whole
            measured, folder = measure_released(
                options.checkpoint,
                options.model,
                weights_key=options.weights_key,
                compat=not options.no_compat,
                data=options.data,
                folder=options.out,
                device=options.device,
                console=console_for(sys.stderr),
                objective=options.optimized_for,
            )
    except (DamagedImagesError, EvaluationError) as error:
        return said_of_evaluation(error)
    console = console_for(sys.stdout)
    console.print(evaluation_table(measured))
    if options.optimized_for:  # of both curves it is one of them
        curves = [curve for curve in curves if curve.about.get("optimized_for", "mse") == options.optimized_for]
    for curve in curves:
        console.print(comparison(measured, curve))
    if not curves:
        console.print(f"no published points of {options.model} on {options.published} are known here")
    console.print(f"results: {folder}", highlight=False)
    return exit_codes.FAILED if measured.mismatches else exit_codes.DONE


def published_of(model: str, dataset: str) -> list[Points]:
    """The published points of a model on a data set, trained for MSE and for MS-SSIM; [] where there are none.

    Raises ConfigError for a data set of which no points are known.
    """
    try:
        known = names_of(dataset)
    except PointsError as error:
        raise ConfigError([f"--published: {error}"]) from error
    return [published(name) for name in known if name.split("/")[-1] in (model, f"{model}_msssim")]


def comparison(measured: "Evaluation", curve: Points) -> Table:
    """The published points, and what was measured beside the one whose rate is nearest."""
    metric = next(name for name in MEASURES if name in curve.results)
    heading, measure = MEASURES[metric]
    rate, quality = measured.mean["bpp"], measured.mean.get(measure, float("nan"))
    nearest = min(range(len(curve)), key=lambda point: abs(curve.results["bpp"][point] - rate))
    source = curve.about.get("source", {})
    caption = f"source: {source.get('repo', '')} {source.get('file', '')} {source.get('commit', '')[:7]}"
    table = Table(title=f"published: {curve.description or curve.name}", caption=caption)
    for title in ("bpp", heading, "measured bpp", f"measured {heading}", "rate", heading.split()[-1]):
        table.add_column(title, justify="right", no_wrap=True)
    for point, (bpp, value) in enumerate(zip(curve.results["bpp"], curve.results[metric], strict=True)):
        cells = [f"{rate:.4f}", f"{quality:.4f}", f"{100 * (rate / bpp - 1):+.2f} %", f"{quality - value:+.4f}"]
        table.add_row(f"{bpp:.4f}", f"{value:.4f}", *(cells if point == nearest else []))
    return table
