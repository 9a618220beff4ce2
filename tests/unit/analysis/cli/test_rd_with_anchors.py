"""`rd RUN --anchors`: a run's curve beside codecs measured on the photos that it was evaluated on."""

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from analysis.__main__ import main
from analysis.measured import pillow
from lic_exp.evaluation.conventions import CONVENTIONS
from lic_exp.image_identity import Pictured, identity, pixels_digest

NAMES = ("a.png", "b.png")


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder, random = tmp_path / "mine", np.random.default_rng(0)
    folder.mkdir()
    for name, size in zip(NAMES, [(64, 48), (40, 72)], strict=True):
        coarse = Image.fromarray(random.integers(0, 256, (9, 9, 3), dtype=np.uint8))
        coarse.resize(size, Image.Resampling.BICUBIC).save(folder / name)
    return folder


def evaluated(run: Path, photos: Path, psnr: Sequence[float] = (25, 31, 36), **results: Sequence[float]) -> Path:
    """Give a run the files of an evaluation of three rates on these photos."""
    pictured = []
    for name in NAMES:
        pixels = np.asarray(Image.open(photos / name))
        height, width = pixels.shape[:2]
        pictured.append(Pictured(name, height, width, pixels_digest(height, width, pixels.tobytes())))
    said = {"images": identity(photos.name, pictured), "conventions": CONVENTIONS, "optimized_for": "mse"}
    (run / "eval").mkdir()
    lists = {"bpp": [0.5, 1.5, 3.0], "psnr": list(psnr), **results}
    (run / "eval" / "rd_point.json").write_text(json.dumps({"name": "mine", "results": lists, **said}))
    rows = [{"image": one.name, "height": one.height, "width": one.width, "pixels": one.pixels} for one in pictured]
    about = {"data": str(photos), "mean": {"bpp": 1.5, "psnr": 31.0}, "exact": True, "evaluation": "12345678", **said}
    (run / "eval" / "evaluation.json").write_text(json.dumps(about))
    with open(run / "eval" / "images.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "bpp", "psnr", "exact"])
        writer.writeheader()
        writer.writerows({**row, "bpp": 1.5, "psnr": 31.0, "exact": True} for row in rows)
    return run


@pytest.fixture
def run(make_run: Callable[..., Path], photos: Path) -> Path:
    return evaluated(make_run("abcd1234"), photos)


@pytest.mark.parametrize("name", ["abcd1234", "abcd", "runs/abcd1234"])
def test_codecs_stand_beside_the_run_and_it_is_compared_with_each(
    run: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rd", name, "--anchors", "jpeg,webp", "--out", str(tmp_path / "all.csv")]) == 0

    with open(tmp_path / "all.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["curve"] for row in rows] == ["abcd1234"] * 3 + ["jpeg"] * 6 + ["webp"] * 6
    out = capsys.readouterr().out
    assert "against jpeg, psnr" in out
    assert "against webp, psnr" in out
    for unlike in ("images", "data-set", "container", "colours", "rounding", "averaging", "rate", "objective"):
        assert f"other-{unlike}" not in out
    assert "unknown-images" not in out


def test_photos_that_have_changed_are_no_photos_of_the_run(
    run: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (64, 48), (9, 9, 9)).save(photos / "a.png")

    assert main(["rd", "abcd", "--anchors", "jpeg"]) == 2
    assert "--anchors: " in (error := capsys.readouterr().err)
    assert "has changed" in error


@pytest.mark.parametrize(
    ("names", "anchors", "message"),
    [
        (["abcd"], "jpg", "--anchors: there is no codec jpg. Did you mean jpeg?"),
        (["kodak/lalic"], "jpeg", "--anchors: anchors are measured on the photos of a run"),
        (["abcd"], "vvc", "--anchors: vvc: not here"),
    ],
)
def test_anchors_that_cannot_be_had_are_refused(
    run: Path,
    names: list[str],
    anchors: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from analysis.measured import ffmpeg

    monkeypatch.setattr(ffmpeg.FFmpegCodec, "missing", lambda self: "not here")

    assert main(["rd", *names, "--anchors", anchors]) == 2
    assert message in capsys.readouterr().err


def test_curves_of_several_seeds_stand_beside_codecs_too(
    make_run: Callable[..., Path], photos: Path, tmp_path: Path
) -> None:
    for seed in (0, 1):
        folder = evaluated(make_run(f"abcd123{seed}"), photos, psnr=(25 + seed, 31 + seed, 36 + seed))
        config = yaml.safe_load((folder / "config.yaml").read_text())
        (folder / "config.yaml").write_text(yaml.safe_dump(config | {"seed": seed}))

    assert main(["rd", "runs", "--anchors", "jpeg", "--out", str(tmp_path / "all.csv")]) == 0

    with open(tmp_path / "all.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 + 6
    assert float(rows[0]["psnr"]) == 25.5


def test_a_metric_that_the_run_lacks_is_said_before_anything_is_measured(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("measured")

    monkeypatch.setattr(pillow.PillowCodec, "code", never)

    assert main(["rd", "abcd", "--anchors", "jpeg", "--metric", "psnr-y"]) == 2
    assert "--metric: " in capsys.readouterr().err


@pytest.mark.parametrize("name", ["abcd", "abcd1234", "runs/abcd1234"])
def test_the_command_anchors_takes_what_names_a_run(run: Path, tmp_path: Path, name: str) -> None:
    assert main(["anchors", "--data", name, "--codecs", "jpeg", "--out", str(tmp_path / "jpeg.json")]) == 0

    written = json.loads((tmp_path / "jpeg.json").read_text())
    assert written["images"] == json.loads((run / "eval" / "rd_point.json").read_text())["images"] | {"name": "mine"}
    assert main(["anchors", "--data", name, "--codecs", "jpeg", "--limit", "1"]) == 2


def test_a_further_metric_is_measured_of_the_codecs_too(
    make_run: Callable[..., Path], photos: Path, tmp_path: Path
) -> None:
    evaluated(make_run("abcd1234"), photos, **{"psnr-y": (26, 32, 37)})

    arguments = ["rd", "abcd", "--anchors", "jpeg", "--metric", "psnr-y", "--out", str(tmp_path / "all.csv")]
    assert main(arguments) == 0

    with open(tmp_path / "all.csv", newline="") as file:
        assert all(row["psnr-y"] for row in csv.DictReader(file))


def test_a_picture_shows_all_and_the_second_time_nothing_is_coded(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["rd", "abcd", "--anchors", "jpeg,webp", "--out", str(tmp_path / "plot.svg")]
    assert main(command) == 0

    def never(*_: object) -> None:
        raise AssertionError("coded again")

    monkeypatch.setattr(pillow.PillowCodec, "code", never)
    assert main(command) == 0
    assert (tmp_path / "plot.svg").stat().st_size > 0


def test_the_anchor_of_bd_rates_may_be_one_of_them(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rd", "abcd", "--anchors", "jpeg,webp", "--baseline", "webp"]) == 0

    out = capsys.readouterr().out
    assert "against webp, psnr" in out
    assert "against jpeg" not in out
