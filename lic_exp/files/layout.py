"""What a .lic file says, and the forms of its numbers; `docs/files.md` shows them byte by byte.

Imports nothing heavy, as what reads and writes it does not.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

SUFFIX = ".lic"
MAGIC = b"\x89LIC\r\n\x1a\n"
"""As PNG's, so that what changes line ends or the eighth bit of a byte is found by the first eight."""

VERSION = 1
PORTABLE, TILED, ALPHA, GREY, DEEP, ICC = (1 << bit for bit in range(6))
FLAGS = PORTABLE | TILED | ALPHA | GREY | DEEP | ICC

MOST_PIXELS = 2**28
"""Of a picture with its padding, unless a caller says otherwise: 16384 x 16384."""

SIGNATURE_BYTES, TABLES_BYTES = 16, 8

SHOWN_DIGITS = 12
"""Of a signature, hexadecimal, for people."""

BEGIN = struct.Struct(">8sBHI")
"""Magic, version, flags, bytes of the header from here to its checksum."""

FIXED = struct.Struct(f">{SIGNATURE_BYTES}s{TABLES_BYTES}sIIHHdB")
TILES = struct.Struct(">IIHI")
CRC = struct.Struct(">I")
CHECKS = struct.Struct(">II")
DELTA = struct.Struct(">d")

FEWEST_PER_STRING = 1 + CHECKS.size + 1
"""Bytes of the header that one string takes at least."""

LONGEST_VARINT = 5


class FileError(ValueError):
    """A .lic file that cannot be read: what is wrong with it, at which byte, and what would be right."""


@dataclass(frozen=True)
class TileSides:
    """The sides of the tiles that a picture is coded in, and by how much neighbours overlap [pixels]."""

    height: int
    width: int
    overlap: int


@dataclass(frozen=True)
class CodedString:
    """One string of a tile.

    content: None where a file was read in part and this is not whole.
    symbols_crc: CRC32 of the symbols that it stands for, int32 in little endian in coding order. The entries of a
        tile's strings are in the order in which strings are coded, which may differ from their own.
    near_lines: in portable mode the table rows of symbols near to a line between two, as the codec lists them.
    """

    content: bytes | None
    symbols_crc: int
    near_lines: bytes = b""


@dataclass(frozen=True)
class LicFile:
    """What a .lic file says.

    codec_name, signature: of the codec, `lic_exp.files.identity`. tables: the hash of its coding tables.
    height, width: of the picture [pixels]. padding: rows and columns that were added for the codec; of tiles 0.
    quality: the rate that was asked for; None of a codec that has one rate.
    strings: [tile][kind], kinds in the codec's order.
    made_on: device, torch and CPU capability; nothing in portable files.
    tile: None where the picture was coded as a whole, which is one tile.
    delta: how far the entropy path may deviate [ln sigma]; None where the file was not made in portable mode.
    grey: one plane that was coded as three. bits: 8 or 16, of a sample of the picture.
    icc: the colour profile. alpha: the plane of opacity, as `lic_exp.files.alpha` codes it. None where there is none,
        or where it is not whole.
    """

    codec_name: str
    signature: bytes
    tables: bytes
    height: int
    width: int
    padding: tuple[int, int]
    quality: float | None
    strings: Sequence[Sequence[CodedString]]
    made_on: str = ""
    tile: TileSides | None = None
    delta: float | None = None
    grey: bool = False
    bits: int = 8
    icc: bytes | None = None
    alpha: bytes | None = None
    missing: tuple[str, ...] = ()
    """What is not whole of a file that was read in part, in words; strings first."""

    @property
    def kinds(self) -> int:
        """Strings of a tile."""
        return len(self.strings[0])

    @property
    def string_bytes(self) -> int:
        """Bytes of all strings that are whole."""
        return sum(len(string.content or b"") for tile in self.strings for string in tile)
