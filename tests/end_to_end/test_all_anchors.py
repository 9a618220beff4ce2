"""All codecs that are here on three photos: as they rank, and once only."""

import json
from pathlib import Path

import numpy as np
import pytest
from file_codecs import is_stand_in
from PIL import Image

import analysis
from analysis.__main__ import main
from analysis.curve_files import Curve
from analysis.measured import ffmpeg, lic, pillow
from analysis.measured.codec import shipped, shipped_codec

pytestmark = pytest.mark.slow

SIDE = 256


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from skimage.data import astronaut, chelsea, coffee

    folder = tmp_path_factory.mktemp("three")
    for name, photo in {"astronaut": astronaut(), "chelsea": chelsea(), "coffee": coffee()}.items():
        Image.fromarray(photo[20 : 20 + SIDE, 130 : 130 + SIDE]).save(folder / f"{name}.png")
    return folder


@pytest.fixture(scope="module")
def out(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("curves")
    assert main(["anchors", "--data", str(photos), "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def curves(out: Path) -> dict[str, Curve]:
    return {path.stem: analysis.load_curve(path) for path in out.iterdir() if not is_stand_in(path.stem)}


def test_every_codec_that_is_here_has_a_curve_that_rises(curves: dict[str, Curve]) -> None:
    assert set(curves) == {
        name for name in shipped() if shipped_codec(name).missing() is None and not is_stand_in(name)
    }
    for curve in curves.values():
        assert 4 <= len(curve) <= 6
        assert (np.diff(curve.bpp) > 0).all()
        assert (np.diff(curve.quality()) > 0).all()
        assert (np.diff(curve.quality("ms-ssim")) > 0).all()


def test_the_points_lie_where_learned_codecs_do(curves: dict[str, Curve]) -> None:
    for curve in curves.values():
        within = (curve.quality() > 26) & (curve.quality() < 42)
        assert within.sum() >= 4, curve.name


def test_sizes_are_exact(out: Path, photos: Path) -> None:
    """Those of JPEG and WebP against files that Pillow writes by itself."""
    for name, form in (
        ("jpeg", {"format": "JPEG", "subsampling": "4:4:4", "optimize": True}),
        ("webp", {"format": "WEBP", "method": 6}),
    ):
        written = json.loads((out / f"{name}.json").read_text())
        for row in written["rows"]:
            file = photos.parent / f"{name}.bin"
            with Image.open(photos / row["photo"]) as image:
                image.save(file, quality=int(row["quality"]), **form)
            assert file.stat().st_size == row["data_bytes"]
            assert row["container_bytes"] == (20 if name == "webp" else 0)
            assert row["bpp"] == 8 * (row["data_bytes"] - row["container_bytes"]) / SIDE**2


@pytest.mark.parametrize(
    "worse_better", [("jpeg", "hevc"), ("hevc", "vvc"), ("jpeg", "webp"), ("jpeg2000", "avif"), ("jpeg", "av1")]
)
def test_younger_codecs_need_less_rate(curves: dict[str, Curve], worse_better: tuple[str, str]) -> None:
    if missing := set(worse_better) - set(curves):
        pytest.skip(f"{missing} is not here")
    worse, better = (curves[name] for name in worse_better)

    assert analysis.bd_rate(worse.bpp, worse.quality(), better.bpp, better.quality()) < -3


def test_conversions_of_colours_lose_what_they_must(out: Path) -> None:
    for path in out.iterdir():
        written = json.loads(path.read_text())
        bits = written["conventions"]["colour_conversion"]["bits"]
        for point in written["points"]:
            if bits != 8:
                assert point["conversion_psnr"] == "exact"
            else:
                assert point["conversion_psnr"] > (35 if written["conventions"]["chroma"] == "4:2:0" else 50)


def test_a_second_time_nothing_is_coded_and_no_program_is_asked_to(
    out: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("coded again")

    for kind in (pillow.PillowCodec, ffmpeg.FFmpegCodec, lic.LicCodec):
        monkeypatch.setattr(kind, "code", never)

    assert main(["anchors", "--data", str(photos), "--out", str(tmp_path / "again")]) == 0
    assert "measured" not in capsys.readouterr().err
    for path in out.iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()
