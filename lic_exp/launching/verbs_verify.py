"""`verify`: a released checkpoint beside the points that were published for it."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lic_exp.launching import exit_codes
from lic_exp.launching.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table

    from analysis.curves import Curve
    from lic_exp.evaluation.report import Evaluation
    from lic_exp.launching.verbs import Verbs

MEASURES = {"psnr": ("PSNR dB", "psnr"), "ms-ssim-db": ("MS-SSIM dB", "ms_ssim_db")}
"""A published quality: its heading, and the measure of an evaluation."""


def add_parser(verbs: "Verbs") -> None:
    parser = verbs.add_parser(
        "verify",
        help="code images with a released checkpoint, beside its published points",
        description="Code images to real bitstreams with a released checkpoint, and set the means beside the points "
        "that its authors published. Exit code 1: a decoder came to another picture than its encoder.",
    )
    parser.add_argument("checkpoint", metavar="CKPT", help="file of weights")
    parser.add_argument("--model", required=True, help="as in model=MODEL, e.g. hpcm_base")
    parser.add_argument("--data", required=True, metavar="FOLDER", help="images, e.g. Kodak's 24")
    parser.add_argument(
        "--published", default="kodak", metavar="SET", help="data set of the published points (default: kodak)"
    )
    parser.add_argument("--no-compat", action="store_true", help="weights of our own, trained with model.compat=false")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, ... (default: auto)")
    parser.add_argument("--out", metavar="FOLDER", help="where results go (default: verify/NAME OF CKPT)")
    parser.set_defaults(verb=_verify)


def _verify(options: argparse.Namespace) -> int:
    curves = published(options.model, options.published)
    overrides = {"weights": options.checkpoint}
    from lic_exp.launching.compose import compose
    from lic_exp.launching.overrides import parse

    if "compat" in compose(parse([f"model={options.model}"]))["model"]:
        overrides["compat"] = not options.no_compat
    from lic_exp.data.loading import folder_images
    from lic_exp.evaluation.evaluator import evaluate
    from lic_exp.evaluation.report import evaluation_table
    from lic_exp.launching.api import create_model
    from lic_exp.launching.build import resolve_device
    from lic_exp.launching.summary import console_for

    codec = create_model(options.model, **overrides)
    if codec.facts.variable_rate:
        raise ConfigError([f"{options.model} serves a range of rates; verify is for models of one rate per checkpoint"])
    try:
        images = folder_images(options.data)
    except (OSError, ValueError) as error:
        raise ConfigError([f"--data: {error}"]) from error
    folder = Path(options.out) if options.out else Path("verify", Path(options.checkpoint).stem)
    found = evaluate(
        codec,
        images,
        folder=folder,
        pictures=0,
        device=resolve_device(options.device),
        progress=console_for(sys.stderr),
        name=Path(options.checkpoint).name,
    )
    console = console_for(sys.stdout)
    console.print(evaluation_table(found))
    for curve in curves:
        console.print(comparison(found, curve))
    if not curves:
        console.print(f"no published points of {options.model} on {options.published} are known here")
    console.print(f"results: {folder}", highlight=False)
    return exit_codes.FAILED if found.mismatches else exit_codes.DONE


def published(model: str, dataset: str) -> "list[Curve]":
    """The published curves of a model on a data set, trained for MSE and for MS-SSIM; [] where there is none.

    Raises ConfigError for a data set of which no curves are known.
    """
    import analysis
    from analysis.errors import AnalysisError

    try:
        known = analysis.anchors(dataset)
    except AnalysisError as error:
        raise ConfigError([f"--published: {error}"]) from error
    return [analysis.load_curve(name) for name in known if name.split("/")[-1] in (model, f"{model}_msssim")]


def comparison(found: "Evaluation", curve: "Curve") -> "Table":
    """The published points, and what was measured beside the one whose rate is nearest."""
    from rich.table import Table

    metric = curve.metrics[0]
    heading, measure = MEASURES.get(metric, (metric, metric.replace("-", "_")))
    rate, quality = found.mean["bpp"], found.mean.get(measure, float("nan"))
    nearest = min(range(len(curve)), key=lambda point: abs(curve.results["bpp"][point] - rate))
    source = curve.about.get("source", {})
    caption = f"source: {source.get('repo', '')} {source.get('file', '')} {source.get('commit', '')[:7]}"
    table = Table(title=f"published: {curve.description or curve.name}", caption=caption)
    for title in ("bpp", heading, "measured bpp", f"measured {heading}", "rate", heading.split()[-1]):
        table.add_column(title, justify="right", no_wrap=True)
    for point, (bpp, value) in enumerate(zip(curve.results["bpp"], curve.results[metric], strict=True)):
        measured = [f"{rate:.4f}", f"{quality:.4f}", f"{100 * (rate / bpp - 1):+.2f} %", f"{quality - value:+.4f}"]
        table.add_row(f"{bpp:.4f}", f"{value:.4f}", *(measured if point == nearest else []))
    return table
