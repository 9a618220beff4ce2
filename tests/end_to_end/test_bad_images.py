"""Images of every kind: what can be trained on is, and what cannot is named before training."""

import os
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from toy_attempts import STEPS, go, only_run

from lic_exp import exit_codes
from lic_exp.runs import attempt_record


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch, toy_folder):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(attempt_record, "record_environment", lambda *arguments: {})  # half of the time it takes


def photo(path, mode="RGB", side=96, **options):
    values = np.random.default_rng(len(str(path.name))).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    image = Image.fromarray(values).resize((side, side), Image.Resampling.BICUBIC)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    elif mode == "P":
        image = image.convert("P", palette=Image.Palette.ADAPTIVE)
    else:
        image = image.convert(mode)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


@pytest.fixture
def data(tmp_path):
    """Overrides for a folder of one good training image and one good validation image."""
    photo(tmp_path / "images" / "train" / "good.png")
    photo(tmp_path / "images" / "val" / "other_good.png")
    paths = (f"data.train=[{tmp_path}/images/train]", f"data.val=[{tmp_path}/images/val]")
    return (
        "data=folder",
        *paths,
        "data.crop_size=64",
        "data.batch_size=2",
        "data.num_workers=0",
        "data.steps_per_epoch=3",
    )


def test_a_missing_folder(data, tmp_path, capfd):
    assert go(*data, f"data.train=[{tmp_path}/images/trian]") == exit_codes.CONFIG
    assert (
        f"1. data: {tmp_path}/images/trian does not exist; did you mean {tmp_path}/images/train?"
        in capfd.readouterr().err
    )
    assert not Path("runs").exists()


def test_an_empty_folder(data, tmp_path, capfd):
    (tmp_path / "empty").mkdir()
    assert go(*data, f"data.val=[{tmp_path}/empty]") == exit_codes.CONFIG
    said = capfd.readouterr().err
    assert f"1. data: {tmp_path}/empty holds no image (.png .jpg " in said
    assert f"{tmp_path}/empty holds nothing" in said
    assert not Path("runs").exists()


def text_named_png(path):
    path.with_suffix(".png").write_text("I am a text.")


def truncated_jpeg(path):
    photo(path.with_suffix(".jpg"), side=256)
    path.with_suffix(".jpg").write_bytes(path.with_suffix(".jpg").read_bytes()[:-500])


def too_small(path):
    photo(path.with_suffix(".png"), side=60)


def another_format(path):
    path.with_suffix(".png").write_bytes((b"DDS " + struct.pack("<I", 124)).ljust(128, b"\0"))


BAD = {
    "text": (text_named_png, "bad.png is not an image, whatever its suffix says"),
    "truncated": (truncated_jpeg, "bad.jpg cannot be decoded: image file is truncated"),
    "small": (too_small, "bad.png is 60 x 60 pixels, smaller than the 64 needed"),
    "another format": (another_format, "bad.png cannot be decoded: "),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_image_is_an_error_before_training(data, tmp_path, bad, capfd):
    make, message = BAD[bad]
    make(tmp_path / "images" / "train" / "bad")
    assert go(*data) == exit_codes.CONFIG
    said = capfd.readouterr().err
    assert message in said
    assert "data.preflight=skip" in said
    assert not Path("runs").exists()


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_image_may_be_skipped_and_counted(data, tmp_path, bad, capfd):
    BAD[bad][0](tmp_path / "images" / "train" / "bad")
    assert go(*data, "data.preflight=skip") == exit_codes.DONE
    assert "left out 1 training and 0 validation images" in only_run().log.read_text()
    said = capfd.readouterr().err
    assert said.count("warning: left out 1 training and 0 validation images: artifacts/preflight.json (bad.") == 1


@pytest.mark.parametrize("workers", [0, 1])
def test_a_bad_image_that_was_not_looked_for_is_named_when_it_is_met(data, tmp_path, capfd, workers):
    truncated_jpeg(tmp_path / "images" / "train" / "bad")
    code = go(*data, "data.preflight=off", "trainer.try_step=false", f"data.num_workers={workers}")
    assert code == exit_codes.FAILED
    said = capfd.readouterr().err
    assert f"{tmp_path}/images/train/bad.jpg cannot be decoded: image file is truncated" in said
    assert "Traceback" not in said
    assert only_run().status()["state"] == "failed"


def test_pixels_of_every_kind_are_trained_on(data, tmp_path):
    train = tmp_path / "images" / "train"
    (train / "good.png").unlink()
    for mode, suffix in (("I;16", "png"), ("CMYK", "jpg"), ("P", "png"), ("RGBA", "png"), ("L", "jpg"), ("LA", "png")):
        photo(train / f"{mode.replace(';', '')}.{suffix}", mode)
    assert go(*data) == exit_codes.DONE
    losses = [entry["train/loss"] for entry in only_run().metrics() if "train/loss" in entry]
    assert len(losses) == STEPS
    assert all(np.isfinite(losses))


def test_links_pipes_and_other_suffixes_beside_the_images(data, tmp_path):
    """Each image once; what is passed over is in the log and the artifacts, and a pattern has it read."""
    train = tmp_path / "images" / "train"
    photo(train / "sub" / "more.gif", "P")
    (train / "sub" / "up").symlink_to("..")
    os.mkfifo(train / "pipe.png")
    assert go(*data) == exit_codes.DONE
    run = only_run()
    for place in (run.log.read_text(), (run.artifacts / "preflight.json").read_text()):
        assert place.count("were passed over: 1 .gif; name ") == 1
        assert place.count("1 folders were passed over, which links give another name: sub/up (is train)") == 1
        assert place.count("1 files were passed over that are no regular ones: pipe.png") == 1
    assert go(*data, f"data.train=[{train},'{train}/*.gif']", "paths.runs=more") == exit_codes.DONE
    assert only_run("more").signature != run.signature
    assert "passed over: 1 .gif" in only_run("more").log.read_text(), "the folder itself still has them"
