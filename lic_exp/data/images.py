"""Image files: found and decoded to 8-bit RGB. Imports no torch, and NumPy and Pillow only to decode."""

import difflib
import logging
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from lic_exp.data.walking import SUFFIXES, FolderWalk
from lic_exp.text import visible

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WILD = re.compile(r"[*?]")

_log = logging.getLogger("lic_exp.data")
_said: set[str] = set()


class ImageError(ValueError):
    """An image, or a folder of images, that cannot be used; the message names it and says why.

    Takes the message alone, so that it survives the way from a worker process.
    """


class UnreadableError(ImageError):
    """A file that could not be read this time: gone, not permitted, a broken disk. It says nothing of the image."""


class SourceImage(Protocol):
    """An image of a source; `str()` tells the user where it comes from."""

    @property
    def name(self) -> str:
        """Unique within its training or validation set, and the same wherever the set lies."""

    def load(self) -> "NDArray[np.uint8]":
        """RGB pixels (H, W, 3), 8 bits. Raises ImageError."""


@dataclass(frozen=True, slots=True)
class ImageRef:
    """An image file, by its path and its name within the set."""

    path: Path
    name: str

    def __str__(self) -> str:
        return str(self.path)

    def load(self) -> "NDArray[np.uint8]":
        """Decode to RGB (H, W, 3), 8 bits, upright as its EXIF orientation says.

        Grey is replicated; palettes are looked up; CMYK and YCbCr are converted by Pillow; grey of 9 to 16 bits is
        scaled to 8 bits and rounded, whether zero is black or white (16-bit colour is reduced to its high byte by
        Pillow itself). Alpha is dropped: the stored colours are what a camera saw, whereas compositing would paint flat
        areas and edges that no photograph has. Colour profiles are ignored, as everywhere in the field.

        Raises ImageError if the file is not an image, is damaged or truncated, or has pixels whose white nobody knows:
        floating-point numbers, integers with a sign or of 32 bits. Broken metadata are no damage. Raises
        UnreadableError, an ImageError, if the file cannot be read.
        """
        return self.decoded(self.read())

    def read(self) -> bytes:
        """The file. Raises UnreadableError."""
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise UnreadableError(f"{self.path} cannot be read: {error.strerror or error}") from error

    def decoded(self, content: bytes) -> "NDArray[np.uint8]":
        """What `load` makes of this content of the file. Raises ImageError."""
        from lic_exp.data.decoding import DamageError, decode  # a third of the time that a listing takes

        try:
            return decode(content)
        except DamageError as error:
            raise ImageError(f"{self.path} {error}") from error


class Listed(list[ImageRef]):
    """The images of a place, in order; notes: a line for each sort of thing that was passed over there."""

    def __init__(self, images: Iterable[ImageRef], notes: list[str]) -> None:
        super().__init__(images)
        self.notes = notes


def list_images(place: str | Path, prefix: str = "") -> Listed:
    """The image files under a folder, recursively, sorted by relative path; or the one file that `place` is.

    A pattern in the place of a file's name, "/photos/*.gif", takes the files under /photos that are called so, and no
    others. Names are `prefix` and the relative path. `~` is expanded; a relative path is relative to the working
    directory. Hidden files and folders (`.name`, which archives from macOS are full of) are passed over, and all that
    is no regular file. Links are followed: a file counts under each of its names, as a copy would; a folder under one,
    of several the shortest, of equally short ones the first. What was passed over is said as a warning, once per
    process.
    Raises ImageError, with what there is instead, if `place` does not exist or holds no image.
    """
    root = Path(os.path.abspath(os.path.expanduser(place)))
    if root.is_file():
        return Listed([ImageRef(root, prefix + root.name)], [])
    pattern = ""
    if not os.path.lexists(root) and WILD.search(root.name):
        root, pattern = root.parent, root.name
    if not root.is_dir():
        if os.path.lexists(root):
            what = "neither a folder nor a regular file" if root.exists() else "a link that leads nowhere"
            raise ImageError(f"{root} is {what}")
        raise ImageError(f"{root} does not exist; {_what_is_near(root)}")
    try:
        walk = FolderWalk(root, pattern)
    except OSError as error:
        raise ImageError(f"{error.filename} cannot be listed: {error.strerror}") from error
    if not walk.found:
        notes = "".join(f"; {note}" for note in walk.notes())
        raise ImageError(f"{root} holds no image ({pattern or ' '.join(SUFFIXES)}); {_contents(root)}{notes}")
    images = Listed((ImageRef(Path(path), prefix + name) for name, path in sorted(walk.found)), walk.notes())
    say_once(images.notes)
    return images


def say_once(notes: Iterable[str]) -> None:
    """Warn of each that was not said before in this process."""
    for note in notes:
        if note not in _said:
            _said.add(note)
            _log.warning("%s", note)


def _what_is_near(missing: Path) -> str:
    parent = next(folder for folder in missing.parents if folder.is_dir())
    wanted = missing.relative_to(parent).parts[0]
    near = difflib.get_close_matches(wanted, os.listdir(parent), n=1)
    return f"did you mean {parent / near[0]}?" if near else _contents(parent)


def _contents(folder: Path, most: int = 8) -> str:
    entries = sorted(entry.name + "/" * entry.is_dir() for entry in folder.iterdir())
    more = f" and {len(entries) - most} more" if len(entries) > most else ""
    return f"{folder} holds {visible(', '.join(entries[:most])) or 'nothing'}{more}"
