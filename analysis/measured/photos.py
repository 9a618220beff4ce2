"""The photos to be measured on: those of a folder, or those that a run was evaluated on, to the pixel."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.errors import AnalysisError
from analysis.measured.colours import Picture
from lic_exp.data import digest_store
from lic_exp.data.decoding import decoded_as
from lic_exp.data.fingerprints import file_sha256
from lic_exp.data.images import ImageError, ImageRef, SourceImage, list_images
from lic_exp.image_identity import Pictured, identity, pixels_digest
from lic_exp.json_text import json_text
from lic_exp.naming import UniqueNames
from lic_exp.records import RecordError, plain_json, read_record
from lic_exp.text import visible
from lic_exp.tracking.kinds import EvaluationResults
from lic_exp.tracking.run_folder import EVALUATION_FILE, is_run_folder
from lic_exp.tracking.tables import PIXELS, parse_table
from lic_exp.user_cache import cache_folder

KEPT_IN = "anchors_1.sqlite"
"""In the user's cache folder. With a number for its format: another one is another file."""


@dataclass(frozen=True)
class Photo:
    """An image, or its centre. cut: height and width of that centre [pixels]; None: the whole image."""

    source: SourceImage
    name: str
    cut: tuple[int, int] | None = None

    def load(self) -> Picture:
        """RGB (H, W, 3), 8 bits. Raises AnalysisError that names the file."""
        try:
            pixels = self.source.load()
        except ImageError as error:
            raise AnalysisError(str(error)) from error
        if self.cut is None:
            return pixels
        top, left = ((side - own) // 2 for side, own in zip(pixels.shape[:2], self.cut, strict=True))
        if min(top, left) < 0:
            raise AnalysisError(f"{self.source} is smaller than {self.cut[1]} x {self.cut[0]} pixels")
        return pixels[top : top + self.cut[0], left : left + self.cut[1]]


@dataclass(frozen=True)
class PhotoSet:
    """photos: with what each is, in their order. name: what people call them; None where nobody does."""

    name: str | None
    photos: Sequence[Photo]
    pictured: Sequence[Pictured]

    def identity(self) -> dict[str, Any]:
        return identity(self.name, self.pictured)


def photos_of_folder(place: str | Path, limit: int | None = None) -> PhotoSet:
    """The images of a folder, a file or a pattern (`lic_exp.data.images.list_images`), or the first `limit` of them.

    Raises AnalysisError where there are none.
    """
    try:
        images = list_images(place)[:limit]
    except ImageError as error:
        raise AnalysisError(f"--data: {error}") from error
    photos = [Photo(image, image.name) for image in images]
    return PhotoSet(Path(os.path.abspath(os.path.expanduser(place))).name, photos, seen(photos))


def photos_of_run(folder: str | Path) -> PhotoSet:
    """Those that a run was evaluated on, whole or cut as it saw them.

    folder: the run's, or that of one of its evaluations (`eval`, or a folder in it).
    Raises AnalysisError where it was not evaluated, where they are not here, or are others by now.
    """
    folder = Path(folder)
    results = folder / "eval" if is_run_folder(folder) else folder
    told = _told(folder, results)
    sources = _sources(next((one for one in results.parents if is_run_folder(one)), folder), told[1])
    if len(sources) < len(told[0]):
        raise AnalysisError(f"{folder} was evaluated on {len(told[0])} images, and {len(sources)} are there now")
    photos = [Photo(source, one.name, (one.height, one.width)) for source, one in zip(sources, told[0], strict=False)]
    now = seen(photos)
    shown = UniqueNames(visible)
    for photo, before, after in zip(photos, told[0], now, strict=True):
        own_name = shown.of(photo.source.name)
        if not before.pixels and own_name != before.name:  # of a version that told no pixels
            raise AnalysisError(f"{folder} was evaluated on {before.name}, and in its place is now {photo.source}")
        if before.pixels and before.pixels != after.pixels:
            raise AnalysisError(f"{photo.source} is not what {folder} was evaluated on as {photo.name}: it has changed")
    return PhotoSet(told[2], photos, now)


def seen(photos: Sequence[Photo]) -> list[Pictured]:
    """What each photo is; its pixels are looked at once, and not again while its file holds the same."""
    keys = [_key(photo) for photo in photos]
    known = digest_store.read([key for key in keys if key], file=kept_file())
    found: list[Pictured] = []
    fresh: dict[bytes, bytes] = {}
    for photo, key in zip(photos, keys, strict=True):
        if key in known:
            height, width, pixels = plain_json(known[key])
        else:
            picture = photo.load()
            height, width = picture.shape[:2]
            pixels = pixels_digest(height, width, picture.tobytes())
            if key:
                fresh[key] = json_text([height, width, pixels]).encode()
        found.append(Pictured(photo.name, height, width, pixels))
    digest_store.write(fresh, file=kept_file())
    return found


def kept_file() -> Path | None:
    """Where what was found of photos is kept between commands; None where the user has no home, and nothing is kept."""
    try:
        return cache_folder() / KEPT_IN
    except RuntimeError:
        return None


def _key(photo: Photo) -> bytes:
    """Of a file's content and what is taken of it; nothing for what is no file."""
    if not isinstance(photo.source, ImageRef):
        return b""
    try:
        content = file_sha256(photo.source.path)
    except OSError as error:
        raise AnalysisError(f"{photo.source} cannot be read: {error.strerror or error}") from error
    return hashlib.blake2b(repr(("pixels", content, decoded_as(), photo.cut)).encode(), digest_size=16).digest()


def _told(folder: Path, results: Path) -> tuple[list[Pictured], str | None, str | None]:
    """What an evaluation says: its images in their order, the folder they came from, and their name."""
    table = results / "images.csv"
    try:
        about: Any = read_record(results / EVALUATION_FILE, EvaluationResults)
        header, *rows = parse_table(str(table), table.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise AnalysisError(f"{folder} was not evaluated: there is no {error.filename}") from error
    except (RecordError, ValueError) as error:
        raise AnalysisError(str(error)) from error
    entries = [dict(zip(header, row, strict=True)) for row in rows]
    images = {
        entry["image"]: Pictured(entry["image"], int(entry["height"]), int(entry["width"]), entry.get(PIXELS, ""))
        for entry in entries
    }
    named = about.get("images")
    return list(images.values()), about.get("data"), named.get("name") if isinstance(named, dict) else None


def _sources(run: Path, place: str | None) -> Sequence[SourceImage]:
    """All images of the place that an evaluation of a run took its own from, in order."""
    from lic_exp.config.errors import ConfigError
    from lic_exp.config.evaluated import separate_images
    from lic_exp.config.signing import data_source
    from lic_exp.runs.run import Run

    try:
        if place is not None:
            return list_images(place)
        config = Run(run).config
        return separate_images(config) or data_source(config.data).val()
    except (ConfigError, ImageError) as error:
        raise AnalysisError(f"the images that {run} was evaluated on cannot be had: {error}") from error
