"""Alpha planes in files, without loss: rows as differences from the row above, and those deflated.

Most are of one value but for some edges, and so of a few bytes. What is read back may be of anybody: no more is ever
unpacked than the plane has.
"""

import zlib

import numpy as np
from numpy.typing import NDArray

AlphaPlane = NDArray[np.uint8] | NDArray[np.uint16]

LEVEL = 9
"""Of zlib's compression: the slowest, since there is one plane for three that a network codes."""


class AlphaError(ValueError):
    """Bytes that are no alpha plane of the size that their file states."""


def alpha_bytes(alpha: AlphaPlane) -> bytes:
    """The bytes of a plane (H, W) of 8 or 16 bits.

    Sample minus the one above, modulo 2^bits, 0 being above the first row; row by row, little endian; of 16 bits all
    lower bytes before all upper ones; as one stream of zlib's (RFC 1950).
    """
    above = np.zeros_like(alpha)
    above[1:] = alpha[:-1]
    differences = alpha - above  # modulo 2^bits, as unsigned numbers are
    return zlib.compress(_by_byte(differences).tobytes(), LEVEL)


def alpha_plane(data: bytes, height: int, width: int, bits: int) -> AlphaPlane:
    """The plane (height, width) that `alpha_bytes` made these of, with so many bits. Raises AlphaError."""
    size = bits // 8
    wanted = height * width * size
    unpacker = zlib.decompressobj()
    try:
        unpacked = unpacker.decompress(data, wanted + 1)
    except zlib.error as error:
        raise AlphaError(f"the alpha plane cannot be unpacked: {error}") from error
    if len(unpacked) != wanted or not unpacker.eof or unpacker.unused_data:
        more = " or more" if len(unpacked) > wanted else ""
        raise AlphaError(f"the alpha plane unpacks to {len(unpacked)} bytes{more}, but it has {wanted}, and ends there")
    parts = np.frombuffer(unpacked, np.uint8).reshape(size, height, width)
    differences = parts[0] if size == 1 else parts[0] | parts[1].astype(np.uint16) << np.uint16(8)
    plane: AlphaPlane = differences.cumsum(axis=0, dtype=differences.dtype)
    return plane


def _by_byte(values: AlphaPlane) -> NDArray[np.uint8]:
    """(size of a sample, H, W), lower bytes first."""
    if values.dtype == np.uint8:
        return values[None].astype(np.uint8)
    apart: NDArray[np.uint8] = np.stack([values & 255, values >> 8]).astype(np.uint8)
    return apart
