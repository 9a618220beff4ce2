"""Measuring: exact sizes, means as evaluations have them, and nothing measured twice."""

import threading
from pathlib import Path

import numpy as np
import pytest
from coarse_codec import Coarse, write_photos

import analysis
from analysis.errors import AnalysisError
from analysis.measured import curves, measuring
from analysis.measured.codec import AnchorError, CodedPicture
from analysis.measured.curves import Chosen, choose, measured_curves
from analysis.measured.measuring import measure, why_not
from analysis.measured.photos import photos_of_folder
from lic_exp.json_text import json_text
from lic_exp.picture_metrics import PictureMetric, picture_metric, psnr
from lic_exp.processes import usable_cores

SIZES = ((20, 24), (16, 30), (40, 18))


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def chosen(*codecs: Coarse) -> Chosen:
    return Chosen({codec.name: (codec, codec.qualities) for codec in codecs}, {})


def test_a_curve_has_the_means_of_its_images_and_all_its_sizes(tmp_path: Path) -> None:
    photos, codec = photos_of_folder(write_photos(tmp_path / "mine", *SIZES)), Coarse()

    (curve,) = measured_curves(chosen(codec), photos)

    for i, quality in enumerate(codec.qualities):
        pictures = [photo.load() for photo in photos.photos]
        coded = [codec.code(picture, quality) for picture in pictures]
        bits = [8 * (len(one.data) - 7) / (one.decoded.size / 3) for one in coded]
        assert curve.bpp[i] == pytest.approx(np.mean(bits), rel=1e-12)
        found = [psnr(picture, one.decoded) for picture, one in zip(pictures, coded, strict=True)]
        assert curve.quality()[i] == pytest.approx(np.mean(found), rel=1e-12)
        point = curve.about["points"][i]
        assert (point["bytes"], point["container_bytes"]) == (sum(len(one.data) for one in coded), 21)
        assert (point["codec"], point["version"], point["command"]) == ("coarse", "1.0", codec.command(quality))
        assert (point["rounding"], point["container"]) == ("8 bits", "out")
        assert point["colour_conversion"]["chroma"] == "4:4:4"
    assert "ms-ssim" not in curve.results  # the photos are too small for it
    rows = curve.about["rows"]
    assert [(row["photo"], row["quality"]) for row in rows[:4]] == [
        ("0.png", 4),
        ("1.png", 4),
        ("2.png", 4),
        ("0.png", 8),
    ]
    assert {(row["height"], row["width"]) for row in rows} == set(SIZES)


@pytest.mark.parametrize(("container", "counted"), [("out", 0), ("in", 7)])
def test_bytes_of_a_container_count_where_that_is_asked_for(tmp_path: Path, container: str, counted: int) -> None:
    photos = photos_of_folder(write_photos(tmp_path / "mine", (10, 12)))

    (curve,) = measured_curves(chosen(Coarse(qualities=(8,))), photos, container=container)

    size = curve.about["points"][0]["bytes"] - 7 + counted
    assert curve.bpp[0] == pytest.approx(8 * size / 120)
    assert curve.about["conventions"]["container"] == container


def test_a_curve_says_which_images_which_command_and_how_it_was_measured(tmp_path: Path) -> None:
    folder = write_photos(tmp_path / "mine", *SIZES)

    (curve,) = measured_curves(chosen(Coarse(says="Coarse 2.1")), photos_of_folder(folder))

    assert curve.about["images"] == photos_of_folder(folder).identity()
    assert curve.about["images"]["name"] == "mine"
    assert curve.about["images"]["number"] == 3
    assert curve.about["source"]["version"] == "Coarse 2.1"
    assert curve.about["optimized_for"] == "mse"
    conventions = curve.about["conventions"]
    assert conventions["averaging"] == "mean of bpp and of PSNR over images"
    assert conventions["rounding"] == "8 bits"
    assert conventions["colour_conversion"]["by"] == "the encoder"
    assert [point["conversion_psnr"] for point in curve.about["points"]] == ["exact"] * 4


def test_what_is_known_is_not_measured_again(tmp_path: Path) -> None:
    folder, codec = write_photos(tmp_path / "mine", *SIZES), Coarse()
    (first,) = measured_curves(chosen(codec), photos_of_folder(folder))
    again = Coarse()

    (second,) = measured_curves(chosen(again), photos_of_folder(folder))

    assert len(codec.coded) == 12
    assert again.coded == []
    assert json_text(second.to_compressai()) == json_text(first.to_compressai())


@pytest.mark.parametrize("changed", ["quality", "version", "photo", "metric", "name of a photo"])
def test_what_changes_a_measurement_has_it_made_anew_and_nothing_else(tmp_path: Path, changed: str) -> None:
    folder = write_photos(tmp_path / "mine", *SIZES)
    measured_curves(chosen(Coarse()), photos_of_folder(folder))
    codec, metrics = Coarse(), ()
    if changed == "quality":
        codec.qualities = (4, 8, 16, 64)
    elif changed == "version":
        codec.says = "1.1"
    elif changed == "photo":
        write_photos(folder, (20, 24), seed=3)
    elif changed == "metric":
        metrics = ("psnr-y",)
    else:
        (folder / "0.png").rename(folder / "9.png")

    measured_curves(chosen(codec), photos_of_folder(folder), metrics=metrics)

    assert len(codec.coded) == {"quality": 3, "version": 12, "photo": 4, "metric": 12, "name of a photo": 0}[changed]


def test_a_metric_of_ones_own_is_measured_anew_when_its_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, module = write_photos(tmp_path / "mine", (10, 12)), tmp_path / "darkest.py"
    monkeypatch.syspath_prepend(tmp_path)
    module.write_text("def least(a, b):\n    return float(b.min())\n")
    (first,) = measured_curves(chosen(Coarse()), photos_of_folder(folder), metrics=("darkest:least",))
    same = Coarse()
    (second,) = measured_curves(chosen(same), photos_of_folder(folder), metrics=("darkest:least",))
    assert same.coded == []
    assert second.results == first.results

    module.write_text("def least(a, b):\n    return float(a.min())  # of the original\n")
    anew = Coarse()
    measured_curves(chosen(anew), photos_of_folder(folder), metrics=("darkest:least",))

    assert len(anew.coded) == 4


def test_a_codec_that_fails_is_named_with_the_photo_and_the_rest_is_kept(tmp_path: Path) -> None:
    folder, codec = write_photos(tmp_path / "mine", *SIZES), Coarse(fails_on=30)

    with pytest.raises(AnchorError, match=r"coarse, 1\.png: coarse --levels \d+: out of luck"):
        measured_curves(chosen(codec), photos_of_folder(folder), workers=1)
    before = len(codec.coded)
    codec.fails_on = None
    measured_curves(chosen(codec), photos_of_folder(folder))

    assert before > 0
    assert len(codec.coded) == 12


@pytest.mark.parametrize("error", [ZeroDivisionError("by zero"), KeyError("y"), ValueError("no such")])
def test_a_metric_of_ones_own_that_raises_is_named_with_the_photo(tmp_path: Path, error: Exception) -> None:
    def raises(a: np.ndarray, b: np.ndarray) -> float:
        raise error

    codec, photos = Coarse(), photos_of_folder(write_photos(tmp_path / "mine", (10, 12)))
    metric = PictureMetric("mine:raises", "raises", raises, raises)

    with pytest.raises(AnchorError, match=rf"coarse, 0\.png: metric mine:raises: {type(error).__name__}"):
        measure({"coarse": (codec, codec.qualities)}, photos, [metric])


def test_a_decoder_that_gives_another_size_is_refused(tmp_path: Path) -> None:
    class Cuts(Coarse):
        def code(self, picture: np.ndarray, quality: float) -> CodedPicture:
            return CodedPicture(b"x", 0, picture[1:])

    with pytest.raises(AnalysisError, match="a picture of another size"):
        measured_curves(chosen(Cuts()), photos_of_folder(write_photos(tmp_path / "mine", (10, 12))))


@pytest.mark.parametrize("workers", [1, 3, None])
def test_no_more_work_at_a_time_than_is_allowed(
    tmp_path: Path, workers: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "usable_cores", lambda: 2)
    lock, now, most = threading.Lock(), 0, 0

    class Counts(Coarse):
        def code(self, picture: np.ndarray, quality: float) -> CodedPicture:
            nonlocal now, most
            with lock:
                now += 1
                most = max(most, now)
            try:
                return super().code(picture, quality)
            finally:
                with lock:
                    now -= 1

    photos = photos_of_folder(write_photos(tmp_path / "mine", *SIZES))
    told: list[tuple[str, int, int]] = []
    codec = Counts()
    found = measure(
        {"coarse": (codec, codec.qualities)},
        photos,
        [picture_metric("psnr")],
        workers=workers,
        progress=lambda *what: told.append(what),
    )

    assert most <= (workers or 2)
    assert usable_cores() >= 1
    assert told[0] == ("coarse", 0, 12)
    assert [done for _, done, _ in told[1:]] == list(range(1, 13))
    assert [one.photo for one in found["coarse"][:3]] == ["0.png", "1.png", "2.png"]


def test_a_build_that_lacks_what_is_asked_for_is_found_out_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking, good = Coarse(fails_on=64), Coarse(name="good")

    assert why_not(lacking) == "coarse --levels 4: out of luck"
    assert why_not(good) is None
    assert why_not(good) is None
    assert good.coded == [(64, 4)]
    monkeypatch.setattr(curves, "shipped_codec", lambda name: lacking)
    monkeypatch.setattr(curves, "shipped", lambda: {"coarse": Path("coarse.py")})
    assert choose(None).missing == {"coarse": "coarse --levels 4: out of luck"}
    folder = write_photos(tmp_path / "mine", (20, 24))
    with pytest.raises(AnalysisError, match="coarse: coarse --levels 4: out of luck"):
        analysis.measure_anchors(folder, ["coarse"])


def test_from_python_curves_come_of_a_folder(tmp_path: Path) -> None:
    jpeg, webp = analysis.measure_anchors(write_photos(tmp_path / "mine", (20, 24)), ["jpeg", "webp"], ["psnr-y"])

    assert (jpeg.name, webp.name) == ("jpeg", "webp")
    assert list(jpeg.quality("psnr-y")) == sorted(jpeg.quality("psnr-y"))


def test_equal_pictures_have_infinite_psnr_also_from_what_was_kept(tmp_path: Path) -> None:
    class Lossless(Coarse):
        def code(self, picture: np.ndarray, quality: float) -> CodedPicture:
            return CodedPicture(picture.tobytes(), 0, picture)

    photos = photos_of_folder(write_photos(tmp_path / "mine", (10, 12)))
    for _ in range(2):
        (curve,) = measured_curves(chosen(Lossless(qualities=(4,))), photos)
        assert curve.results["psnr"] == (float("inf"),)
        assert curve.bpp[0] == 24
