"""`compress`: pictures to .lic files."""

import argparse
from functools import partial
from statistics import fmean

from lic_exp import exit_codes
from lic_exp.cli.coding import add_codec, codec_named, done_of, exit_code
from lic_exp.command_parser import finite_number
from lic_exp.config.errors import ConfigError
from lic_exp.data.images import ImageError
from lic_exp.files.layout import SUFFIX
from lic_exp.files.pairs import PairsError, pairs
from lic_exp.saying import show
from lic_exp.text import size_text

SUMMARY = "code pictures to .lic files, by a run's codec or by weights"
DESCRIPTION = (
    f"Code pictures to {SUFFIX} files. Exit code {exit_codes.FAILED}: some could not be coded, which are named; the "
    "others are there."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("inputs", metavar="IN", nargs="+", help="pictures, folders of them, or patterns")
    parser.add_argument("-o", "--out", required=True, metavar="OUT", help=f"a folder, or for one file a {SUFFIX} file")
    parser.add_argument(
        "--quality",
        type=finite_number(0, 1e6),
        metavar="Q",
        help="of a model with a range of rates (default: most)",
    )
    add_codec(parser)


def run(options: argparse.Namespace) -> int:
    codec = codec_named(options)
    try:
        made = pairs(options.inputs, options.out, suffix=SUFFIX, single=(SUFFIX,), force=options.force)
    except (ImageError, PairsError) as error:
        raise ConfigError([str(error)]) from error
    from lic_exp.files.batch import compress_file  # torch

    done = done_of(made, codec, options, partial(compress_file, quality=options.quality), ("compressing", "compressed"))
    if done:
        total = size_text(sum(each.file_bytes for each in done))
        whole = fmean(8 * each.file_bytes / each.pixels for each in done)
        strings = fmean(8 * each.string_bytes / each.pixels for each in done)
        files = f"{len(done)} files" if len(done) > 1 else "1 file"
        show(f"{options.out}: {files}, {total}; bpp_file {whole:.4f}, bpp {strings:.4f}")
    return exit_code(done, made)
