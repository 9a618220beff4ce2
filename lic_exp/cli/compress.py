"""`compress`: pictures to .lic files."""

import argparse
from functools import partial
from statistics import fmean
from typing import TYPE_CHECKING

from lic_exp import exit_codes
from lic_exp.cli.coding import add_codec, add_out, codec_named, done_of, exit_code, place_of
from lic_exp.command_parser import finite_number, whole_number
from lic_exp.config.errors import ConfigError
from lic_exp.config.loading import load_pretrained
from lic_exp.data.images import ImageError
from lic_exp.files.layout import SUFFIX
from lic_exp.files.pairs import PairsError, pairs
from lic_exp.pretrained.catalogue import DEFAULT
from lic_exp.saying import show
from lic_exp.text import size_text

if TYPE_CHECKING:
    from lic_exp.models.base import Codec

DEFAULT_MB = 1536
"""`lic_exp.files.memory.DEFAULT_BYTES`, which is not imported to show a help."""

SUMMARY = "code pictures to .lic files, by a pretrained codec, a run's or weights"
DESCRIPTION = (
    f"Code pictures to {SUFFIX} files: by the pretrained codec {DEFAULT}, where no other is named. "
    f"Exit code {exit_codes.FAILED}: some could not be coded, which are named; the others are there."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("inputs", metavar="IN", nargs="+", help="pictures, folders of them, or patterns")
    add_out(parser, f"a {SUFFIX} file")
    rates = parser.add_mutually_exclusive_group()
    rates.add_argument(
        "--quality", type=finite_number(0, 1e6), metavar="Q", help="of a model with a range of rates (default: most)"
    )
    rates.add_argument(
        "--target-bpp", type=finite_number(0, 1e6), metavar="BPP", help="of each file's strings, by such a model"
    )
    rates.add_argument("--target-psnr", type=finite_number(0, 1e3), metavar="DB", help="of each decoded picture")
    rates.add_argument("--max-bytes", type=whole_number(1, 2**40), metavar="N", help="of each whole file, at most")
    parser.add_argument(
        "--memory-mb",
        type=whole_number(1, 2**24),
        default=DEFAULT_MB,
        metavar="MB",
        help=f"for coding a picture, about; larger ones are coded in tiles (default: {DEFAULT_MB})",
    )
    parser.add_argument(
        "--portable",
        action=argparse.BooleanOptionalAction,
        help="for decoders on any device, which takes longer (default: what model.portable says)",
    )
    add_codec(parser)


def run(options: argparse.Namespace) -> int:
    codec = codec_named(options) or load_pretrained(DEFAULT)
    try:
        made = pairs(options.inputs, options.out, suffix=SUFFIX, single=(SUFFIX,), force=options.force)
    except (ImageError, PairsError) as error:
        raise ConfigError([str(error)]) from error
    from lic_exp.files.batch import compress_file  # torch
    from lic_exp.files.targets import check_rate, one_target

    asked = {"bpp": options.target_bpp, "psnr": options.target_psnr, "most_bytes": options.max_bytes}
    target = one_target(options.quality, **asked)
    how = {"portable": options.portable, "memory": options.memory_mb * 2**20}
    work = partial(compress_file, quality=options.quality, target=target, **how)

    def check(codec: "Codec") -> None:
        check_rate(codec, quality=options.quality, target=target)
        if options.portable:
            codec.portable_mode()

    done = done_of(made, codec, options, work, ("compressing", "compressed"), check)
    if done:
        total = size_text(sum(each.file_bytes for each in done))
        whole = fmean(8 * each.file_bytes / each.pixels for each in done)
        strings = fmean(8 * each.string_bytes / each.pixels for each in done)
        files = f"{len(done)} files" if len(done) > 1 else "1 file"
        show(f"{place_of(done, options.out)}: {files}, {total}; bpp_file {whole:.4f}, bpp {strings:.4f}")
    return exit_code(done, made)
