"""`pretrained`: the codecs that come with the package, and the card of one."""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence

from rich.table import Table

from lic_exp import exit_codes
from lic_exp.config.contents import pretrained_card, weights_file
from lic_exp.console import console_for, styled
from lic_exp.json_text import json_text
from lic_exp.pretrained.catalogue import Card, TrainingPhotos, names
from lic_exp.saying import show
from lic_exp.text import size_text

SUMMARY = "the codecs that come with the package, and the card of one"
DESCRIPTION = (
    "The codecs that come with the package, or all that is known of one: what it was trained on and by, how good it is "
    "and what it is not for. Its weights are compared with the card."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", nargs="?", help="of one of them, whose card is shown")
    parser.add_argument("--json", action="store_true", help="the card; without NAME a list of all")


def run(options: argparse.Namespace) -> int:
    cards = [pretrained_card(name) for name in (names() if options.name is None else [options.name])]
    sizes = [os.path.getsize(weights_file(one["name"])) for one in cards]
    if options.json:
        show(*json_text(cards if options.name is None else cards[0], indent=1, ensure_ascii=False).splitlines())
        return exit_codes.DONE
    console = console_for(sys.stdout)
    if options.name is None:
        console.print(_list(cards, sizes))
        show("model.weights=NAME starts a training from its weights; lic_exp pretrained NAME shows what is known of it")
        return exit_codes.DONE
    console.print(_card(cards[0], sizes[0]))
    if cards[0]["figures"]:
        console.print(_figures(cards[0]))
    return exit_codes.DONE


def _list(cards: Sequence[Card], sizes: Sequence[int]) -> Table:
    table = Table()
    table.add_column("name", no_wrap=True)
    table.add_column("what it is", overflow="fold")
    for title in ("parameters", "KMACs/pixel", "file"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("licence")
    for one, size in zip(cards, sizes, strict=True):
        numbers = (f"{one['parameters']:,}", f"{one['kmacs_per_pixel']:.2f}", size_text(size))
        table.add_row(styled(one["name"]), styled(one["summary"]), *numbers, styled(one["licence"]))
    return table


def _card(one: Card, size: int) -> Table:
    table = Table(show_header=False, title=styled(f"{one['name']}: {one['summary']}"))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for key, text in _rows(one, size):
        table.add_row(key, styled(text))
    return table


def _rows(one: Card, size: int) -> Iterator[tuple[str, str]]:
    """A key once, also where it has several lines."""
    yield "model", " ".join([one["model"], *(f"model.{key}={value}" for key, value in one.get("options", {}).items())])
    yield "weights", f"{one['file']}, {size_text(size)}, SHA-256 {one['sha256']}"
    yield "codec signature", one["codec_signature"]
    yield "parameters", f"{one['parameters']:,}"
    yield "KMACs/pixel", f"{one['kmacs_per_pixel']:.3f}"
    yield "licence", one["licence"]
    yield from _named("trained on", [_said(photos) for photos in one["data"]])
    yield from _named("made by", one["commands"])
    yield "run, code", f"{one['run_signature']}, {one['code_hash']}"
    yield from _named("BD-rate", [f"{change:+.1f} % against {anchor}" for anchor, change in one["bd_rate"].items()])
    yield "not for", one["not_for"]


def _named(key: str, lines: list[str]) -> Iterator[tuple[str, str]]:
    yield from zip([key] + [""] * (len(lines) - 1), lines, strict=True) if lines else ()


def _said(photos: TrainingPhotos) -> str:
    return f"{photos['name']}: {photos['photos']} photos, {photos['licence']}, {photos['source']}; {photos['authors']}"


def _figures(one: Card) -> Table:
    table = Table(title="on Kodak's 24 images, means")
    for title in ("quality", "bpp_file", "PSNR dB", "MS-SSIM dB"):
        table.add_column(title, justify="right", no_wrap=True)
    for rate in one["figures"]:
        measured = f"{rate['bpp_file']:.4f}", f"{rate['psnr']:.3f}", f"{rate['ms_ssim_db']:.3f}"
        table.add_row(f"{rate['quality']:g}", *measured)
    return table
