"""What `benchmarks/box.py` makes of curves, and `docs/box_pictures.py` of what it measured; by points made up."""

import io
from types import ModuleType

import numpy as np
import pytest
from checkout import program
from PIL import Image

import analysis
from analysis.curve_files import Curve

RATES = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    return program("benchmarks/box.py")


@pytest.fixture(scope="module")
def pictures() -> ModuleType:
    return program("docs/box_pictures.py")


def curve(name: str, *psnr: float) -> Curve:
    points = [{"quality": float(i)} for i in range(len(psnr))]
    return Curve(
        name, {"bpp": RATES, "psnr": psnr, "ms-ssim": tuple(1 - 0.1 / r for r in range(1, 7))}, "", {"points": points}
    )


def straight(name: str, above: float = 0.0) -> Curve:
    """20 dB at a bit per pixel and 3 more for each doubling."""
    return curve(name, *(20 + above + 3 * np.log2(rate) for rate in RATES))


def test_curves_are_cut_where_the_rates_end_that_are_compared(benchmark: ModuleType) -> None:
    rates, qualities = benchmark.within((np.array(RATES), straight("box").quality()))

    assert list(rates) == [0.15, 0.2, 0.4, 0.8, 1.5]
    assert qualities[[0, -1]] == pytest.approx(20 + 3 * np.log2([0.15, 1.5]), abs=0.02)
    assert list(qualities[1:4]) == list(straight("box").quality()[1:4])


def test_a_curve_that_begins_later_begins_where_it_does(benchmark: ModuleType) -> None:
    rates, _ = benchmark.within((np.array([0.3, 0.6, 0.9]), np.array([30.0, 33, 35])))

    assert list(rates) == [0.3, 0.6, 0.9]


def test_of_two_jpegs_the_better_one_counts_at_each_rate(benchmark: ModuleType) -> None:
    low, high = (
        curve("jpeg, progressive 4:2:0", 20, 24, 28, 29, 30, 31),
        curve("jpeg, progressive 4:4:4", 18, 22, 27, 31, 34, 37),
    )

    rates, qualities = benchmark.points({one.name: one for one in (low, high)}, benchmark.PROGRESSIVE, "psnr")

    assert list(zip(rates, qualities, strict=True)) == [
        (0.1, 20),
        (0.2, 24),
        (0.4, 28),
        (0.8, 31),
        (1.6, 34),
        (3.2, 37),
    ]


def test_bd_rates_are_those_of_analysis_and_what_has_none_says_why(benchmark: ModuleType) -> None:
    curves = {one.name: one for one in (straight("box", 3), straight("webp"), straight("avif", 90))}

    found = benchmark.compared(curves, ["webp", "avif"])

    assert float(found["psnr"]["webp"]) == pytest.approx(-50, abs=0.3)
    assert "share no range" in found["psnr"]["avif"]
    assert float(found["ms-ssim-db"]["webp"]) == pytest.approx(0)
    whole = analysis.bd_rate(RATES, straight("webp").quality(), RATES, straight("box", 3).quality())
    assert float(found["psnr"]["webp"]) == pytest.approx(float(whole), abs=0.3)


def test_the_card_gets_figures_of_whole_files(benchmark: ModuleType) -> None:
    first, *_ = benchmark.figures(straight("box"))

    assert first == {"quality": 0.0, "bpp_file": 0.1, "psnr": pytest.approx(10.034), "ms_ssim_db": 10.0}


def test_the_curve_has_every_codec_that_was_measured(pictures: ModuleType) -> None:
    lines = {name: [list(RATES), [30 + i + rate for rate in RATES]] for i, name in enumerate(pictures.CURVES)}
    del lines["avif"]
    measured = {"images": {"name": "mine", "number": 3}, "curves": {"psnr": lines}}

    with Image.open(io.BytesIO(pictures.curve_picture(measured, 1.6))) as drawn:
        assert drawn.format == "PNG"
        assert min(drawn.size) > 500


def test_pixels_of_a_photo_are_shown_as_they_are(pictures: ModuleType) -> None:
    original = pictures.photo()
    panels = [pictures.Shown(name, original // (i + 1), 100 * i or None) for i, name in enumerate("abcd")]

    with Image.open(io.BytesIO(pictures.side_by_side(panels))) as drawn:
        shown = np.asarray(drawn.convert("RGB"))

    large = original[pictures.CROP].repeat(pictures.ENLARGED, 0).repeat(pictures.ENLARGED, 1)
    height, width = large.shape[:2]
    for i in range(4):
        top = pictures.CAPTION + i // 2 * (height + pictures.CAPTION)
        left = pictures.GAP + i % 2 * (width + pictures.GAP)
        assert np.array_equal(shown[top : top + height, left : left + width], large // (i + 1))


def test_others_are_as_good_as_they_can_be_in_so_many_bytes(pictures: ModuleType) -> None:
    picture = pictures.photo()[:96, :128]

    jpeg, webp = pictures.by_jpeg(picture, 1500), pictures.by_webp(picture, 1500)

    assert jpeg.size <= 1500
    assert webp.size <= 1500
    assert pictures.psnr(picture, jpeg.picture) < pictures.psnr(picture, webp.picture)
