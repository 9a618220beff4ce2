"""What a cut or damaged file still shows: scale by scale, and it says so; of other codecs an error."""

from dataclasses import replace
from itertools import accumulate, pairwise

import numpy as np
import pytest
import torch
from skimage import data

import lic_exp
from lic_exp.files.alpha import alpha_bytes
from lic_exp.files.coding import decode_picture, encode_picture
from lic_exp.files.layout import FileError, TileSides
from lic_exp.files.parsing import parse
from lic_exp.files.partial import decode_partially, whole_scales
from lic_exp.files.pixels import Picture, planes, samples
from lic_exp.files.targets import psnr_of
from lic_exp.files.tiles import Tiling
from lic_exp.models.base import Codec

PHOTO = data.astronaut()[:160, 100:300]
ALPHA = np.tile(np.arange(200, dtype=np.uint8), (160, 1))
QUALITY = 40.0
TILED = 2**16 * 132
"""Bytes of memory in which dhic_tiny codes 2^16 pixels at once."""


@pytest.fixture(scope="module")
def codec() -> Codec:
    return lic_exp.create_model("dhic_tiny")


@pytest.fixture(scope="module")
def coded(codec: Codec) -> bytes:
    return encode_picture(Picture(PHOTO), codec, quality=QUALITY)


def ends_of_strings(content: bytes) -> list[int]:
    """Where every string of a file without alpha ends, in the order in which they lie, and where the first begins."""
    file = parse(content)
    lengths = [len(tile[kind].content or b"") for kind in range(file.kinds) for tile in file.strings]
    return list(accumulate(lengths, initial=len(content) - sum(lengths)))


def test_each_scale_that_is_whole_is_shown_and_makes_it_better(codec: Codec, coded: bytes) -> None:
    _, *ends = ends_of_strings(coded)
    found = [decode_partially(parse(coded[:end], partial=True), codec) for end in ends]
    ratings = [psnr_of(part.picture, Picture(PHOTO)) for part in found]
    assert all(better > worse + 0.1 for worse, better in pairwise(ratings)), ratings
    assert [part.notes[-1:] for part in found] == [
        *((f"the picture is shown from the first {scales} of 4 scales",) for scales in (1, 2, 3)),
        (),
    ]
    assert np.array_equal(found[-1].picture.colour, decode_picture(parse(coded), codec).colour)


@torch.no_grad()
@pytest.mark.parametrize("scales", [1, 2, 3])
def test_it_is_what_the_codec_decodes_from_these_scales(codec: Codec, coded: bytes, scales: int) -> None:
    end = ends_of_strings(coded)[scales]
    shown = decode_partially(parse(coded[:end], partial=True), codec).picture.colour
    x = torch.from_numpy(planes(Picture(PHOTO)))[None]
    expected = codec.eval().partial(codec.pad(x), QUALITY, scales=scales)
    expected = codec.crop(expected, *PHOTO.shape[:2])[0].numpy()
    assert np.array_equal(shown, samples(expected, grey=False, bits=8))


def test_a_cut_within_a_scale_shows_those_before(codec: Codec, coded: bytes) -> None:
    _, _, second, third, _ = ends_of_strings(coded)
    whole = decode_partially(parse(coded[:second], partial=True), codec).picture.colour
    for end in (second + 1, third - 1):
        part = decode_partially(parse(coded[:end], partial=True), codec)
        assert np.array_equal(part.picture.colour, whole)
        assert part.notes[0].startswith("the file is cut: string 3 of 4 should reach to byte")


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_damaged_scale_hides_the_later_ones(codec: Codec, coded: bytes, scale: int) -> None:
    begin = ends_of_strings(coded)[scale - 1]
    damaged = coded[: begin + 5] + bytes([coded[begin + 5] ^ 1]) + coded[begin + 6 :]
    with pytest.raises(FileError, match=f"string {scale} of 4, .* is damaged"):
        parse(damaged)
    part = decode_partially(parse(damaged, partial=True), codec)
    whole = decode_partially(parse(coded[:begin], partial=True), codec)
    assert np.array_equal(part.picture.colour, whole.picture.colour)
    assert part.notes[-1] == f"the picture is shown from the first {scale - 1} of 4 scales"


def test_symbols_that_were_not_encoded_are_not_shown(codec: Codec, coded: bytes) -> None:
    """A string that is whole, but of another picture: only its symbols tell."""
    file = parse(coded)
    other = parse(encode_picture(Picture(PHOTO[::-1].copy()), codec, quality=QUALITY))
    strings = [*file.strings[0]]
    strings[2] = type(strings[2])(other.strings[0][2].content, strings[2].symbols_crc)
    mixed = type(file)(**{**vars(file), "strings": [strings]})
    with pytest.raises(FileError, match="cannot be decoded"):
        decode_picture(mixed, codec)
    part = decode_partially(mixed, codec)
    assert part.notes == ("the picture is shown from the first 2 of 4 scales",)
    end = ends_of_strings(coded)[2]
    assert np.array_equal(part.picture.colour, decode_partially(parse(coded[:end], partial=True), codec).picture.colour)


def test_nothing_whole_is_an_error(codec: Codec, coded: bytes) -> None:
    begin = ends_of_strings(coded)[0]
    for end in (begin, begin + 3):
        with pytest.raises(FileError, match=r"string 1 of 4 .*not even the coarsest scale is whole: nothing"):
            decode_partially(parse(coded[:end], partial=True), codec)
    with pytest.raises(FileError, match="header"):
        parse(coded[: begin - 1], partial=True)


@pytest.mark.parametrize("tile", [None, TileSides(4096, 8192, 32)])
def test_nothing_is_computed_for_a_size_that_no_string_bears_out(
    tile: TileSides | None, codec: Codec, coded: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def computed(*_: object) -> None:
        raise SystemExit("a picture was computed")

    file = parse(coded)
    count = 1 if tile is None else Tiling(8192, 8192, tile.height, tile.width, tile.overlap).count
    forged = replace(file, height=8192, width=8192, padding=(0, 0), tile=tile, strings=[file.strings[0]] * count)
    monkeypatch.setattr(type(codec), "_reconstruct", computed)
    with pytest.raises(FileError, match="not even the coarsest scale is whole: nothing can be shown"):
        decode_partially(forged, codec)


def test_tiles_are_shown_each_as_far_as_it_is_whole(codec: Codec) -> None:
    photo = data.astronaut()[:200]
    content = encode_picture(Picture(photo), codec, quality=QUALITY, memory=TILED)
    file = parse(content)
    assert len(file.strings) == 2
    ends = ends_of_strings(content)
    part = decode_partially(parse(content[: ends[3]], partial=True), codec)  # both coarsest, and the first's second
    assert whole_scales(parse(content[: ends[3]], partial=True)) == [2, 1]
    assert part.notes[-2:] == (
        "tile 1 of 2 is shown from the first 2 of 4 scales",
        "tile 2 of 2 is shown from the first 1 of 4 scales",
    )
    ratings = [
        psnr_of(decode_partially(parse(content[:end], partial=True), codec).picture, Picture(photo)) for end in ends[1:]
    ]
    assert ratings == sorted(ratings)
    first_alone = decode_partially(parse(content[: ends[1]], partial=True), codec)
    assert first_alone.notes[-1] == "tile 2 of 2 is shown from the first 0 of 4 scales"


def test_without_its_alpha_a_picture_hides_nothing(codec: Codec) -> None:
    content = encode_picture(Picture(PHOTO, ALPHA), codec, quality=QUALITY)
    whole = decode_partially(parse(content, partial=True), codec)
    assert np.array_equal(whole.picture.alpha, ALPHA)
    cut = decode_partially(parse(content[:-4], partial=True), codec)
    assert cut.picture.alpha is None
    assert np.array_equal(cut.picture.colour, whole.picture.colour)
    assert any("the alpha plane" in note for note in cut.notes)
    assert len(alpha_bytes(ALPHA)) > 4


@pytest.mark.parametrize("name", ["hpcm_tiny", "factorized_tiny"])
def test_codecs_without_scales_in_their_strings_are_refused_by_name(name: str) -> None:
    codec = lic_exp.create_model(name)
    content = encode_picture(Picture(PHOTO), codec)
    part = decode_partially(parse(content, partial=True), codec)
    assert part.notes == ()
    assert np.array_equal(part.picture.colour, decode_picture(parse(content), codec).colour)
    with pytest.raises(FileError, match=r"the file is cut: .*does not decode scale by scale: nothing can be shown"):
        decode_partially(parse(content[:-1], partial=True), codec)


def test_from_python_a_part_is_shown_with_a_warning(
    codec: Codec, coded: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    end = ends_of_strings(coded)[2]
    with pytest.raises(FileError, match="the file is cut"):
        lic_exp.decode_image(coded[:end], codec)
    shown = lic_exp.decode_image(coded[:end], codec, form="array", partial=True)
    assert np.array_equal(shown, decode_partially(parse(coded[:end], partial=True), codec).picture.colour)
    assert "the picture is shown from the first 2 of 4 scales" in caplog.text
    caplog.clear()
    assert lic_exp.decode_image(coded, codec, partial=True).size == (200, 160)
    assert not caplog.records
