"""`decompress`: .lic files to pictures."""

import argparse
from functools import partial

from lic_exp import exit_codes
from lic_exp.cli.coding import add_codec, codec_named, done_of, exit_code
from lic_exp.command_parser import whole_number
from lic_exp.config.errors import ConfigError
from lic_exp.data.images import ImageError
from lic_exp.files.layout import MOST_PIXELS, SUFFIX
from lic_exp.files.pairs import PairsError, pairs
from lic_exp.saying import show

SUMMARY = "decode .lic files to pictures, by the codec that coded them"
DESCRIPTION = (
    f"Decode {SUFFIX} files to pictures. Exit code {exit_codes.FAILED}: some could not be decoded, as of other weights "
    "or damaged, which are named; the others are there."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("inputs", metavar="IN", nargs="+", help=f"{SUFFIX} files, folders of them, or patterns")
    parser.add_argument("-o", "--out", required=True, metavar="OUT", help="a folder, or for one file a .png or .tif")
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

    work = partial(decompress_file, max_pixels=options.max_pixels, partial=options.partial)
    done = done_of(made, codec, options, work, ("decompressing", "decompressed"))
    if done:
        show(f"{options.out}: {len(done)} picture{'s' if len(done) > 1 else ''}")
    return exit_code(done, made)
