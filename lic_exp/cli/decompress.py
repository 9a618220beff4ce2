"""`decompress`: .lic files to pictures."""

import argparse
from collections.abc import Sequence
from functools import partial
from typing import Any

from lic_exp import exit_codes
from lic_exp.cli.coding import add_codec, add_out, codec_named, done_of, exit_code, place_of
from lic_exp.command_parser import whole_number
from lic_exp.config.errors import ConfigError
from lic_exp.config.loading import load_pretrained
from lic_exp.data.images import ImageError
from lic_exp.files.layout import MOST_PIXELS, SHOWN_DIGITS, SUFFIX, FileError
from lic_exp.files.pairs import Pair, PairsError, pairs
from lic_exp.files.parsing import parse
from lic_exp.pretrained.catalogue import names_by_signature
from lic_exp.saying import say, show

SUMMARY = "decode .lic files to pictures, by the codec that coded them"
DESCRIPTION = (
    f"Decode {SUFFIX} files to pictures: each by the pretrained codec that coded it, where no other is named. "
    f"Exit code {exit_codes.FAILED}: some could not be decoded, as of other weights or damaged, which are named; the "
    "others are there."
)

NAME_IT = "name the codec, by --run RUN, or by --weights FILE with --model MODEL"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("inputs", metavar="IN", nargs="+", help=f"{SUFFIX} files, folders of them, or patterns")
    add_out(parser, "a .png or .tif")
    parser.add_argument(
        "--max-pixels",
        type=whole_number(1, 2**40),
        default=MOST_PIXELS,
        metavar="N",
        help=f"refuse larger pictures (default: {MOST_PIXELS})",
    )
    parser.add_argument(
        "--partial", action="store_true", help="show what a cut or damaged file holds whole, and say what it does not"
    )
    add_codec(parser)


def run(options: argparse.Namespace) -> int:
    codec = codec_named(options)
    from lic_exp.files.picture_files import KINDS  # NumPy

    pattern, single = f"*{SUFFIX}", tuple(KINDS)
    try:
        made = pairs(options.inputs, options.out, suffix=".png", single=single, pattern=pattern, force=options.force)
    except (ImageError, PairsError) as error:
        raise ConfigError([str(error)]) from error
    from lic_exp.files.batch import decompress_file  # torch

    how = {"max_pixels": options.max_pixels, "partial": options.partial}
    work, words = partial(decompress_file, **how), ("decompressing", "decompressed")
    if codec is not None:
        done = done_of(made, codec, options, work, words)
    else:
        coded = by_pretrained_codec(made, **how)
        done = [one for name, its in coded.items() for one in done_of(its, load_pretrained(name), options, work, words)]
    if done:
        show(f"{place_of(done, options.out)}: {len(done)} picture{'s' if len(done) > 1 else ''}")
    return exit_code(done, made)


def by_pretrained_codec(made: Sequence[Pair], **how: Any) -> dict[str, list[Pair]]:
    """{name: what to decode by the pretrained codec of this name}. Says which files are of none, or cannot be read.

    how: as `parse` takes it.
    """
    found: dict[str, list[Pair]] = {}
    pretrained = names_by_signature()
    for pair in made:
        try:
            file = parse(pair.source.read_bytes(), **how)
        except (FileError, OSError) as error:
            say(f"{pair.source}: {getattr(error, 'strerror', None) or error}")
            continue
        signature = file.signature.hex()
        if signature in pretrained:
            found.setdefault(pretrained[signature], []).append(pair)
        else:
            codec = f"{file.codec_name} {signature[:SHOWN_DIGITS]}"
            say(f"{pair.source}: coded by {codec}, which is not pretrained: {NAME_IT}")
    return found
