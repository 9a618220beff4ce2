"""`diagnose`: what each scale of a run's codec contributes, with its best weights."""

import argparse

from lic_exp import exit_codes
from lic_exp.cli.arguments import add_run
from lic_exp.command_parser import whole_number
from lic_exp.runs.run import find_run
from lic_exp.saying import show

SUMMARY = "what each scale of a run's codec contributes, band by band"
DESCRIPTION = (
    "Decode images from the first scales alone, with a run's best weights by val/rd_loss, and keep what each scale "
    "contributes; `python -m analysis spectra RUN` shows it. evaluation.diagnosis does the same along a training."
)

IMAGES = 8
"""So many have enough positions for most latents, and take a minute at most of a small model on a CPU."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("--data", metavar="FOLDER", help="images; default: what the run evaluates on")
    parser.add_argument(
        "--images", type=whole_number(1), default=IMAGES, metavar="N", help=f"the first of them (default: {IMAGES})"
    )


def run(options: argparse.Namespace) -> int:
    found = find_run(options.run, options.runs)
    from lic_exp.runs.diagnosis import diagnose_run  # torch

    diagnosis, path = diagnose_run(found, data=options.data, images=options.images)
    rates = f" at {len(diagnosis.bpp)} rates" if len(diagnosis.bpp) > 1 else ""
    images = len(diagnosis.about["images"])
    show(f"{diagnosis.scales} scales of {images} image{'s' * (images > 1)}{rates}: {path}")
    return exit_codes.DONE
