"""What `compress` and `decompress` share: which codec, which files, how many at once, and what to say in the end."""

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lic_exp import exit_codes
from lic_exp.cli.flags import flags_named
from lic_exp.command_parser import whole_number
from lic_exp.config.compose import compose
from lic_exp.config.errors import ConfigError, did_you_mean
from lic_exp.config.loading import load_pretrained
from lic_exp.config.overrides import parse
from lic_exp.config.schema import RunConfig
from lic_exp.config.validation import validate
from lic_exp.console import console_for
from lic_exp.pretrained.catalogue import names
from lic_exp.runs.run import find_run
from lic_exp.saying import say

if TYPE_CHECKING:
    from lic_exp.files.batch import CodedFile, FileWork
    from lic_exp.files.pairs import Pair
    from lic_exp.models.base import Codec

FLAGS = {"model.weights": "--weights", "trainer.device": "--device", "model=": "--model="}
"""What the keys of a config are called here."""


def add_codec(parser: argparse.ArgumentParser) -> None:
    """The options that choose a codec, and how it works on files."""
    add_choice(parser)
    parser.add_argument("--jobs", type=whole_number(1, 256), metavar="N", help="processes (default: as cores allow)")
    parser.add_argument("--force", action="store_true", help="replace files that are there")


def add_choice(parser: argparse.ArgumentParser) -> None:
    """The options that choose a codec and its device."""
    parser.add_argument("--run", metavar="RUN", help="by its best weights: run folder, signature, or its beginning")
    parser.add_argument("--runs", default="runs", metavar="FOLDER", help="where run folders are (default: runs)")
    parser.add_argument("--weights", metavar="FILE", help="by these weights, of --model; or a pretrained codec's name")
    parser.add_argument("--model", metavar="MODEL", help="as in model=MODEL")
    parser.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[], help="an option of --model: model.N=192; again"
    )
    parser.add_argument("--device", metavar="DEVICE", help="auto, cpu, cuda, ... (default: as the run, else auto)")


def add_out(parser: argparse.ArgumentParser, single: str) -> None:
    """The option that says where files go. single: what one file may be."""
    there = f"a folder, or for one file {single} (default: beside each IN)"
    parser.add_argument("-o", "--out", metavar="OUT", help=there)


def place_of(done: Sequence["CodedFile"], out: str | None) -> str:
    """Where files went, for people."""
    if out is None and len(done) == 1:
        return os.path.relpath(done[0].pair.target)
    return "beside each" if out is None else out


def codec_named(options: argparse.Namespace) -> Path | RunConfig | None:
    """The codec that the options name: a run folder, or the config of a model with weights; None where they name none.

    Raises ConfigError.
    """
    if options.run is not None and options.weights is not None:
        raise ConfigError(["name one codec: --run RUN, or --weights FILE with --model MODEL, and not both"])
    if options.weights in names() and options.model is None and not options.set:
        return load_pretrained(options.weights)
    if (options.weights is None) != (options.model is None) or (options.set and options.model is None):
        hint = did_you_mean(options.weights or "", names())
        raise ConfigError([f"--weights FILE needs --model MODEL, and --model and --set need --weights.{hint}"])
    if options.model is not None:
        return _config(options)
    if options.run is None:
        return None
    found = find_run(options.run, options.runs)
    if found.state != "done":
        say(f"run {found.signature} is {found.state}, not done: these are its best weights so far")
    return found.folder


def _config(options: argparse.Namespace) -> RunConfig:
    with flags_named(FLAGS):
        parsed = parse([f"model={options.model}", *options.set])
        if parsed.sweeping:
            raise ConfigError(["these options describe several models; files are coded by one"])
        plain = compose(parsed)
        plain["model"] |= {"weights": options.weights}
        return validate(plain, rules_too=False)


def done_of(
    made: Sequence["Pair"],
    codec: Path | RunConfig,
    options: argparse.Namespace,
    work: "FileWork",
    words: tuple[str, str],
    check: "Callable[[Codec], object] | None" = None,
) -> "list[CodedFile]":
    """Do it, saying how far it is, and what could not be done.

    words: "compressing" and "compressed". check: raises ValueError where the codec cannot do any of it.
    """
    from lic_exp.evaluation.watching import watch
    from lic_exp.files.batch import ManyFiles  # torch
    from lic_exp.models.weights import PARTIAL
    from lic_exp.runs.coding import CodecChoice

    failed: list[str] = []
    done = []
    with flags_named({f". {PARTIAL}": "", **FLAGS}):  # weights are taken whole
        batch = ManyFiles(made, CodecChoice(codec, options.device).load, work, options.jobs)
    try:
        if check is not None:
            check(batch.codec)
    except ValueError as error:
        raise ConfigError([str(error)]) from error
    for each in watch(batch, console_for(sys.stderr), failed, words):
        source = each.pair.source
        if each.error is not None:
            failed.append(f"{source}: {each.error}")
            say(failed[-1])
        else:
            say(*(f"{source}: {note}" for note in each.notes))
            done.append(each)
    return done


def exit_code(done: Iterable["CodedFile"], made: Sequence["Pair"]) -> int:
    """DONE where all could be done."""
    return exit_codes.DONE if len(list(done)) == len(made) else exit_codes.FAILED
