"""`info`: what .lic files say of themselves."""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from lic_exp import exit_codes
from lic_exp.config.errors import ConfigError
from lic_exp.console import console_for, styled
from lic_exp.data.images import ImageError, list_images
from lic_exp.files.layout import SUFFIX, FileError, LicFile
from lic_exp.files.parsing import parse
from lic_exp.json_text import json_text
from lic_exp.pretrained.catalogue import names_by_signature
from lic_exp.saying import say, show

SUMMARY = "what .lic files say: codec, size, rate, where they were made"
DESCRIPTION = (
    f"What {SUFFIX} files say of themselves. They are read whole, and every checksum of bytes is tried; no codec is "
    f"needed. Exit code {exit_codes.FAILED}: some cannot be read, which are named."
)

NO_LIMIT = 2**64
"""Of pixels: nothing is decoded."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", metavar="FILE", nargs="+", help=f"{SUFFIX} files, folders of them, or patterns")
    parser.add_argument("--json", action="store_true", help="the same as a list, one object for each file")


def run(options: argparse.Namespace) -> int:
    try:
        places = [str(Path(place, f"*{SUFFIX}")) if Path(place).is_dir() else place for place in options.files]
        paths = [image.path for place in places for image in list_images(place)]
    except ImageError as error:
        raise ConfigError([str(error)]) from error
    found, failed, pretrained = [], 0, names_by_signature()
    for path in paths:
        try:
            data = path.read_bytes()
            found.append({"file": str(path)} | said(parse(data, max_pixels=NO_LIMIT), len(data), pretrained))
        except (FileError, OSError) as error:
            failed += 1
            say(f"{path}: {getattr(error, 'strerror', None) or error}")
    if options.json:
        show(*json_text(found, indent=1).splitlines())
    else:
        console = console_for(sys.stdout)
        for fields in found:
            console.print(fields["file"], soft_wrap=True)
            console.print(_table(fields))
    return exit_codes.FAILED if failed else exit_codes.DONE


def said(file: LicFile, size: int, pretrained: Mapping[str, str]) -> dict[str, Any]:
    """What a file of so many bytes says, under the names of docs/files.md. pretrained: names of codecs by signature."""
    pixels = file.height * file.width
    kinds = [[len(string.content or b"") for string in kind] for kind in zip(*file.strings, strict=True)]
    return {
        "codec": file.codec_name,
        "signature": file.signature.hex(),
        "pretrained": pretrained.get(file.signature.hex()),
        "tables": file.tables.hex(),
        "height": file.height,
        "width": file.width,
        "padding": list(file.padding),
        "quality": file.quality,
        "grey": file.grey,
        "bits": file.bits,
        "portable": file.delta is not None,
        "delta": file.delta,
        "made_on": file.made_on,
        "tiles": None if file.tile is None else {**asdict(file.tile), "count": len(file.strings)},
        "string_bytes": [sum(kind) for kind in kinds],
        "listed_rows_bytes": sum(len(string.near_lines) for tile in file.strings for string in tile),
        "profile_bytes": len(file.icc or b""),
        "alpha_bytes": None if file.alpha is None else len(file.alpha),
        "bytes": size,
        "bpp": 8 * file.string_bytes / pixels,
        "bpp_file": 8 * size / pixels,
    }


def _table(fields: dict[str, Any]) -> Table:
    table = Table(show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for key, value in fields.items():
        if key != "file":
            table.add_row(key, styled(_text(value)))
    return table


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return " + ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{key} {part}" for key, part in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)
