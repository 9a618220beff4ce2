"""Pictures written to files that lose nothing of them: PNG, of 8 and 16 bits, and TIFF."""

import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np

from lic_exp.atomic import write_atomically
from lic_exp.files.pixels import Picture, PixelsError, Samples, to_array, to_pil

KINDS = {".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF"}

COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
"""{channels: PNG's number for grey, grey and alpha, RGB, or RGB and alpha}"""

UP = 2
"""PNG's filter that leaves of a row its difference from the one above, byte by byte."""


def save_picture(picture: Picture, path: Path) -> None:
    """Write a picture, its alpha and its profile, in the form that the suffix names; whole or not at all.

    Raises PixelsError for a suffix of a form that would lose something, and OSError.
    """
    kind = KINDS.get(path.suffix.lower())
    if kind is None:
        known = ", ".join(KINDS)
        raise PixelsError(f"{path.name}: pictures are written as {known}, which lose nothing, not as {path.suffix!r}")
    array = to_array(picture)
    if picture.bits == 16 and array.ndim == 3:
        if kind != "PNG":
            raise PixelsError(f"{path.name}: 16 bits of more than grey are written as .png alone")
        write_atomically(path, _png_of_16_bits(array, picture.icc))
        return
    file = BytesIO()
    to_pil(picture).save(file, kind, **({"icc_profile": picture.icc} if picture.icc else {}))
    write_atomically(path, file.getvalue())


def _png_of_16_bits(array: Samples, icc: bytes) -> bytes:
    """A PNG of samples (H, W, C) uint16, as ISO/IEC 15948 has it; Pillow writes none of these."""
    height, width, channels = array.shape
    rows = array.astype(">u2").view(np.uint8).reshape(height, -1)
    filtered = np.empty((height, 1 + rows.shape[1]), np.uint8)
    filtered[:, 0] = UP
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    header = struct.pack(">IIBBBBB", width, height, 16, COLOUR_TYPES[channels], 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(filtered.data)), (b"IEND", b"")]
    if icc:
        chunks.insert(1, (b"iCCP", b"ICC profile\0\0" + zlib.compress(icc)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
