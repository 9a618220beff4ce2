"""`complexity`: a model's parameters and multiply-accumulates, part by part."""

import argparse
import re
import sys
from typing import TYPE_CHECKING

from rich.table import Table

from lic_exp import exit_codes
from lic_exp.cli.flags import flags_named
from lic_exp.config.compose import compose
from lic_exp.config.errors import ConfigError
from lic_exp.config.overrides import parse
from lic_exp.config.validation import validate
from lic_exp.console import console_for, styled
from lic_exp.json_text import json_text
from lic_exp.saying import show
from lic_exp.text import shortened

if TYPE_CHECKING:
    from lic_exp.evaluation.complexity import Complexity, PartCost

SUMMARY = "a model's parameters and MACs, part by part"
DESCRIPTION = (
    "Parameters and multiply-accumulates per pixel of a model, part by part. Nothing is computed, and no weights are "
    "allocated: models of any size can be asked for."
)

MOST_PIXELS = 65536
"""Of a side of the image that is counted on."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="as in model=MODEL")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="as for launch.py: model.N=192")
    parser.add_argument(
        "--size", metavar="HxW", help="image that is counted on (default: 256x256, or the next possible)"
    )
    parser.add_argument("--json", action="store_true", help="what a run's complexity.json holds")


def run(options: argparse.Namespace) -> int:
    size = None if options.size is None else size_of(options.size)
    if again := [text for text in options.overrides if text.partition("=")[0] == "model"]:
        raise ConfigError([f"{again[0]}: MODEL says that already, {options.model}"])
    with flags_named({f"model={options.model}": f"MODEL {options.model}"}):
        parsed = parse([f"model={options.model}", *options.overrides])
        if parsed.sweeping:
            raise ConfigError(["these overrides describe several models; complexity counts one"])
        # One part is built here, not a run: how it suits the other groups does not matter.
        config = validate(compose(parsed), rules_too=False)
    from lic_exp.evaluation.complexity import SizeError  # torch, once the overrides are known to be right
    from lic_exp.runs.complexity import complexity_of

    try:
        counted = complexity_of(config, size)
    except ConfigError as error:
        of_the_size = size and isinstance(error.__cause__, SizeError)
        raise ConfigError([f"--size: {error}"] if of_the_size else error.messages) from error
    if options.json:
        show(*json_text(counted.to_dict(), indent=1).splitlines())
        return exit_codes.DONE
    console = console_for(sys.stdout)
    console.print(complexity_table(options.model, counted))
    for who, macs in (("encoding", counted.encode_macs_per_pixel), ("decoding", counted.decode_macs_per_pixel)):
        unknown = "unknown: the codec does not say which parts it needs"
        console.print(f"{who}: {unknown if macs is None else f'{macs / 1e3:.3f} KMACs/pixel'}", highlight=False)
    return exit_codes.DONE


def size_of(text: str) -> tuple[int, int]:
    """(height, width) of "HxW". Raises ConfigError."""
    sides = re.fullmatch(r"(\d+)x(\d+)", text)
    if sides is None or not all(len(side) < 6 and 1 <= int(side) <= MOST_PIXELS for side in sides.groups()):
        right = f"height x width in pixels, 1 to {MOST_PIXELS} each, e.g. 256x256"
        raise ConfigError([f"--size={shortened(text, 40)}: should be {right}"])
    return int(sides[1]), int(sides[2])


def complexity_table(name: str, counted: "Complexity") -> Table:
    """One row per part, with the totals below."""
    table = Table(title=styled(f"{name}, counted on {counted.height}x{counted.width} pixels"), show_footer=True)
    table.add_column("part", footer="total")
    total = max(sum(part.macs for part in counted.parts), 1)
    sums = (f"{counted.parameters:,}", f"{counted.macs_per_pixel / 1e3:.3f}", "100 %")
    for title, footer in zip(("parameters", "KMACs/pixel", "share"), sums, strict=True):
        table.add_column(title, footer=footer, justify="right", no_wrap=True)
    table.add_column("needed for")
    for part in counted.parts:
        numbers = (f"{part.parameters:,}", f"{counted.per_pixel(part.macs) / 1e3:.3f}", f"{part.macs / total:.1%}")
        table.add_row(styled(part.name), *numbers, _needed_for(part))
    return table


def _needed_for(part: "PartCost") -> str:
    if part.encode is None:
        return "" if part.macs else "-"
    names = {(True, True): "both", (True, False): "encoding", (False, True): "decoding", (False, False): "the estimate"}
    return names[part.encode, bool(part.decode)]
