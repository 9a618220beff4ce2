"""Reading a .lic file. Imports nothing heavy.

All that a file says is checked against what is left of it before anything is made of it: a file may be anybody's.
"""

import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from lic_exp.file_kinds import HEAD_BYTES, foreign_bytes
from lic_exp.files.layout import (
    ALPHA,
    BEGIN,
    CHECKS,
    CRC,
    DEEP,
    DELTA,
    FEWEST_PER_STRING,
    FIXED,
    FLAGS,
    GREY,
    ICC,
    LONGEST_VARINT,
    MAGIC,
    MOST_PIXELS,
    PORTABLE,
    SUFFIX,
    TILED,
    TILES,
    VERSION,
    CodedString,
    FileError,
    LicFile,
    TileSides,
)


def parse(data: bytes, *, max_pixels: int = MOST_PIXELS, partial: bool = False) -> LicFile:
    """What the bytes of a file say.

    max_pixels: of the picture, its padding counted; what would be larger is refused.
    partial: leave out, as None, what a cut or damaged file does not hold whole. Its header must be whole.

    Raises FileError, and TypeError for what is not bytes.
    """
    if not isinstance(data, bytes):
        raise TypeError(f"a .lic file is bytes, not {type(data).__name__}: bytes(...) makes them of most buffers")
    flags, reader = _begun(data)
    signature, tables, height, width, *padding, quality, kinds = reader.numbers(FIXED, "the fixed part")
    (delta,) = reader.numbers(DELTA, "delta") if flags & PORTABLE else (None,)
    name, made_on = reader.text("the codec's name"), reader.text("what it was made on")
    tile, count = _tile(reader) if flags & TILED else (None, 1)
    _check_sides(reader, (height, width), padding, max_pixels)
    if tile:
        _check_tiles(reader, (height, width), tile, count, max_pixels)
    if not (math.isnan(quality) or 0 <= quality < math.inf):
        raise reader.error(f"its quality is {quality:g}, which should be a number from 0")
    if delta is not None and not 0 < delta < math.inf:
        raise reader.error(f"its delta is {delta:g}, which should be a number above 0")
    if not kinds or not count:
        raise reader.error("it holds no strings")
    if kinds * count * FEWEST_PER_STRING > reader.left:
        raise reader.error(f"it announces {kinds * count} strings, for which the header has no room")
    entries = [_entry(reader) for _ in range(kinds * count)]
    icc, alpha = (_extra(reader) if flags & flag else None for flag in (ICC, ALPHA))
    if reader.left:
        raise reader.error(f"{reader.left} bytes of the header belong to nothing")
    payload = _Payload(data, reader.end + CRC.size, partial=partial)
    profile = payload.extra(icc, "the colour profile")
    strings = [payload.string(entry, index, count, kinds) for index, entry in enumerate(entries)]
    opacity = payload.extra(alpha, "the alpha plane")
    payload.end()
    return LicFile(
        codec_name=name,
        signature=signature,
        tables=tables,
        height=height,
        width=width,
        padding=(padding[0], padding[1]),
        quality=None if math.isnan(quality) else quality,
        strings=[strings[tile::count] for tile in range(count)],
        made_on=made_on,
        tile=tile,
        delta=delta,
        grey=bool(flags & GREY),
        bits=16 if flags & DEEP else 8,
        icc=profile,
        alpha=opacity,
        missing=tuple(payload.missing),
    )


@dataclass(frozen=True)
class _StringEntry:
    """What the header says of a string."""

    length: int
    crc: int
    symbols_crc: int
    near_lines: bytes


class _Reader:
    """Reads the header's fields one after another; what goes beyond its end is an error and nothing is made of it."""

    def __init__(self, data: bytes, place: int, end: int) -> None:
        self.data, self.place, self.end = data, place, end

    @property
    def left(self) -> int:
        return self.end - self.place

    def error(self, reason: str) -> FileError:
        return FileError(f"the header is wrong at byte {self.place}: {reason}")

    def take(self, count: int, what: str) -> bytes:
        if count > self.left:
            raise self.error(f"{what} should have {count} bytes, but {self.left} are left")
        self.place += count
        return self.data[self.place - count : self.place]

    def numbers(self, form: struct.Struct, what: str) -> tuple:
        return form.unpack(self.take(form.size, what))

    def varint(self, what: str) -> int:
        """A length, seven bits a byte, the lowest first; the eighth says that more follow."""
        value = 0
        for place in range(LONGEST_VARINT):
            (byte,) = self.take(1, what)
            value |= (byte & 0x7F) << 7 * place
            if byte < 0x80:
                return value
        raise self.error(f"{what} has a length of more than {LONGEST_VARINT} bytes")

    def text(self, what: str) -> str:
        text = self.take(self.take(1, what)[0], what).decode("latin-1")
        if not (text.isascii() and text.isprintable()):
            raise self.error(f"{what} should be printable ASCII")
        return text


class _Payload:
    """Cuts the pieces after the header, in their order."""

    def __init__(self, data: bytes, place: int, *, partial: bool) -> None:
        self.data, self.place, self.partial = data, place, partial
        self.missing: list[str] = []

    def piece(self, length: int, crc: int, what: str) -> bytes | None:
        start, self.place = self.place, self.place + length
        content = self.data[start : self.place]
        if len(content) < length:
            reason = f"the file is cut: {what} should reach to byte {self.place}, but it ends at byte {len(self.data)}"
        elif zlib.crc32(content) != crc:
            reason = f"{what}, bytes {start} to {self.place}, is damaged: its checksum is wrong"
        else:
            return content
        if not self.partial:
            raise FileError(reason)
        self.missing.append(reason)
        return None

    def extra(self, entry: tuple[int, int] | None, what: str) -> bytes | None:
        return None if entry is None else self.piece(*entry, what)

    def string(self, entry: _StringEntry, index: int, count: int, kinds: int) -> CodedString:
        kind, tile = divmod(index, count)
        of_tile = f" of tile {tile + 1} of {count}" if count > 1 else ""
        content = self.piece(entry.length, entry.crc, f"string {kind + 1} of {kinds}{of_tile}")
        return CodedString(content, entry.symbols_crc, entry.near_lines)

    def end(self) -> None:
        if (over := len(self.data) - self.place) > 0:
            reason = f"{over} bytes after its end, from byte {self.place} on, do not belong to the file"
            if not self.partial:
                raise FileError(reason)
            self.missing.append(reason)


def _begun(data: bytes) -> tuple[int, _Reader]:
    """The flags, and what reads the header, whose checksum is right."""
    if data[: len(MAGIC)] != MAGIC:
        raise FileError(_what_instead(data))
    if len(data) < BEGIN.size:
        raise FileError(f"the file is cut: its header begins with {BEGIN.size} bytes, and it has {len(data)}")
    _, version, flags, length = BEGIN.unpack_from(data)
    if version != VERSION:
        raise FileError(
            f"byte 8 says version {version} of the format, but {VERSION} is all that this lic_exp reads: "
            "a newer one wrote it, or it is damaged"
        )
    end = BEGIN.size + length
    if end + CRC.size > len(data):
        raise FileError(
            f"the file is cut or damaged: its header should reach to byte {end + CRC.size}, but the file ends at byte "
            f"{len(data)}"
        )
    (crc,) = CRC.unpack_from(data, end)
    if zlib.crc32(memoryview(data)[:end]) != crc:
        raise FileError(f"the header, bytes 0 to {end}, is damaged: its checksum is wrong")
    if unknown := flags & ~FLAGS:
        raise FileError(
            f"byte 9 has flags that this lic_exp does not know ({unknown:#06x}): a newer one wrote the file"
        )
    return flags, _Reader(data, BEGIN.size, end)


def _what_instead(data: bytes) -> str:
    """What a file is that does not begin as ours do."""
    if data and MAGIC.startswith(data):
        return f"the file is cut: it ends at byte {len(data)}, within its first eight"
    if data[:4] == MAGIC[:4]:
        return "bytes 4 to 8 are changed: a transfer as text changes line ends, so it must be made in binary mode"
    if data[1:4] == MAGIC[1:4]:
        return "byte 0 is changed: it went through something that keeps seven bits of a byte, or is damaged"
    what = foreign_bytes(data[:HEAD_BYTES])
    return f"it is no {SUFFIX} file, whatever its name says{f': it {what}' if what else ''}"


def _tile(reader: _Reader) -> tuple[TileSides, int]:
    height, width, overlap, count = reader.numbers(TILES, "the tiles")
    return TileSides(height, width, overlap), count


def _check_sides(reader: _Reader, sides: tuple[int, int], padding: Sequence[int], most: int) -> None:
    height, width = sides
    if not height or not width:
        raise reader.error(f"it says that the picture is {height}x{width}")
    _check_pixels("the picture", height + padding[0], width + padding[1], most)


def _check_tiles(reader: _Reader, sides: tuple[int, int], tile: TileSides, count: int, most: int) -> None:
    from lic_exp.files.tiles import Tiling, TilingError  # NumPy

    _check_pixels("a tile", tile.height, tile.width, most)
    try:
        expected = Tiling(*sides, tile.height, tile.width, tile.overlap).count
    except TilingError as error:
        raise reader.error(str(error)) from error
    if count != expected or count == 1:
        raise reader.error(f"it says {count} tiles, but tiles of these sides are {expected}, and one has no sides")


def _check_pixels(what: str, height: int, width: int, most: int) -> None:
    if height * width > most:
        raise FileError(
            f"{what} is coded as {height}x{width}: more than {most} pixels are refused, unless a larger max_pixels "
            "(--max-pixels) allows them"
        )


def _entry(reader: _Reader) -> _StringEntry:
    length = reader.varint("a string")
    crc, symbols_crc = reader.numbers(CHECKS, "a string's checksums")
    return _StringEntry(length, crc, symbols_crc, reader.take(reader.varint("a list of rows"), "a list of rows"))


def _extra(reader: _Reader) -> tuple[int, int]:
    """The length and checksum of the colour profile, or of the alpha plane."""
    length = reader.varint("an addition")
    (crc,) = reader.numbers(CRC, "its checksum")
    return length, crc
