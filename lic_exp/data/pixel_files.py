"""A file of decoded pixels: rows of 8-bit RGB as they lie in memory, behind a header with checksums of all of them.

Any rows can be read without the others, and are compared with their checksums, so that what a disk or a hand has
changed is never taken for pixels. Imports no torch, and NumPy to read.

    size     what
    8        MAGIC, which counts the format's versions
    32       what the pixels were decoded from: a SHA-256
    4, 4, 4  H, W, rows of a block, little-endian as all numbers
    4 each   CRC-32 of every block; the last may be lower
    4        CRC-32 of all of the above
    H W 3    the pixels

They are read, not mapped: a map of a file that somebody cuts, or that another machine removes from a network's disk,
ends the process by SIGBUS, and to open, map and leave one takes longer than to read from it once.
"""

import os
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAGIC = b"licpix\x01\n"
_HEAD = struct.Struct("<8s32sIII")
_CRC_BYTES = 4

BLOCK_ROWS = 16
"""Rows of a block, but of images so high that they would have more than MOST_BLOCKS."""

MOST_BLOCKS = 1000
_FIRST_READ = _HEAD.size + (MOST_BLOCKS + 1) * _CRC_BYTES


class DamagedPixelsError(Exception):
    """The file is not what was once written."""


def write_pixels(file: BinaryIO, content: bytes, pixels: "NDArray[np.uint8]") -> None:
    """Write pixels (H, W, 3). content: the SHA-256 of what they were decoded from. Raises OSError."""
    height, width, _ = pixels.shape
    block_rows = max(BLOCK_ROWS, -(-height // MOST_BLOCKS))
    raw = pixels.data.cast("B")
    size = block_rows * width * 3
    checksums = b"".join(_crc(raw[start : start + size]) for start in range(0, len(raw), size))
    head = _HEAD.pack(MAGIC, content, height, width, block_rows) + checksums
    file.write(head + _crc(head))
    file.write(raw)


def size_of_file(pixels: "NDArray[np.uint8]") -> int:
    """An upper bound of the bytes that a file of these pixels takes."""
    return pixels.nbytes + _FIRST_READ


def _crc(data: "bytes | memoryview") -> bytes:
    return zlib.crc32(data).to_bytes(_CRC_BYTES, "little")


@dataclass(frozen=True, slots=True)
class Header:
    """What the header of a file says. height, width: of the image. start: where in the file its pixels begin."""

    height: int
    width: int
    block_rows: int
    checksums: bytes
    start: int

    def blocks(self, first: int, count: int) -> range:
        """The blocks that hold `count` rows from row `first` on."""
        return range(first // self.block_rows, (first + count - 1) // self.block_rows + 1)

    def bits(self, first: int, count: int) -> int:
        """A number with a bit for each of these blocks."""
        blocks = self.blocks(first, count)
        return (1 << blocks.stop) - (1 << blocks.start)


def read_header(descriptor: int, content: bytes) -> Header:
    """The header of an open file. Raises OSError, or DamagedPixelsError, also where it is not of this content."""
    start = os.pread(descriptor, _FIRST_READ, 0)
    if len(start) < _HEAD.size:
        raise DamagedPixelsError
    magic, source, height, width, block_rows = _HEAD.unpack_from(start)
    if (magic, source) != (MAGIC, content) or not (height and width and block_rows):
        raise DamagedPixelsError
    end = _HEAD.size + -(-height // block_rows) * _CRC_BYTES
    if start[end : end + _CRC_BYTES] != _crc(start[:end]):
        raise DamagedPixelsError
    return Header(height, width, block_rows, start[_HEAD.size : end], end + _CRC_BYTES)


def read_rows(descriptor: int, header: Header, first: int, count: int, *, sure: int) -> "NDArray[np.uint8]":
    """The pixels (count, W, 3) from row `first` on.

    sure: a bit for every block that is known to be whole; only the others are compared with their checksums.
    Raises OSError, or DamagedPixelsError.
    """
    import numpy as np

    blocks, line = header.blocks(first, count), header.width * 3
    top, bottom = blocks.start * header.block_rows, min(blocks.stop * header.block_rows, header.height)
    read = np.empty((bottom - top, header.width, 3), dtype=np.uint8)
    raw, size = read.data.cast("B"), header.block_rows * line
    if os.preadv(descriptor, [raw], header.start + top * line) != len(raw):
        raise DamagedPixelsError
    for number, block in enumerate(blocks):
        expected = header.checksums[block * _CRC_BYTES : (block + 1) * _CRC_BYTES]
        if not sure >> block & 1 and _crc(raw[number * size : (number + 1) * size]) != expected:
            raise DamagedPixelsError
    return read[first - top : first - top + count]
