"""Conversion of colours: against Pillow's, there and back, and the bound on what it may cost."""

import numpy as np
import pytest
from PIL import Image

from analysis.errors import AnalysisError
from analysis.measured import colours
from analysis.measured.codec import shipped, shipped_codec
from analysis.measured.colours import Conversion, conversion_error, to_picture, to_planes

RANDOM = np.random.default_rng(0).integers(0, 256, (64, 80, 3), dtype=np.uint8)


def test_full_range_bt_601_is_that_of_jpeg_files() -> None:
    of_pillow = np.asarray(Image.fromarray(RANDOM).convert("YCbCr")).transpose(2, 0, 1)

    difference = to_planes(RANDOM, Conversion("BT.601", 8)).astype(int) - of_pillow
    assert np.abs(difference).max() <= 1  # Pillow's tables are integers


@pytest.mark.parametrize("matrix", ["BT.601", "BT.709"])
@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize("full_range", [True, False])
def test_white_black_and_grey_are_where_they_belong(matrix: str, bits: int, full_range: bool) -> None:
    picture = np.array([[[255, 255, 255], [0, 0, 0], [128, 128, 128]]], np.uint8)
    planes = to_planes(picture, Conversion(matrix, bits, full_range=full_range))
    scale = 2 ** (bits - 8)

    low, high = (0, 2**bits - 1) if full_range else (16 * scale, 235 * scale)
    assert planes[0, 0, :2].tolist() == [high, low]
    assert (planes[1:] == 128 * scale).all()
    assert (to_picture(planes, Conversion(matrix, bits, full_range=full_range)) == picture).all()


@pytest.mark.parametrize("matrix", ["BT.601", "BT.709"])
def test_ten_bits_of_full_range_lose_nothing(matrix: str) -> None:
    assert conversion_error(RANDOM, Conversion(matrix, 10)) == 0
    assert 0 < conversion_error(RANDOM, Conversion(matrix, 8)) < 0.5


@pytest.mark.parametrize("size", [(64, 80), (63, 79), (1, 1), (2, 5)])
def test_halved_chroma_costs_what_changes_within_two_pixels(size: tuple[int, int]) -> None:
    flat = np.full((*size, 3), (200, 40, 90), np.uint8)

    assert conversion_error(flat, Conversion("BT.709", 10, "4:2:0")) < 0.05
    if min(size) > 2:
        assert conversion_error(RANDOM[: size[0], : size[1]], Conversion("BT.709", 10, "4:2:0")) > 100


@pytest.mark.parametrize("conversion", [Conversion("BT.601", 8), Conversion("BT.709", 10)])
def test_a_conversion_that_truncates_is_refused(conversion: Conversion, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(colours.np, "rint", np.floor)

    with pytest.raises(AnalysisError, match="the conversion of colours alone"):
        conversion_error(RANDOM, conversion)


@pytest.mark.parametrize("bits", [8, 10])
def test_another_matrix_on_the_way_back_is_refused(bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    there = colours.to_planes
    monkeypatch.setattr(colours, "to_planes", lambda picture, _: there(picture, Conversion("BT.601", bits)))

    with pytest.raises(AnalysisError, match="nothing is measured with it"):
        conversion_error(RANDOM, Conversion("BT.709", bits))


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_codec_says_how_it_converts(name: str) -> None:
    conversion = shipped_codec(name).conversion

    assert conversion.chroma == ("4:2:0" if name == "webp" else "4:4:4")
    assert conversion.bits in (None, 8, 10)
    assert name == "webp" or conversion_error(RANDOM, conversion) < 0.5
