"""Image files decoded to 8-bit RGB: the pixels decide, whatever the metadata beside them say. Imports Pillow to decode.

What Pillow reads of a file's metadata can fail where its pixels are whole: a chunk with a wrong checksum, a text that
unpacks to megabytes. Such a file is decoded once more without them (`lic_exp.data.metadata`).
"""

import re
import warnings
from collections.abc import Callable, Mapping
from functools import cache
from io import BytesIO
from typing import IO, TYPE_CHECKING, Any, TypeVar

from lic_exp.data.metadata import kind_of, without_metadata
from lic_exp.file_kinds import HEAD_BYTES, foreign_bytes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

T = TypeVar("T")

DECODING = 2
"""Count up when `decode` makes something else of files than before."""

ORIENTATION = 0x0112
"""The tag of EXIF, which is also that of TIFF."""

UPRIGHT = {
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}
"""{orientation: whether to swap rows and columns, then to turn the order of rows, and of columns}."""

BITS_PER_SAMPLE, COMPRESSION, PHOTOMETRIC, PLANES, SAMPLE_FORMAT = 258, 259, 262, 284, 339
"""Tags of TIFF: how wide a sample is, whether zero is white (0) or black (1), whether there are signs, and so on."""

ON_16_BITS = {("PNG", "I;16"), ("JPEG2000", "I;16"), ("PPM", "I"), (None, "I;16"), (None, "I;16B"), (None, "I;16L")}
"""Formats, None of an image made in memory, and modes in which Pillow has grey on a scale on which 65535 is white."""

HUSHED = r"PIL\."


class DamageError(ValueError):
    """What a file holds is no whole image, or has no known white; the message is what can be said of the file."""


def decode(content: bytes) -> "NDArray[np.uint8]":
    """The pixels of a file's content as RGB (H, W, 3), 8 bits, upright as its EXIF orientation says where legible.

    Raises DamageError where it cannot be decoded.
    """

    def take(image: "Image.Image") -> "NDArray[np.uint8]":
        image.load()
        return upright(_to_rgb(image), image)

    return opened(content, take)


def opened(content: bytes, take: "Callable[[Image.Image], T]") -> T:
    """What `take`, which has to load it, makes of a file's content; without metadata where only these are damaged.

    Raises DamageError where it cannot be decoded, whatever Pillow or `take` raised.
    """
    try:
        return _opened(BytesIO(content), take)
    except MemoryError:
        raise
    except Exception as error:
        # Bad bytes make Pillow's plugins raise anything, NotImplementedError and errors of their own among them.
        if not isinstance(error, DamageError):
            for keep_exif in (True, False):
                stripped = without_metadata(content, keep_exif=keep_exif)
                if stripped is not None and (found := _opened_or_none(stripped, take)) is not None:
                    return found
        raise DamageError(_reason(error, content)) from error


@cache
def decoded_as() -> str:
    """What decides which pixels a content gives, beside the content."""
    from PIL import __version__, features

    libraries = ", ".join(f"{name} {features.version(name)}" for name in ("jpg", "libjpeg_turbo", "jpg_2000", "webp"))
    return f"decoding {DECODING}, Pillow {__version__}, {libraries}"


def _opened_or_none(content: bytes, take: "Callable[[Image.Image], T]") -> "T | None":
    try:
        return _opened(BytesIO(content), take)
    except (DamageError, MemoryError):
        raise
    except Exception:  # noqa: BLE001 (what is told is the error of the file as it is)
        return None


def _reason(error: Exception, content: bytes) -> str:
    from PIL import UnidentifiedImageError

    if isinstance(error, DamageError):
        return str(error)
    if not isinstance(error, UnidentifiedImageError):
        return f"cannot be decoded: {str(error) or type(error).__name__}"
    if kind := kind_of(content):
        return f"cannot be decoded: its header is damaged, or it is a form of {kind} that Pillow does not know"
    is_what = foreign_bytes(content[:HEAD_BYTES])
    return f"is not an image, whatever its suffix says{f': it {is_what}' if is_what else ''}"


def _opened(file: IO[bytes], take: "Callable[[Image.Image], T]") -> T:
    from PIL import Image

    _hush_pillow()
    with Image.open(file) as image:
        if image.format == "EPS":
            raise DamageError("cannot be decoded: it holds PostScript, a program, which is not run")
        return take(image)


def upright(pixels: "NDArray[Any]", image: "Image.Image") -> "NDArray[Any]":
    """Pixels (H, W, ...) of this image turned as its EXIF orientation says, where legible; contiguous."""
    import numpy as np

    swapped, rows, columns = _turns(image)
    if swapped:
        pixels = pixels.swapaxes(0, 1)
    return np.ascontiguousarray(pixels[:: -1 if rows else 1, :: -1 if columns else 1])


def _hush_pillow() -> None:
    """It warns of metadata, and of large photographs that it decodes all the same: of nothing that pixels suffer from.

    Once, since every change of the filters has the warnings of others shown again.
    """
    if ("ignore", None, Warning, re.compile(HUSHED), 0) not in warnings.filters:
        warnings.filterwarnings("ignore", module=HUSHED)


def _turns(image: "Image.Image") -> tuple[bool, bool, bool]:
    """How to turn the pixels upright, as `UPRIGHT` has it; as they lie where nothing legible says otherwise."""
    as_it_lies = (False, False, False)
    try:
        return UPRIGHT.get(image.getexif().get(ORIENTATION, 1), as_it_lies)
    except Exception:  # noqa: BLE001 (broken EXIF raises anything, and is no reason to do without the picture)
        return as_it_lies


def _to_rgb(image: "Image.Image") -> "NDArray[np.uint8]":
    import numpy as np

    if (grey := wide_grey(image, 255)) is not None:
        return np.stack([grey.astype(np.uint8)] * 3, axis=-1)
    if image.mode == "La":  # multiplied by its alpha, and known to few conversions
        image = image.convert("LA")
    if image.mode in ("P", "PA"):
        # Straight to RGB, Pillow would warn about palettes with transparency.
        image = image.convert("RGBA")
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def wide_grey(image: "Image.Image", most: int) -> "NDArray[np.int64] | None":
    """Grey of more than 8 bits on a scale on which `most` is white (H, W); None of all that Pillow has in 8 bits.

    Raises DamageError where what white is, or what the samples are, is unknown, also of grey of 8 bits.
    """
    import numpy as np

    tags = getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}
    if image.mode == "F":
        raise DamageError("cannot be decoded: its pixels are floating-point numbers, whose white is unknown")
    if (tags.get(PLANES), tags.get(COMPRESSION)) == (2, 1) and max(tags.get(BITS_PER_SAMPLE, (1,))) > 8:
        raise DamageError("cannot be decoded: Pillow takes its planes of 16 bits for planes of 8")
    if not image.mode.startswith("I") and not (tags and image.mode in ("1", "L", "LA", "La")):
        return None
    white, inverted = _scale(image, tags)
    if not image.mode.startswith("I"):
        return None
    wide = np.asarray(image).astype(np.int64)
    if wide.min() < 0 or wide.max() > white:
        raise DamageError(f"cannot be decoded: its values {wide.min()}..{wide.max()} are not 16-bit grey")
    # Rounded: a shift by 8 bits would darken by up to a level.
    scaled: NDArray[np.int64] = (wide * 2 * most + white) // (2 * white)
    return most - scaled if inverted else scaled


def _scale(image: "Image.Image", tags: Mapping[int, Any]) -> tuple[int, bool]:
    """The value of grey that is white, or black where the second is true. Raises DamageError where nothing says so.

    tags: those of a TIFF, whose white-is-zero Pillow turns round itself where samples have 8 bits or fewer.
    """
    if (image.format, image.mode) in ON_16_BITS:
        return 65535, False
    (bits, *_), (sample_format, *_) = tags.get(BITS_PER_SAMPLE, (1,)), tags.get(SAMPLE_FORMAT, (1,))
    sort = {1: "unsigned", 2: "signed"}.get(sample_format, "other")
    if not tags or sort != "unsigned" or bits > 16:
        what = f"{sort} integers of {bits} bits" if tags else f"integers of {image.format or image.mode}"
        raise DamageError(f"cannot be decoded: its pixels are {what}, not 16-bit grey: their white is unknown")
    if tags.get(PHOTOMETRIC) not in (0, 1):
        raise DamageError("cannot be decoded: its white is unknown, since nothing says whether zero is black or white")
    return (1 << bits) - 1, tags[PHOTOMETRIC] == 0
