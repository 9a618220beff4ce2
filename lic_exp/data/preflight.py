"""A look at every image before training: what cannot be read, is too small, or stands on both sides of the split.

Imports no torch. What was seen of a file is kept in a cache, so that a second run of the same data set starts at once.
Of a million images half a kilobyte each is held in memory.
"""

import hashlib
import os
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import PIL
from numpy.typing import NDArray

from lic_exp.data import digest_store
from lic_exp.data.decoding import DECODING
from lic_exp.data.duplicates import PIXELS, THUMBNAIL, first_matches
from lic_exp.data.fingerprints import Facts, facts_of, file_key
from lic_exp.data.images import ImageError, ImageRef, SourceImage, UnreadableError
from lic_exp.data.sources import Group, ImageSource, held_out
from lic_exp.user_cache import cache_folder

SEEN_AS = f"thumbnail of {THUMBNAIL}, decoding {DECODING}, Pillow {PIL.__version__}"
"""What is remembered of a file."""

CACHE = ".preflight.sqlite"
"""The file in which it is kept: beside the runs, or in the user's cache folder where there are none yet."""

AT_ONCE = 4096
"""Images that are looked at before what was seen is written down and handed on."""

_FACTS = struct.Struct(f"<II32s{PIXELS}s")


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


@dataclass(frozen=True, slots=True)
class Seen:
    """What is remembered of an image: its error, or its size, the SHA-256 of its pixels, and its thumbnail.

    lasting: whether it is so as long as the file is the same; an error of reading may be gone the next time.
    """

    error: str | None
    height: int = 0
    width: int = 0
    pixels: bytes = b""
    thumbnail: bytes = b""
    lasting: bool = True

    def packed(self) -> bytes:
        """For the cache."""
        if self.error is not None:
            return os.fsencode(self.error)
        return b"\0" + _FACTS.pack(self.height, self.width, self.pixels, self.thumbnail)

    @staticmethod
    def unpacked(packed: bytes) -> "Seen | None":
        """None where the bytes are no such."""
        if packed[:1] != b"\0":
            return Seen(os.fsdecode(packed))
        return Seen(None, *_FACTS.unpack(packed[1:])) if len(packed) == 1 + _FACTS.size else None


def cache_for(runs: Path) -> Path | None:
    """Where what is seen is kept: beside the runs, once there is a folder of them. Who is refused shall not make it."""
    return runs / CACHE if runs.is_dir() else _users_cache()


def _users_cache() -> Path | None:
    """What was seen before there was a folder of runs; None where the user has no home."""
    try:
        return cache_folder() / CACHE.removeprefix(".")
    except RuntimeError:
        return None


Load = Callable[[SourceImage], NDArray[np.uint8]]
"""From an image to its pixels (H, W, 3); raises ImageError."""


def _decoded(image: SourceImage) -> NDArray[np.uint8]:
    return image.load()


def look(
    images: Sequence[SourceImage], cache: Path | None, load: Load = _decoded
) -> Iterator[tuple[SourceImage, Seen]]:
    """Decode every image once, in threads, but for files that the cache knows (same size, times and inode)."""
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(images), AT_ONCE):
            some = images[start : start + AT_ONCE]
            keys = list(pool.map(_key, some))
            known = _read_cache([key for key in keys if key], cache)
            found = list(pool.map(lambda image, seen: seen or _look_at(image, load), some, map(known.get, keys)))
            fresh = {
                key: seen.packed()
                for key, seen in zip(keys, found, strict=True)
                if key and key not in known and seen.lasting
            }
            if cache is not None and fresh:
                digest_store.write(fresh, file=cache)
            yield from zip(some, found, strict=True)


def which_are_among(
    images: Sequence[SourceImage], others: Sequence[SourceImage], cache: Path | None, load: Load = _decoded
) -> list[bool]:
    """Of each image, whether one of the others, which `load` decodes, shows the same photo. Unreadable ones do not."""
    twice = _twice(_Looked(look(images, cache)), _Looked(look(others, cache, load)))
    return [image.name in twice for image in images]


def shows_the_same(image: ImageRef, before: Facts, cache: Path | None) -> bool | None:
    """Whether an image has the pixels that were seen of its file when it was as `before` says; None: nothing was."""
    key = file_key(os.fspath(image.path), before, SEEN_AS)
    seen = _read_cache([key], cache).get(key)
    if seen is None or seen.error is not None:
        return None
    return _look_at(image, _decoded).pixels == seen.pixels


@dataclass(frozen=True)
class Survey:
    """What a look at all images of a source found, for whatever sizes will be asked of them.

    train, val, evaluation: each image with its error or its size.
    """

    train: list[tuple[SourceImage, Seen]]
    val: list[tuple[SourceImage, Seen]]
    evaluation: list[tuple[SourceImage, Seen]]
    duplicates: dict[str, tuple[str, str]]
    evaluation_duplicates: dict[str, tuple[str, str]]

    def report(self, *, crop_size: int, val_crop_size: int, evaluation_crop_size: int = 1) -> Report:
        """Smallest sides that training, validation and separate evaluation images may have [pixels]."""
        return Report(
            _unusable(self.train, crop_size),
            _unusable(self.val, val_crop_size),
            _unusable(self.evaluation, evaluation_crop_size),
            dict(self.duplicates),
            dict(self.evaluation_duplicates),
        )


def survey(
    source: ImageSource, evaluation: Iterable[SourceImage], *, cache: Path | None, load: Load = _decoded
) -> Survey:
    """Look at all images of a source that train or validate, and at those of a separate evaluation set.

    load: how those of the source are decoded, which may keep them for the training.
    """
    train = _Looked(look([image for group in source.train() for image in group.images], cache, load))
    val = _Looked(look(source.val(), cache, load))
    separate = _Looked(look(list(evaluation), cache))
    twice = _twice(train, val)
    only_separate = {name: other for name, other in _twice(train, separate).items() if name not in twice}
    return Survey(train.small, val.small, separate.small, twice, only_separate)


class _Looked:
    """Images that were looked at. small: each, its pixels and thumbnail forgotten; of the good ones these are arrays.

    names: of the good ones; pixels: their SHA-256; thumbnails: (N, PIXELS).
    """

    def __init__(self, images: Iterable[tuple[SourceImage, Seen]]) -> None:
        self.small: list[tuple[SourceImage, Seen]] = []
        self.names: list[str] = []
        self.pixels: list[bytes] = []
        thumbnails = bytearray()
        sizes: dict[tuple[int, int], Seen] = {}
        for image, seen in images:
            if seen.error is not None:
                self.small.append((image, seen))
                continue
            size = (seen.height, seen.width)
            self.small.append((image, sizes.setdefault(size, Seen(None, *size))))
            self.names.append(image.name)
            self.pixels.append(seen.pixels)
            thumbnails += seen.thumbnail
        self.thumbnails: NDArray[np.uint8] = np.frombuffer(thumbnails, np.uint8).reshape(-1, PIXELS)


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

    def test(self) -> Sequence[SourceImage]:
        return held_out(self._source)


def _look_at(image: SourceImage, load: Load) -> Seen:
    from PIL import Image

    try:
        pixels = load(image)
    except ImageError as error:
        return Seen(str(error), lasting=not isinstance(error, UnreadableError))
    grey = Image.fromarray(pixels).convert("L").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels).data)  # joined, the pixels would be copied twice
    height, width, _ = pixels.shape
    return Seen(None, height, width, pixels=digest.digest(), thumbnail=grey.tobytes())


def _duplicates(
    train: Iterable[tuple[SourceImage, Seen]], held_out: Iterable[tuple[SourceImage, Seen]]
) -> dict[str, tuple[str, str]]:
    return _twice(_Looked(train), _Looked(held_out))


def _twice(train: _Looked, held_out: _Looked) -> dict[str, tuple[str, str]]:
    """{training image: (image held out, "exact" or "perceptual")}, exact ones first."""
    by_pixels = dict(zip(held_out.pixels, held_out.names, strict=True))
    exact = [pixels in by_pixels for pixels in train.pixels]
    found = {train.names[i]: (by_pixels[train.pixels[i]], "exact") for i in np.flatnonzero(exact)}
    rest = np.flatnonzero(~np.array(exact, dtype=bool))
    for row, column in sorted(first_matches(train.thumbnails[rest], held_out.thumbnails).items()):
        found[train.names[rest[row]]] = (held_out.names[column], "perceptual")
    return found


def _key(image: SourceImage) -> bytes:
    """What tells a file on disk, as it is now, from another; nothing for what is no file, or none that can be read."""
    if not isinstance(image, ImageRef):
        return b""
    try:
        return file_key(os.fspath(image.path), facts_of(image.path.stat()), SEEN_AS)
    except OSError:
        return b""


def _read_cache(keys: Sequence[bytes], cache: Path | None) -> dict[bytes, Seen]:
    packed: dict[bytes, bytes] = {}
    for file in [] if cache is None else {cache: None, _users_cache(): None}:
        left = [key for key in keys if key not in packed]
        if left and file is not None and file.exists():
            packed |= digest_store.read(left, file=file)
    unpacked = {key: Seen.unpacked(value) for key, value in packed.items()}
    return {key: seen for key, seen in unpacked.items() if seen is not None}
