"""Image files without what they say beside their pixels: texts, colour profiles, thumbnails, places and dates.

For files that cannot be decoded because of it. No byte of the pixels, nor of what their decoder needs, is changed, so a
file with damaged pixels stays damaged.
"""

import struct
import zlib
from collections.abc import Callable, Iterator

PNG, JPEG, RIFF, WEBP = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF", b"WEBP"

BEGINNINGS = {PNG: "PNG", JPEG: "JPEG", b"GIF8": "GIF"}
BEGINNINGS |= dict.fromkeys((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), "TIFF")

WEBP_PIXELS = (b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF")
WEBP_EXIF = 0x08
WEBP_MENTIONS = 0x20 | WEBP_EXIF | 0x04
"""Bits of a VP8X chunk: that the file has a colour profile, EXIF, XMP."""

TIFF_PIXELS = frozenset(
    (*range(256, 260), 262, 266, 273, 274, *range(277, 280), 284, 292, 293, 317, *range(320, 326), 332, 338, 339)
).union((347, *range(512, 522), *range(529, 533)))
"""Tags that decoders need: size, samples, compression, where the data lie, palette, tables; and the orientation."""


def kind_of(content: bytes) -> str | None:
    """The kind of image that a file begins like, of those that most data sets consist of."""
    if content[:4] == RIFF and content[8:12] == WEBP:
        return "WebP"
    return next((kind for beginning, kind in BEGINNINGS.items() if content.startswith(beginning)), None)


def without_metadata(content: bytes, *, keep_exif: bool) -> bytes | None:
    """The file without metadata; None of a kind that is not known here, or where no structure is to be seen.

    keep_exif: keep EXIF that is whole, which may hold the orientation.
    """
    stripped = _STRIPPED.get(kind_of(content) or "")
    try:
        return stripped(content, keep_exif) if stripped else None
    except (struct.error, IndexError, KeyError):
        return None


def _png(content: bytes, keep_exif: bool) -> bytes:
    """Critical chunks, whatever their checksums, with all that follows the last whole one."""
    kept, place = [content[: len(PNG)]], len(PNG)
    while place + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, place)
        name, end = content[place + 4 : place + 8], place + 12 + length
        if end > len(content):
            break
        (checksum,) = struct.unpack_from(">I", content, end - 4)
        whole = zlib.crc32(content[place + 4 : end - 4]) == checksum
        if not name[0] & 0x20 or (whole and keep_exif and name in (b"tRNS", b"eXIf")):
            kept.append(content[place:end])
        place = end
    return b"".join([*kept, content[place:]])


def _jpeg(content: bytes, keep_exif: bool) -> bytes:
    """All segments but comments and those of applications; JFIF and Adobe say how colours are stored."""
    kept, place = [content[:2]], 2
    while content[place + 1] != 0xDA:  # from where the pixels begin, all is kept
        if content[place] != 0xFF:
            raise IndexError(place)
        if content[place + 1] == 0xFF:  # padding
            place += 1
            continue
        marker, end = content[place + 1], place + 2 + struct.unpack_from(">H", content, place + 2)[0]
        is_exif = marker == 0xE1 and content[place + 4 : place + 10] == b"Exif\0\0"
        if not (0xE1 <= marker <= 0xEF or marker == 0xFE) or marker == 0xEE or (keep_exif and is_exif):
            kept.append(content[place:end])
        place = end
    return b"".join([*kept, content[place:]])


def _webp(content: bytes, keep_exif: bool) -> bytes:
    kept = []
    for name, data in _riff_chunks(content):
        if name == b"VP8X":
            mentioned = WEBP_MENTIONS & ~(WEBP_EXIF if keep_exif else 0)
            kept.append(_riff_chunk(name, bytes([data[0] & ~mentioned]) + data[1:]))
        elif name in WEBP_PIXELS or (keep_exif and name == b"EXIF"):
            kept.append(_riff_chunk(name, data))
    chunks = b"".join(kept)
    return RIFF + struct.pack("<I", 4 + len(chunks)) + WEBP + chunks


def _riff_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and data of each chunk; one of metadata that is cut is left out. Raises IndexError where another is."""
    place = 12
    while place + 8 <= len(content):
        name, (length,) = content[place : place + 4], struct.unpack_from("<I", content, place + 4)
        end = place + 8 + length
        if end <= len(content):
            yield name, content[place + 8 : end]
        elif name in WEBP_PIXELS:
            raise IndexError(place)
        place = end + length % 2


def _riff_chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def _tiff(content: bytes, keep_exif: bool) -> bytes:
    """The first image's entries moved together, in place; whatever they point to stays where it is."""
    order = "<" if content.startswith(b"II") else ">"
    big = content[2:4] in (b"+\0", b"\0+")
    head, count, entry = (8, "Q", 20) if big else (4, "H", 12)
    (place,) = struct.unpack_from(order + ("Q" if big else "I"), content, head)
    (entries,) = struct.unpack_from(order + count, content, place)
    first = place + struct.calcsize(order + count)
    listed = [content[first + i * entry : first + (i + 1) * entry] for i in range(min(entries, 1000))]
    kept = [one for one in listed if struct.unpack_from(order + "H", one)[0] in TIFF_PIXELS]
    # No next image: the first is the one that is read.
    table = struct.pack(order + count, len(kept)) + b"".join(kept) + bytes(8 if big else 4)
    return content[:place] + table + content[place + len(table) :]


_STRIPPED: dict[str, Callable[[bytes, bool], bytes]] = {"PNG": _png, "JPEG": _jpeg, "WebP": _webp, "TIFF": _tiff}
