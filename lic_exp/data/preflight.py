"""A look at every image before training: what cannot be read, is too small, or stands on both sides of the split.

Imports no torch. What was seen of a file is kept in a cache beside the runs, so that a second run of the same data set
starts at once.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lic_exp.atomic import write_atomically
from lic_exp.data.images import ImageError, ImageRef, SourceImage
from lic_exp.data.sources import Group, ImageSource

THUMBNAIL = 16
"""Side of the grey thumbnails that are compared [pixels]."""

SAME = 0.995
"""Correlation of two thumbnails above which their photos count as the same: survives recompression and resizing."""

FLAT = 2.0
"""Standard deviation [8-bit levels] below which a thumbnail says too little to be compared."""


@dataclass
class Report:
    """What is wrong, by image name: unusable ones, and training images that are evaluation images too.

    bad_train, bad_val, bad_evaluation: {name: reason}.
    duplicates: {training image: (validation image, "exact" or "perceptual")}.
    evaluation_duplicates: the same with a separate evaluation set, of training images that are not in `duplicates`.
    """

    bad_train: dict[str, str] = field(default_factory=dict)
    bad_val: dict[str, str] = field(default_factory=dict)
    bad_evaluation: dict[str, str] = field(default_factory=dict)
    duplicates: dict[str, tuple[str, str]] = field(default_factory=dict)
    evaluation_duplicates: dict[str, tuple[str, str]] = field(default_factory=dict)

    def messages(self) -> list[str]:
        """One line per finding."""
        bad = [*self.bad_train.values(), *self.bad_val.values(), *self.bad_evaluation.values()]
        twice = [
            f"training image {name} is evaluation image {other} ({kind} duplicate), whose result would be too good"
            for name, (other, kind) in (self.duplicates | self.evaluation_duplicates).items()
        ]
        return bad + twice


@dataclass(frozen=True)
class Seen:
    """What is remembered of an image: its error, or its size, the hash of its pixels, and its thumbnail in hex."""

    error: str | None
    height: int = 0
    width: int = 0
    pixels: str = ""
    thumbnail: str = ""


def look(images: Sequence[SourceImage], cache: Path | None) -> Iterator[tuple[SourceImage, Seen]]:
    """Decode every image once, in threads, but for files that the cache knows (same size, times and inode)."""
    known = _read_cache(cache)
    with ThreadPoolExecutor() as pool:
        keys = [_key(image) for image in images]
        seen = pool.map(lambda pair: known.get(pair[1]) or _look_at(pair[0]), zip(images, keys, strict=True))
        found = list(seen)
    fresh = {key: entry for key, entry in zip(keys, found, strict=True) if key and key not in known}
    if cache is not None and fresh:
        write_atomically(cache, json.dumps({key: vars(entry) for key, entry in (known | fresh).items()}))
    yield from zip(images, found, strict=True)


@dataclass(frozen=True)
class Survey:
    """What a look at all images of a source found, for whatever sizes will be asked of them.

    train, val, evaluation: each image with its error or its size, pixels and thumbnail forgotten.
    """

    train: list[tuple[SourceImage, Seen]]
    val: list[tuple[SourceImage, Seen]]
    evaluation: list[tuple[SourceImage, Seen]]
    duplicates: dict[str, tuple[str, str]]
    evaluation_duplicates: dict[str, tuple[str, str]]

    def report(self, *, crop_size: int, val_crop_size: int) -> Report:
        """crop_size, val_crop_size: smallest sides that training and validation images may have [pixels]."""
        return Report(
            _unusable(self.train, crop_size),
            _unusable(self.val, val_crop_size),
            _unusable(self.evaluation),
            dict(self.duplicates),
            dict(self.evaluation_duplicates),
        )


def survey(source: ImageSource, evaluation: Iterable[SourceImage], *, cache: Path | None) -> Survey:
    """Look at all images of a source and at those of a separate evaluation set, which are evaluated whole."""
    train = list(look([image for group in source.train() for image in group.images], cache))
    val = list(look(source.val(), cache))
    separate = list(look(list(evaluation), cache))
    twice = _duplicates(train, val)
    only_separate = {name: other for name, other in _duplicates(train, separate).items() if name not in twice}
    return Survey(_small(train), _small(val), _small(separate), twice, only_separate)


def _small(images: Iterable[tuple[SourceImage, Seen]]) -> list[tuple[SourceImage, Seen]]:
    return [(image, replace(seen, pixels="", thumbnail="")) for image, seen in images]


def _unusable(images: Iterable[tuple[SourceImage, Seen]], least: int = 1) -> dict[str, str]:
    """{name: reason} of the images that do not decode, or have a side below `least` pixels."""
    bad = {}
    for image, seen in images:
        if seen.error:
            bad[image.name] = seen.error
        elif min(seen.height, seen.width) < least:
            bad[image.name] = f"{image} is {seen.width} x {seen.height} pixels, smaller than the {least} needed"
    return bad


class Without:
    """A source that leaves out images by name."""

    def __init__(self, source: ImageSource, train: Iterable[str], val: Iterable[str]) -> None:
        self._source = source
        self._train, self._val = frozenset(train), frozenset(val)

    def train(self) -> list[Group]:
        groups = [
            Group([image for image in group.images if image.name not in self._train], group.weight)
            for group in self._source.train()
        ]
        return [group for group in groups if group.images]

    def val(self) -> Sequence[SourceImage]:
        return [image for image in self._source.val() if image.name not in self._val]

    def fingerprint(self) -> str:
        return self._source.fingerprint()


def _look_at(image: SourceImage) -> Seen:
    import hashlib

    from PIL import Image

    try:
        pixels = image.load()
    except ImageError as error:
        return Seen(str(error))
    grey = Image.fromarray(pixels).convert("L").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return Seen(
        None,
        height=pixels.shape[0],
        width=pixels.shape[1],
        pixels=hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest(),
        thumbnail=grey.tobytes().hex(),
    )


def _duplicates(train: list[tuple[SourceImage, Seen]], held_out: list[tuple[SourceImage, Seen]]) -> dict[str, Any]:
    import numpy as np

    by_pixels = {seen.pixels: image.name for image, seen in held_out if not seen.error}
    found = {i.name: (by_pixels[s.pixels], "exact") for i, s in train if not s.error and s.pixels in by_pixels}
    left, left_names = _normalised((i.name, s) for i, s in train if i.name not in found)
    right, right_names = _normalised((i.name, s) for i, s in held_out)
    if len(left_names) and len(right_names):
        for row, column in np.argwhere(left @ right.T > SAME):
            found.setdefault(left_names[row], (right_names[column], "perceptual"))
    return found


def _normalised(images: Iterable[tuple[str, Seen]]) -> tuple[Any, list[str]]:
    """Thumbnails with mean 0 and norm 1 (N, THUMBNAIL^2), and their names; flat ones are left out."""
    import numpy as np

    pairs = [
        (name, np.frombuffer(bytes.fromhex(seen.thumbnail), np.uint8).astype(float))
        for name, seen in images
        if not seen.error
    ]
    kept = [(name, thumbnail) for name, thumbnail in pairs if thumbnail.std() > FLAT]
    rows = [(thumbnail - thumbnail.mean()) / (thumbnail.std() * THUMBNAIL) for _, thumbnail in kept]
    return np.asarray(rows).reshape(len(rows), THUMBNAIL**2), [name for name, _ in kept]


def _key(image: SourceImage) -> str:
    """What tells a file on disk, as it is now, from another; nothing for an image that is no file."""
    if not isinstance(image, ImageRef):
        return ""
    status = image.path.stat()
    facts = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
    return ":".join([str(image.path.resolve()), *map(str, facts)])


def _read_cache(cache: Path | None) -> dict[str, Seen]:
    if cache is None or not cache.exists():
        return {}
    try:
        entries = json.loads(cache.read_text())
        return {key: Seen(**entry) for key, entry in entries.items()}
    except (ValueError, TypeError, AttributeError):
        return {}  # a damaged cache costs time, nothing else
