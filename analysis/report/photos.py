"""Photos at about equal rate: where one arm gains most over another, and where least."""

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.arms import Arm
from analysis.errors import AnalysisError
from analysis.named_runs import NamedRun
from analysis.report.parts import PagePhoto, Part
from analysis.report.subject import Subject
from analysis.run_points import evaluation_of
from lic_exp.labels import SEED
from lic_exp.naming import picture_stem
from lic_exp.records import RecordError, read_file
from lic_exp.text import visible
from lic_exp.tracking.tables import PIXELS, parse_table

if TYPE_CHECKING:
    from PIL.Image import Image

WIDEST = 1600
"""Pixels that a picture in the page has across; a wider one is reduced."""

MOST_NAMED = 4
"""Images that are left out, by name."""

MOST_BYTES = 64 * 2**20

TITLE = "Pictures at about equal rate"


@dataclass(frozen=True)
class CodedPhoto:
    """An image that a run has coded, and the picture of that.

    size: height and width. pixels: the digest of what was coded, "" where that was not recorded. rate: as names of
    pictures have it, "" of a codec of one rate.
    """

    run: NamedRun
    image: str
    size: tuple[str, str]
    pixels: str
    rate: str
    bpp: float
    psnr: float
    picture: Path

    def is_of(self, other: "CodedPhoto") -> bool:
        """Whether both are of one image: by its pixels where both have recorded them, else by its name and size."""
        if self.pixels and other.pixels:
            return self.pixels == other.pixels
        return (self.image, self.size) == (other.image, other.size)


def pictures(subject: Subject) -> Part:
    """Best and worst of what a second arm gains over the first at about equal rate; of one arm its own best and worst.

    The gain of an image is PSNR above that of the first arm at the same rate, on straight lines between its rates where
    they reach so far, and else above that of its nearest rate. Each picture is shown beside the first arm's nearest.
    Images of one name that are not the same are not compared, which is said.
    """
    coded = {arm.label: list(coded_photos(arm)) for arm in subject.arms}
    drawn = [arm.label for arm in subject.arms if coded[arm.label]]
    if not drawn:
        return Part(TITLE, ("no pictures are there: evaluation.pictures=4 in the runs' command draws the first four",))
    first, second = drawn[0], drawn[1] if len(drawn) > 1 else ""
    if not second:
        ordered = sorted(coded[first], key=lambda one: one.psnr)
        return Part(TITLE, photos=tuple(_shown({"best PSNR": [ordered[-1]], "worst PSNR": ordered[:1]})))
    gains = [(_gain(coded[first], one), one) for one in coded[second]]
    known = sorted(((gain, one) for gain, one in gains if gain is not None), key=lambda pair: pair[0])
    said = tuple(_of_namesakes(coded[first], coded[second], first, second))
    if not known:
        return Part(TITLE, (f"{first} and {second} have no pictures of the same images", *said))
    ends = {"worst": known[0], "best": known[-1]} if len(known) > 1 else {"the only one": known[0]}
    chosen = {}
    for how, (gain, one) in reversed(ends.items()):
        apart = f"{abs(gain):.2f} dB {'above' if gain >= 0 else 'below'} {first} at its rate"
        chosen[f"{how}: {second} is {apart}"] = [one]
        chosen[f"{how}: {first} at its nearest rate"] = [_nearest(coded[first], one)]
    return Part(TITLE, said, photos=tuple(_shown(chosen)))


def _of_namesakes(ours: Sequence[CodedPhoto], theirs: Sequence[CodedPhoto], first: str, second: str) -> Iterator[str]:
    """What is to be said of images that have one name in both arms."""
    pairs = [(one, other) for one in theirs for other in ours if one.image == other.image]
    if unlike := list(dict.fromkeys(one.image for one, other in pairs if not one.is_of(other))):
        more = f" and {len(unlike) - MOST_NAMED} more" if unlike[MOST_NAMED:] else ""
        names = f"{', '.join(unlike[:MOST_NAMED])}{more}"
        yield f"other-data-set: not the same images in {first} and {second}, and not compared: {names}"
    if any(one.is_of(other) and not (one.pixels and other.pixels) for one, other in pairs):
        yield f"unknown-images: whether images of one name have the same pixels in {first} and {second} is not recorded"


def _gain(others: list[CodedPhoto], one: CodedPhoto) -> float | None:
    """How much better an image is than the others' of it at its rate [dB]; None where they have none."""
    same = sorted((other.bpp, other.psnr) for other in others if one.is_of(other))
    if not same or not np.isfinite(one.psnr):
        return None
    rates, qualities = np.array(same).T
    return float(one.psnr - np.interp(one.bpp, rates, qualities))


def _nearest(others: list[CodedPhoto], one: CodedPhoto) -> CodedPhoto:
    return min((o for o in others if one.is_of(o)), key=lambda o: (abs(o.bpp - one.bpp), o.run.signature))


def _shown(chosen: Mapping[str, list[CodedPhoto]]) -> Iterator[PagePhoto]:
    shown: list[Path] = []
    for what, coded in chosen.items():
        for one in coded:
            if one.picture in shown:
                continue
            shown.append(one.picture)
            caption = f"{what}. {one.image}, {one.run.label or one.run.signature}: {one.bpp:.4f} bpp, {one.psnr:.2f} dB"
            try:
                yield PagePhoto(caption, *_embedded(one.picture))
            except (OSError, ValueError) as error:
                yield PagePhoto(f"{caption}; its picture cannot be shown: {error}")


def _embedded(path: Path) -> tuple[str, int, int]:
    """(data address, width, height) of a PNG, reduced where it is wide. Raises OSError and ValueError."""
    from PIL import Image

    data = read_file(path, MOST_BYTES)
    with _opened(data) as picture:
        size = picture.size
        if picture.width > WIDEST:
            size = WIDEST, max(1, round(picture.height * WIDEST / picture.width))
            reduced = io.BytesIO()
            picture.convert("RGB").resize(size, Image.Resampling.LANCZOS).save(reduced, "PNG")
            data = reduced.getvalue()
    return f"data:image/png;base64,{base64.b64encode(data).decode()}", *size


@contextmanager
def _opened(data: bytes) -> "Iterator[Image]":
    """Raises ValueError where it is no PNG, or one of more pixels than anybody has drawn."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
            yield picture
    except Image.DecompressionBombError as error:
        raise ValueError(str(error)) from error


def coded_photos(arm: Arm) -> Iterator[CodedPhoto]:
    """What the runs of an arm have pictures of, one run per rate: of several seeds the first that has some."""
    seen: set[tuple[str, str, str]] = set()
    for cell in arm.cells:
        try:
            folder = evaluation_of(cell)
            drawn = [] if folder is None else sorted(folder.glob("[0-9][0-9][0-9]_*.png"))
            rows = _rows(drawn[0].with_name("images.csv")) if drawn else []
        except (AnalysisError, RecordError, OSError, ValueError):
            continue  # what is damaged is told beside the curves
        images = list(dict.fromkeys(row["image"] for row in rows))
        pictures_at: dict[str, dict[str, Path]] = {}
        rate_of_run = repr(sorted((key, repr(value)) for key, value in (cell.role or {}).items() if key != SEED))
        for row in rows:
            rate = f"_q{float(row['rate']):g}" if row.get("rate") else ""
            if rate not in pictures_at:
                pictures_at[rate] = _by_image(drawn, images, rate)
            picture, key = pictures_at[rate].get(row["image"]), (row["image"], rate_of_run, rate)
            if picture is not None and key not in seen:
                seen.add(key)
                yield CodedPhoto(cell, visible(row["image"]), *_identity(row), rate, *_measures(row), picture)


def _by_image(drawn: Sequence[Path], images: Sequence[str], rate: str) -> dict[str, Path]:
    """{image: its picture at this rate} by the name that a picture has from its image.

    The number before that counts all images of a folder, also those that have no row. Images of one such name have
    their pictures in the order of both; none where there are more pictures than images: whose they are is not known.
    """
    alike: dict[str, list[str]] = {}
    for image in images:
        alike.setdefault(f"{picture_stem(image)}{rate}.png", []).append(image)
    named: dict[str, list[Path]] = {}
    for one in drawn:
        named.setdefault(one.name.partition("_")[2], []).append(one)
    found: dict[str, Path] = {}
    for name, own in alike.items():
        pictures_of = named.get(name, [])
        if len(pictures_of) <= len(own):
            found.update(zip(own, pictures_of, strict=False))
    return found


def _rows(path: Path) -> list[dict[str, Any]]:
    header, *rows = parse_table(path.name, read_file(path).decode())
    return [dict(zip(header, row, strict=True)) for row in rows]


def _identity(row: Mapping[str, str]) -> tuple[tuple[str, str], str]:
    """(size, digest of the pixels)"""
    return (row.get("height", ""), row.get("width", "")), row.get(PIXELS, "")


def _measures(row: Mapping[str, str]) -> tuple[float, float]:
    return float(row["bpp"]), float(row["psnr"])
