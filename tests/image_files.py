"""Image files written byte by byte, of kinds that no library writes."""

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

TIFF_TYPES = {1: "B", 3: "H", 4: "I"}
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def write_tiff(
    path: Path,
    data: bytes,
    size: tuple[int, int],
    *,
    bits: Sequence[int],
    photometric: int | None,
    more: Sequence[tuple[int, int, Sequence[int]]] = (),
    order: str = "<",
    big: bool = False,
) -> Path:
    """An uncompressed TIFF of one strip; size: width, height. more: further tags, as (tag, type, values)."""
    width, height = size
    start = 16 if big else 8
    tags = [(256, 3, [width]), (257, 3, [height]), (258, 3, bits), (259, 3, [1]), (273, 4, [start])]
    tags += [(277, 3, [len(bits)]), (278, 3, [height]), (279, 4, [len(data)]), *more]
    tags += [] if photometric is None else [(262, 3, [photometric])]
    word = order + ("Q" if big else "I")
    inline = struct.calcsize(word)
    table, elsewhere = struct.pack(order + ("Q" if big else "H"), len(tags)), b""
    behind = start + len(data) + len(table) + len(tags) * (20 if big else 12) + inline
    for tag, kind, values in sorted(tags):
        value = struct.pack(f"{order}{len(values)}{TIFF_TYPES[kind]}", *values)
        if len(value) > inline:
            value, elsewhere = struct.pack(word, behind + len(elsewhere)), elsewhere + value
        table += struct.pack(order + "HH", tag, kind) + struct.pack(word, len(values)) + value.ljust(inline, b"\0")
    mark = b"II" if order == "<" else b"MM"
    version = struct.pack(order + "HHH", 43, 8, 0) if big else struct.pack(order + "H", 42)
    header = mark + version + struct.pack(word, start + len(data))
    path.write_bytes(header + data + table + bytes(inline) + elsewhere)
    return path


def png_chunk(name: bytes, data: bytes, *, checksum: int | None = None) -> bytes:
    """A chunk of a PNG, with its checksum or another."""
    right = zlib.crc32(name + data)
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", right if checksum is None else checksum)


def with_png_chunk(png: bytes, chunk: bytes, *, before: bytes = b"IDAT") -> bytes:
    """A PNG with one chunk more, before its first of this name."""
    place = png.index(before) - 4
    return png[:place] + chunk + png[place:]


def with_jpeg_segment(jpeg: bytes, marker: int, data: bytes) -> bytes:
    """A JPEG with one segment more, the first."""
    return jpeg[:2] + struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data + jpeg[2:]


def with_webp_chunk(
    webp: bytes, size: tuple[int, int], name: bytes, data: bytes, *, length: int | None = None
) -> bytes:
    """A simple WebP as an extended one with one chunk more at its end; length: what its header says."""
    mention = {b"ICCP": 0x20, b"EXIF": 0x08, b"XMP ": 0x04}[name]
    canvas = b"".join(struct.pack("<I", side - 1)[:3] for side in size)
    extended = b"VP8X" + struct.pack("<I", 10) + bytes([mention, 0, 0, 0]) + canvas
    header = name + struct.pack("<I", len(data) if length is None else length)
    chunks = extended + webp[12:] + header + data + b"\0" * (len(data) % 2)
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks
