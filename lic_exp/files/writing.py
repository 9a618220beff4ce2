"""Writing a .lic file. Imports nothing heavy."""

import math
import struct
import zlib
from collections.abc import Iterator, Sequence

from lic_exp.files.layout import (
    ALPHA,
    BEGIN,
    CHECKS,
    CRC,
    DEEP,
    DELTA,
    FIXED,
    GREY,
    ICC,
    MAGIC,
    PORTABLE,
    SUFFIX,
    TILED,
    TILES,
    VERSION,
    CodedString,
    LicFile,
)
from lic_exp.text import visible


def write(file: LicFile) -> bytes:
    """The bytes of a file. Raises ValueError where a number or a text has no room in it."""
    by_kind = [string for kind in zip(*file.strings, strict=True) for string in kind]
    contents = [_whole(string.content) for string in by_kind]
    header = b"".join(_header(file, by_kind))
    begin = BEGIN.pack(MAGIC, VERSION, _flags(file), len(header))
    crc = CRC.pack(zlib.crc32(begin + header))
    return b"".join([begin, header, crc, file.icc or b"", *contents, file.alpha or b""])


def _flags(file: LicFile) -> int:
    found = {
        PORTABLE: file.delta is not None,
        TILED: file.tile is not None,
        ALPHA: file.alpha is not None,
        GREY: file.grey,
        DEEP: file.bits == 16,
        ICC: file.icc is not None,
    }
    return sum(flag for flag, there in found.items() if there)


def _header(file: LicFile, by_kind: Sequence[CodedString]) -> Iterator[bytes]:
    quality = math.nan if file.quality is None else file.quality
    sides = (file.height, file.width, *file.padding)
    try:
        yield FIXED.pack(file.signature, file.tables, *sides, quality, file.kinds)
        if file.delta is not None:
            yield DELTA.pack(file.delta)
        yield _text(file.codec_name)
        yield _text(file.made_on)
        if file.tile is not None:
            yield TILES.pack(file.tile.height, file.tile.width, file.tile.overlap, len(file.strings))
    except struct.error as error:
        raise ValueError(f"a picture of {file.height}x{file.width} has no room in a {SUFFIX} file: {error}") from error
    for string in by_kind:
        content = _whole(string.content)
        yield _varint(len(content)) + CHECKS.pack(zlib.crc32(content), string.symbols_crc)
        yield _varint(len(string.near_lines)) + string.near_lines
    for extra in (file.icc, file.alpha):
        if extra is not None:
            yield _varint(len(extra)) + CRC.pack(zlib.crc32(extra))


def _text(text: str) -> bytes:
    """At most 255 bytes of it, with their number before; what is no printable ASCII as an escape."""
    content = visible(text).encode("ascii", "backslashreplace")[:255]
    return bytes([len(content)]) + content


def _varint(value: int) -> bytes:
    if value >> 32:
        raise ValueError(f"{value} bytes have no room in a {SUFFIX} file: 2^32 are too many for one string")
    groups = [value >> shift & 0x7F for shift in range(0, max(value.bit_length(), 1), 7)]
    return bytes([*(group | 0x80 for group in groups[:-1]), groups[-1]])


def _whole(content: bytes | None) -> bytes:
    if content is None:
        raise ValueError("a file that was read in part cannot be written")
    return content
