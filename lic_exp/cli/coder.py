"""`coder`: a codec that codes what comes through a pipe."""

import argparse
import os

from lic_exp import exit_codes
from lic_exp.cli.coding import FLAGS, add_choice, codec_named
from lic_exp.cli.flags import flags_named
from lic_exp.config.loading import load_pretrained
from lic_exp.pretrained.catalogue import DEFAULT

SUMMARY = "code pictures that come through a pipe"
DESCRIPTION = (
    "Code the pictures and files that come on standard input, as lic_exp.files.serving says, until it ends. `analysis` "
    "starts this."
)
HIDDEN = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_choice(parser)


def run(options: argparse.Namespace) -> int:
    chosen = codec_named(options) or load_pretrained(DEFAULT)
    # What anything else prints would be taken for an answer.
    taken = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    from lic_exp.files.serving import serve  # torch
    from lic_exp.runs.coding import CodecChoice

    with flags_named(FLAGS):
        codec = CodecChoice(chosen, options.device).load()
    with os.fdopen(os.dup(0), "rb") as given, taken:
        serve(codec, given, taken)
    return exit_codes.DONE
