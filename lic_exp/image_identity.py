"""Which images a number is of, told by their pixels: the same photos, whatever their files are called or coded as.

Imports no torch and no NumPy, so that whoever codes images by another program can say it alike.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

DIGITS = 16


class Pictured(NamedTuple):
    """An image as it was evaluated: whole, or what was cut of it. pixels: its `pixels_digest`."""

    name: str
    height: int
    width: int
    pixels: str


def pixels_digest(height: int, width: int, rgb: bytes) -> str:
    """16 hexadecimal digits of an image's 8-bit RGB pixels, row by row, and its size [pixels]."""
    return hashlib.sha256(f"{height}x{width}x3:".encode() + rgb).hexdigest()[:DIGITS]


def images_fingerprint(pixels: Iterable[str]) -> str:
    """16 hexadecimal digits of a set of images by their `pixels_digest`, in whatever order and under whatever names."""
    return hashlib.sha256("\n".join(sorted(pixels)).encode()).hexdigest()[:DIGITS]


def identity(name: str | None, images: Iterable[Pictured]) -> dict[str, Any]:
    """What results files say under `images`: `name` (for people), `number`, `fingerprint`, `sizes`, `pixels`.

    sizes: {"width x height": how many}. pixels: {image's name: its digest}, by which a part of a set is known.
    """
    listed = list(images)
    return {
        "name": name,
        "number": len(listed),
        "fingerprint": images_fingerprint(image.pixels for image in listed),
        "sizes": dict(Counter(f"{image.width} x {image.height}" for image in listed)),
        "pixels": {image.name: image.pixels for image in listed},
    }
