"""Files of .lic as disks, transfers and people damage them: seeded, so that what failed once can be made again."""

import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

from lic_exp.files.layout import BEGIN, FIXED, CodedString, LicFile, TileSides
from lic_exp.files.parsing import parse
from lic_exp.files.writing import write


def damaged(data: bytes, other: bytes, random: Random) -> bytes:
    """A file as `random` damages it; other: a file of another codec.

    Every second time all checksums of bytes are right: then parser, entropy decoder and the checksum of symbols are
    what has to find it.
    """
    if random.random() < 0.5:
        return random.choice(OF_BYTES)(data, other, random)
    try:
        return write(random.choice(OF_FIELDS)(parse(data), parse(other), random))
    except ValueError:  # has no room in a file
        return data[: random.randrange(len(data))]


def sealed(data: bytes) -> bytes:
    """With the checksum of the header as it is now, where it still has one."""
    end = BEGIN.size + BEGIN.unpack_from(data)[3] if len(data) >= BEGIN.size else len(data)
    if end + 4 > len(data):
        return data
    return data[:end] + struct.pack(">I", zlib.crc32(data[:end])) + data[end + 4 :]


def _flipped(data: bytes, random: Random) -> bytes:
    found = bytearray(data)
    for _ in range(random.randint(1, 4)):
        if found:
            found[random.randrange(len(found))] ^= 1 << random.randrange(8)
    return bytes(found)


def _overwritten(data: bytes, random: Random) -> bytes:
    place, count = random.randrange(len(data) + 1), random.randint(1, 40)
    return data[:place] + random.randbytes(count) + data[place + count :]


def _extended(data: bytes, random: Random) -> bytes:
    place, content = random.randrange(len(data) + 1), random.randbytes(random.randint(1, 200))
    return data[:place] + content + data[place:]


def _header_field(data: bytes, random: Random) -> bytes:
    """Some bytes of the fixed part and what follows, sealed."""
    place = BEGIN.size + random.randrange(FIXED.size + 100)
    content = random.choice([b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", random.randbytes(4)])
    return sealed(data[:place] + content + data[place + 4 :])


OF_BYTES: Sequence[Callable[[bytes, bytes, Random], bytes]] = (
    lambda data, other, random: _flipped(data, random),
    lambda data, other, random: data[: random.randrange(len(data))],
    lambda data, other, random: _overwritten(data, random),
    lambda data, other, random: _extended(data, random),
    lambda data, other, random: other,
    lambda data, other, random: data[: len(data) // 2] + other[len(other) // 2 :],
    lambda data, other, random: _header_field(data, random),
    lambda data, other, random: sealed(_flipped(data, random)),
)


def _string(file: LicFile, other: LicFile, random: Random) -> LicFile:
    """One string as bytes are damaged, or in another's place."""
    strings = [list(tile) for tile in file.strings]
    tile = random.choice(strings)
    kind = random.randrange(len(tile))
    content = tile[kind].content or b""
    theirs = other.strings[0][random.randrange(other.kinds)].content or b""
    damage = [_flipped(content, random), content[: random.randrange(len(content) + 1)], _overwritten(content, random)]
    damage += [_extended(content, random), b"", random.randbytes(random.randrange(2000)), theirs, b"\xff" * 400]
    tile[kind] = replace(tile[kind], content=random.choice(damage))
    return replace(file, strings=strings)


def _swapped(file: LicFile, other: LicFile, random: Random) -> LicFile:
    contents = [string.content for string in file.strings[0]]
    random.shuffle(contents)
    first = [replace(string, content=content) for string, content in zip(file.strings[0], contents, strict=True)]
    return replace(file, strings=[first, *file.strings[1:]])


def _sides(file: LicFile, other: LicFile, random: Random) -> LicFile:
    """Of another size, up to far too large a one, and padded as codecs do."""
    height, width = (random.choice([1, 65, 200, 1000, 16384, 2**31]) for _ in range(2))
    factor = random.choice([16, 64, 128])
    return replace(file, height=height, width=width, padding=(-height % factor, -width % factor))


def _each(file: LicFile, **changes: object) -> list[list[CodedString]]:
    return [[replace(string, **changes) for string in tile] for tile in file.strings]


def _said(file: LicFile, other: LicFile, random: Random) -> LicFile:
    changes: list[dict] = [
        {"quality": random.choice([None, 0.0, 3.25, 63.0, 1e30])},
        {"signature": other.signature},
        {"strings": other.strings},
        {"strings": [list(tile)[:-1] or [CodedString(b"", 0)] for tile in file.strings]},
        {"strings": [[*tile, CodedString(b"abc", 1)] for tile in file.strings]},
        {
            "strings": [
                [replace(string, symbols_crc=random.getrandbits(32)) for string in tile] for tile in file.strings
            ]
        },
        {"strings": [[replace(string, near_lines=random.randbytes(9)) for string in tile] for tile in file.strings]},
        {"strings": list(file.strings) * random.randint(2, 9)},
        {"tile": TileSides(random.choice([1, 64, 2**20]), random.choice([1, 64, 2**20]), random.randrange(40))},
        {"delta": random.choice([None, 1e-12, 1e-3])},
        {"alpha": random.choice([b"", random.randbytes(50), zlib.compress(bytes(10**7))])},
        {"icc": random.randbytes(random.randrange(500))},
        {"grey": not file.grey},
        {"bits": 24 - file.bits},
        {"made_on": "\x1b[2Jelsewhere"},
    ]
    return replace(file, **random.choice(changes))


OF_FIELDS: Sequence[Callable[[LicFile, LicFile, Random], LicFile]] = (_string, _string, _swapped, _sides, _said)
