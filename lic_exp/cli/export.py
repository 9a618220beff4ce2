"""`export`: a run's codec weights as a plain file."""

import argparse
import os
from pathlib import Path

from lic_exp import exit_codes
from lic_exp.cli.arguments import add_run
from lic_exp.config.errors import ConfigError
from lic_exp.files.layout import SUFFIX
from lic_exp.runs.run import find_run
from lic_exp.saying import show
from lic_exp.text import size_text

SUMMARY = "write a run's codec weights to a plain file"
DESCRIPTION = (
    "Write the codec's state dict with its entropy tables, as `model.weights=FILE` and CompressAI's load_state_dict "
    "read it. Nothing that only training needs is in it."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("-o", "--out", metavar="FILE", help="default: export/best.pth (or last.pth) in the run folder")
    parser.add_argument(
        "--dtype",
        choices=("float32", "float16"),
        default="float32",
        help="numbers of the parameters; float16 rounds them, and leaves out tables (default: float32)",
    )
    parser.add_argument(
        "--last", action="store_true", help="of the last step checkpoint, instead of the best by val/rd_loss"
    )


def run(options: argparse.Namespace) -> int:
    found = find_run(options.run, options.runs)
    which = "last" if options.last else "best"
    out = Path(options.out) if options.out else found.folder / "export" / f"{which}.pth"
    if os.path.isdir(out):
        raise ConfigError([f"--out={out} is a folder; name a file"])
    if found.state != "done":
        show(f"run {found.signature} is {found.state}, not done: these are its {which} weights so far")
    from lic_exp.runs.export import export_run  # torch

    made = export_run(found, out, last=options.last, halved=options.dtype == "float16")
    size = size_text(out.stat().st_size)
    show(f"{out}  {which} weights of run {found.signature}, step {made.step}, {options.dtype}, {size}")
    show(f"as {SUFFIX} files name the codec: {made.identity.name} {made.identity.signature.hex()}")
    show(f"to start from them: model.weights={out}")
    return exit_codes.DONE
