"""Curves of other codecs (JPEG to VVC, or one's own) on one's own photos, for rd and bdrate."""

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.arguments import add_runs, console
from analysis.errors import AnalysisError
from lic_exp.command_parser import whole_number
from lic_exp.saying import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analysis.curve_files import Curve

SUFFIXES = (".csv", ".json", "")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", metavar="FOLDER|RUN", help="photos, or a run: those that it was evaluated on, to the pixel"
    )
    add_runs(parser)
    parser.add_argument(
        "--codecs", metavar="NAMES", help="jpeg,webp,...; FILE.yaml for one of your own (default: all that are here)"
    )
    parser.add_argument(
        "--quality",
        action="append",
        default=[],
        metavar="NAME=A,B,..",
        help="other points of a codec than its own, on its own scale",
    )
    parser.add_argument(
        "--metrics", metavar="NAMES", help="beside psnr and ms-ssim: psnr-y,... or package.module:function"
    )
    parser.add_argument(
        "--container",
        choices=("out", "in"),
        default="out",
        help="whether a file format's bytes around the bitstream count (default: out, as for runs)",
    )
    parser.add_argument("--limit", type=whole_number(1), metavar="N", help="the first N photos")
    parser.add_argument(
        "--workers", type=whole_number(1), metavar="N", help="so many at a time (default: the cores there are)"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="a folder of results files, .json (one codec) or .csv")
    parser.add_argument("--list", action="store_true", help="list the codecs, and what is missing for the others")


def run(options: argparse.Namespace) -> int:
    from analysis.curve_files import write_curves
    from analysis.measured.beside import photos_named
    from analysis.measured.curves import choose, measured_curves
    from analysis.measured.progress import ProgressLines

    chosen = choose(_names(options.codecs), _qualities(options.quality))
    if options.list:
        return _list(chosen)
    if options.data is None:
        raise AnalysisError("anchors needs --data: a folder of photos, or a run that was evaluated on some")
    if options.out is not None and options.out.suffix not in SUFFIXES:
        raise AnalysisError(f"--out={options.out}: curves are written as .csv, .json (of one codec), or into a folder")
    if chosen.missing and options.codecs is not None:
        raise AnalysisError("; ".join(f"{name}: {reason}" for name, reason in chosen.missing.items()))
    if not chosen.codecs:
        raise AnalysisError("no codec is here; --list says what is missing")
    photos = photos_named(options.data, options.limit, options.runs)
    with ProgressLines(sum(len(qualities) for _, qualities in chosen.codecs.values()) * len(photos.photos)) as progress:
        curves = measured_curves(
            chosen,
            photos,
            metrics=_names(options.metrics) or (),
            container=options.container,
            workers=options.workers,
            progress=progress,
        )
    if options.out is not None:
        write_curves(options.out, curves)
    _print(curves)
    for name, reason in chosen.missing.items():
        say(f"{name} is left out: {reason}")
    return 0


def _names(text: str | None) -> "list[str] | None":
    """None where nothing is asked for."""
    return [name.strip() for name in text.split(",") if name.strip()] if text else None


def _qualities(given: "Sequence[str]") -> "dict[str, list[float]]":
    found = {}
    for text in given:
        name, _, values = text.partition("=")
        try:
            numbers = [float(value) for value in values.split(",")]
        except ValueError as error:
            raise AnalysisError(f"--quality={text}: it has the form jpeg=10,30,50") from error
        if not all(map(math.isfinite, numbers)):
            raise AnalysisError(f"--quality={text}: it has the form jpeg=10,30,50")
        if len(set(numbers)) < len(numbers):
            raise AnalysisError(f"--quality={text}: a quality stands there twice")
        found[name.strip()] = numbers
    return found


def _print(curves: "Sequence[Curve]") -> None:
    from rich.table import Table

    from lic_exp.console import styled

    more = list(dict.fromkeys(key for curve in curves for key in curve.results if key != "bpp"))
    table = Table()
    for title in ("codec", "quality", "bpp", *more):
        table.add_column(title, justify="left" if title == "codec" else "right", no_wrap=True)
    for curve in curves:
        for i, point in enumerate(curve.about["points"]):
            cells = [f"{curve.results[key][i]:.4f}" if key in curve.results else "" for key in ("bpp", *more)]
            last = i == len(curve) - 1
            table.add_row(styled("" if i else curve.name), f"{point['quality']:g}", *cells, end_section=last)
    out = console(150)
    out.print(table)
    for curve in curves:
        if note := curve.about.get("note"):
            out.print(f"{curve.name}: {note}")


def _list(chosen: "object") -> int:
    from rich.table import Table

    from analysis.measured.curves import Chosen
    from lic_exp.console import styled

    assert isinstance(chosen, Chosen)
    table = Table(title="codecs")
    for title in ("name", "version, or what is missing", "qualities", "colours", "command"):
        table.add_column(title, overflow="fold")
    for name, (codec, qualities) in chosen.codecs.items():
        colours = codec.conversion
        bits = f"{colours.bits} bits" if colours.bits else "floating point"
        cells = [codec.version(), ", ".join(f"{quality:g}" for quality in qualities)]
        command = codec.command(qualities[0])
        table.add_row(*map(styled, (name, *cells, f"{colours.matrix}, {colours.chroma}, {bits}", command)))
    for name, reason in chosen.missing.items():
        table.add_row(*map(styled, (name, reason, "", "", "")))
    console(200).print(table)
    return 0
