"""What Pillow has or reads, arrays and tensors, as a `Picture`; and what is lost on the way, said."""

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from lic_exp.data.decoding import DamageError, opened, upright, wide_grey
from lic_exp.files.pixels import Picture, PixelsError, of_array, of_tensor

if TYPE_CHECKING:
    from PIL import Image

PROFILE_OF = {True: b"GRAY", False: b"RGB "}
"""{whether a picture is grey: the colour space that a profile for it is of}"""

COLOUR_SPACE = slice(16, 20)
"""Where an ICC profile names it."""

RIGHT_AWAY = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX")
"""Modes whose samples mean levels of grey, of red, green and blue, or entries of a palette of these."""


def read_picture(content: bytes) -> Picture:
    """The picture in a file's content, upright. Raises PixelsError: damaged, no image, or of unknown white.

    Its pixels decide, as in `lic_exp.data.decoding`: metadata that are damaged are passed over.
    """
    try:
        return opened(content, _taken)
    except DamageError as error:
        raise PixelsError(str(error)) from error


def picture_of(image: Any) -> Picture:
    """The picture that an image of Pillow's, an array or a tensor is, as `of_array` and `of_tensor` say.

    Of Pillow's one that was read from a file is turned upright. Raises PixelsError, also for anything else.
    """
    if isinstance(image, np.ndarray):
        return of_array(image)
    from PIL import Image

    if isinstance(image, Image.Image):
        try:
            return _taken(image)
        except Exception as error:  # Pillow's plugins raise anything, of damaged files that were only opened
            if isinstance(error, MemoryError | PixelsError):
                raise
            raise PixelsError(str(error) or type(error).__name__) from error
    import torch

    if isinstance(image, torch.Tensor):
        return of_tensor(image)
    raise PixelsError(f"{type(image).__name__} is no picture: it must be Pillow's Image, an array or a tensor")


def _taken(image: "Image.Image") -> Picture:
    raw, wide = _as_stored(image)
    image.load()
    notes = ["of its 16 bits a sample only the upper 8 can be read"] if wide else []
    grey = wide_grey(image, 65535)
    if grey is not None:
        pixels = grey.astype(np.uint16)
        notes += ["that one of its greys is transparent is left out"] if "transparency" in image.info else []
    else:
        plain = _plain(image)
        pixels = np.asarray(plain.convert("LA") if raw.startswith("LA;") else plain)
        notes += [] if image.mode in RIGHT_AWAY else [f"{image.mode} is converted to RGB"]
    with suppress(Exception):  # looking for more of a damaged file is no reason to do without the first
        notes += ["only the first of its pictures is taken"] if getattr(image, "is_animated", False) else []
    return _with_profile(of_array(upright(pixels, image)), image, notes)


def _as_stored(image: "Image.Image") -> tuple[str, bool]:
    """Pillow's name of how the file has samples, and whether these have more bits than Pillow reads of them.

    Of an image that is loaded nothing is known any more.
    """
    args = next((tile.args for tile in getattr(image, "tile", ())), None)
    if image.format not in ("PNG", "PPM", "TIFF") or not args:
        return "", False
    raw, maximum = (args, 0) if isinstance(args, str) else (str(args[0]), args[-1])
    wide = ";16" in raw or (image.format == "PPM" and maximum > 255)
    return raw, wide and not image.mode.startswith("I")


def _plain(image: "Image.Image") -> "Image.Image":
    """In one of the modes L, LA, RGB, RGBA: with alpha where the file says of anything that it is transparent."""
    seen_through = image.has_transparency_data
    if image.mode in ("1", "L", "LA", "La"):
        return image.convert("LA" if seen_through or image.mode == "La" else "L")
    if image.mode in ("P", "PA"):  # straight to RGB, Pillow would warn about palettes with transparency
        image = image.convert("RGBA")
    return image.convert("RGBA" if seen_through or image.mode == "RGBa" else "RGB")


def _with_profile(picture: Picture, image: "Image.Image", notes: list[str]) -> Picture:
    icc = image.info.get("icc_profile") or b""
    if isinstance(icc, bytes) and icc[COLOUR_SPACE] == PROFILE_OF[picture.grey]:
        return Picture(picture.colour, picture.alpha, icc, tuple(notes))
    if icc:
        notes = [*notes, f"its colour profile is left out: it is for no {'grey' if picture.grey else 'RGB'} picture"]
    return Picture(picture.colour, picture.alpha, b"", tuple(notes))
