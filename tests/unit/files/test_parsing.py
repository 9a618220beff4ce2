"""What is written is read again, and what cannot be read says what is wrong, where, and what would be right."""

import dataclasses
import math
import struct
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lic_damage import sealed
from without_torch import blocked

from lic_exp.files.layout import BEGIN, FIXED, MAGIC, CodedString, FileError, LicFile, TileSides
from lic_exp.files.parsing import parse
from lic_exp.files.writing import write

PLAIN = LicFile(
    codec_name="dhic",
    signature=bytes(range(16)),
    tables=b"tables. ",
    height=70,
    width=101,
    padding=(58, 27),
    quality=12.5,
    strings=[[CodedString(b"coarse", 1), CodedString(b"", 2), CodedString(b"fine" * 50, 2**32 - 1)]],
    made_on="cpu AVX2, torch 2.8.0",
)
FULL = dataclasses.replace(
    PLAIN,
    padding=(0, 0),
    quality=None,
    strings=[[CodedString(bytes([tile, kind]), tile, b"\1\2") for kind in range(2)] for tile in range(6)],
    tile=TileSides(40, 45, 8),
    delta=1e-9,
    grey=True,
    bits=16,
    icc=b"profile" * 40,
    alpha=b"alpha",
)

files = st.builds(
    LicFile,
    codec_name=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=255),
    signature=st.binary(min_size=16, max_size=16),
    tables=st.binary(min_size=8, max_size=8),
    height=st.integers(1, 8000),
    width=st.integers(1, 8000),
    padding=st.tuples(st.integers(0, 255), st.integers(0, 255)),
    quality=st.none() | st.floats(0, 1e6),
    strings=st.lists(
        st.builds(CodedString, st.binary(max_size=300), st.integers(0, 2**32 - 1), st.binary(max_size=9)),
        min_size=1,
        max_size=5,
    ).map(lambda tile: [tile]),
    made_on=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20),
    delta=st.none() | st.floats(1e-300, 1.0),
    grey=st.booleans(),
    bits=st.sampled_from([8, 16]),
    icc=st.none() | st.binary(max_size=200),
    alpha=st.none() | st.binary(max_size=200),
)


def changed(data: bytes, place: int, content: bytes) -> bytes:
    return data[:place] + content + data[place + len(content) :]


SIDES, QUALITY, KINDS = BEGIN.size + 24, BEGIN.size + 36, BEGIN.size + FIXED.size - 1
"""Where the fixed part has the sides, the quality, and the number of strings."""


@pytest.mark.parametrize("file", [PLAIN, FULL], ids=["plain", "full"])
def test_what_is_written_is_read(file: LicFile) -> None:
    assert parse(write(file)) == file


@settings(max_examples=60, deadline=None)
@given(files)
def test_whatever_is_written_is_read(file: LicFile) -> None:
    data = write(file)
    read = parse(data)
    assert read == file
    assert read.string_bytes == sum(len(string.content or b"") for string in file.strings[0])
    assert write(read) == data


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=120), st.integers(0, 200), st.booleans(), st.booleans())
def test_any_bytes_are_read_or_refused(garbage: bytes, place: int, seal: bool, partial: bool) -> None:
    """With or without the right checksum of the header: then each of its fields may be anything."""
    data = changed(write(FULL), place, garbage)
    with suppress(FileError):
        parse(sealed(data) if seal else data, partial=partial)


@pytest.mark.parametrize("file", [PLAIN, FULL], ids=["plain", "full"])
def test_a_file_is_whole_or_refused_wherever_it_is_cut(file: LicFile) -> None:
    data = write(file)
    for end in range(len(data)):
        with pytest.raises(FileError, match=r"cut|is empty"):
            parse(data[:end])
    with pytest.raises(FileError, match=f"3 bytes after its end, from byte {len(data)} on"):
        parse(data + b"abc")


@pytest.mark.parametrize("file", [PLAIN, FULL], ids=["plain", "full"])
def test_every_flipped_bit_is_found(file: LicFile) -> None:
    data = write(file)
    for place in range(len(data)):
        with pytest.raises(FileError):
            parse(changed(data, place, bytes([data[place] ^ 1 << place % 8])))


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "is no .lic file.*it is empty"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, r"is no .lic file, whatever its name says: it is a picture \(PNG\)"),
        (b"<!doctype html><p>404", "it is a web page"),
        (b"nothing known of this", "is no .lic file, whatever its name says$"),
        (write(PLAIN).replace(b"\r\n", b"\n"), "bytes 4 to 8 are changed: a transfer as text"),
        (write(PLAIN).replace(b"\n", b"\r\n"), "bytes 4 to 8 are changed: a transfer as text"),
        (bytes(byte & 0x7F for byte in write(PLAIN)), "byte 0 is changed: .* seven bits"),
        (changed(write(PLAIN), 8, b"\2"), "byte 8 says version 2 of the format, but 1 is all.*a newer one"),
        (sealed(changed(write(PLAIN), 9, b"\x80\0")), "byte 9 has flags .*0x8000.*a newer one"),
        (changed(write(PLAIN), 9, b"\x80\0"), "the header, bytes 0 to .* is damaged: its checksum is wrong"),
        (changed(write(PLAIN), 11, b"\xff\xff\xff\xff"), "its header should reach to byte 4294967314"),
        (sealed(changed(write(PLAIN), SIDES, bytes(4))), "it says that the picture is 0x101"),
        (sealed(changed(write(PLAIN), SIDES, b"\xff" * 8)), "more than 268435456 pixels are refused, unless"),
        (sealed(changed(write(PLAIN), QUALITY, struct.pack(">d", -1))), "its quality is -1, which should be"),
        (sealed(changed(write(PLAIN), QUALITY, struct.pack(">d", math.inf))), "its quality is inf, which should be"),
        (sealed(changed(write(PLAIN), KINDS, b"\0")), "it holds no strings"),
        (sealed(write(PLAIN).replace(b"AVX2", b"\x1b[2J")), "what it was made on should be printable ASCII"),
        (sealed(write(PLAIN).replace(b"dhic", b"\xc3\xa9\xff?")), "the codec's name should be printable ASCII"),
        (sealed(changed(write(PLAIN), KINDS, b"\xff")), "announces 255 strings, for which the header has no room"),
        (sealed(changed(write(PLAIN), KINDS, b"\2")), r"bytes of the header belong to nothing"),
        (changed(write(PLAIN), len(write(PLAIN)) - 3, b"\0"), "string 3 of 3, bytes .*, is damaged: its checksum"),
        (write(FULL)[:-6], "the alpha plane should reach to byte|string 2 of 2 of tile 6 of 6"),
    ],
)
def test_what_is_wrong_is_said(data: bytes, told: str) -> None:
    with pytest.raises(FileError, match=told):
        parse(data)


@pytest.mark.parametrize(
    "tile", [TileSides(40, 45, 30), TileSides(0, 45, 8), TileSides(40, 30, 8), TileSides(99, 200, 0)]
)
def test_tiles_that_do_not_make_the_picture(tile: TileSides) -> None:
    with pytest.raises(FileError, match=r"tiles|sides"):
        parse(write(dataclasses.replace(FULL, tile=tile)))


def test_more_pixels_are_a_callers_choice() -> None:
    """The border that was added counts: it is what has to be decoded."""
    data = write(PLAIN)
    assert parse(data, max_pixels=128 * 128).height == 70
    with pytest.raises(FileError, match="the picture is coded as 128x128: more than 16383 pixels"):
        parse(data, max_pixels=128 * 128 - 1)


def test_in_part_what_is_whole_is_given() -> None:
    data = write(PLAIN)
    cut = parse(data[:-1], partial=True)
    assert [string.content for string in cut.strings[0]] == [b"coarse", b"", None]
    (missing,) = cut.missing
    assert missing.startswith("the file is cut: string 3 of 3 should reach to byte")
    damaged = parse(data.replace(b"coarse", b"curse!"), partial=True)
    assert [string.content for string in damaged.strings[0]] == [None, b"", b"fine" * 50]
    assert len(damaged.missing) == 1
    assert parse(data + b"x", partial=True).missing == (
        f"1 bytes after its end, from byte {len(data)} on, do not belong to the file",
    )
    with pytest.raises(ValueError, match="in part"):
        write(cut)


def test_strings_come_kind_by_kind() -> None:
    """So that a file that is cut holds the first kind of all tiles."""
    cut = parse(write(FULL)[: -len(b"alpha") - 2 * 6], partial=True)
    assert [[string.content is not None for string in tile] for tile in cut.strings] == [[True, False]] * 6
    assert cut.icc == FULL.icc


@pytest.mark.parametrize(
    "wrong", [{"height": 2**32}, {"padding": (70000, 0)}, {"strings": [[CodedString(b"", 1)] * 256]}]
)
def test_what_has_no_room_is_not_written(wrong: dict) -> None:
    with pytest.raises(ValueError, match="no room"):
        write(dataclasses.replace(PLAIN, **wrong))


def test_names_are_written_as_printable_ascii() -> None:
    read = parse(write(dataclasses.replace(PLAIN, codec_name="d\u00e9j\u00e0 \n", made_on="x" * 300)))
    assert (read.codec_name, read.made_on) == (r"d\xe9j\xe0 \n", "x" * 255)


def test_the_first_bytes_are_those_of_the_documents() -> None:
    assert write(PLAIN).startswith(MAGIC + b"\1\0\0")


def test_a_file_is_read_without_torch(tmp_path) -> None:
    (tmp_path / "a.lic").write_bytes(write(FULL))
    code = "from lic_exp.files.parsing import parse\nprint(parse(open('a.lic', 'rb').read()).codec_name)"
    done = blocked(code, tmp_path)
    assert done.stdout == "dhic\n", done.stderr


@pytest.mark.parametrize(
    "given", [bytearray(MAGIC), memoryview(MAGIC), "text", None], ids=lambda given: type(given).__name__
)
def test_what_is_no_bytes_is_refused_by_its_type(given: object) -> None:
    with pytest.raises(TypeError, match=f"bytes, not {type(given).__name__}: "):
        parse(given)  # type: ignore[arg-type]
