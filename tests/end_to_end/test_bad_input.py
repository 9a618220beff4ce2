"""Bad input of every kind: a clear error, an exit code, and nothing lost."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from copy import deepcopy
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import toy
import yaml
from checkout import ROOT
from commands import QUICK
from PIL import Image
from training_parts import unequal

from lic_exp.launching import execute, exit_codes
from lic_exp.launching.compose import compose
from lic_exp.launching.lock import run_lock
from lic_exp.launching.main import start
from lic_exp.launching.overrides import parse
from lic_exp.tracking.run_folder import RunFolder
from lic_exp.training.checkpoint import load_checkpoint
from lic_exp.training.trainer import Trainer

STEPS = 6
TOY = (
    *QUICK,
    f"plugins=[{toy.NAME}]",
    "model=toy",
    f"trainer.max_steps={STEPS}",
    "trainer.log_every_steps=1",
    "trainer.validate_every_steps=3",
    "trainer.checkpoint_every_steps=1",
)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch, toy_folder):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(execute, "record_environment", lambda run, arguments: {})  # half of the time it takes


@cache
def composed(overrides):
    return compose(parse([*TOY, *overrides]))


def go(*overrides):
    """What the command does once Hydra has handed over, in this process: its exit code."""
    return start(deepcopy(composed(overrides)), list(overrides))


def only_run(runs="runs"):
    (config,) = Path(runs).glob("*/config.yaml")
    return RunFolder(config.parent)


def go_until(step, monkeypatch, *overrides):
    """The command, told to stop as soon as the checkpoint of `step` is written; its run."""
    with monkeypatch.context() as patch:
        save = Trainer.save

        def save_and_signal(trainer):
            save(trainer)
            if trainer.step == step:
                signal.raise_signal(signal.SIGUSR2)

        patch.setattr(Trainer, "save", save_and_signal)
        assert go(*overrides) == exit_codes.PREEMPTED
    run = only_run()
    assert run.status()["state"] == "preempted"
    assert run.status()["step"] == step
    return run


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, toy_folder):
    """The run that nothing happened to."""
    folder = tmp_path_factory.mktemp("undisturbed")
    assert go(f"paths.runs={folder}") == exit_codes.DONE
    return only_run(folder)


def assert_same_end(run, undisturbed):
    for name in (f"step_{STEPS:08d}.pt", "best.pt"):
        states = [load_checkpoint(each.checkpoints / name) for each in (run, undisturbed)]
        # /recorded counts the bytes of metrics.jsonl, wall-clock numbers included.
        assert [path for path in unequal(*states) if path != "/recorded"] == []
    numbers = [
        [{k: v for k, v in entry.items() if k not in ("time", "train/images_per_s")} for entry in each.metrics()]
        for each in (run, undisturbed)
    ]
    assert numbers[0] == numbers[1]


# Images


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


BAD = {
    "text": (text_named_png, "bad.png is not an image, whatever its suffix says"),
    "truncated": (truncated_jpeg, "bad.jpg cannot be decoded: image file is truncated"),
    "small": (too_small, "bad.png is 60 x 60 pixels, smaller than the 64 needed"),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_image_is_an_error_before_training(data, tmp_path, bad, capfd):
    make, message = BAD[bad]
    make(tmp_path / "images" / "train" / "bad")
    assert go(*data) == exit_codes.CONFIG
    said = capfd.readouterr().err
    assert message in said
    assert "data.preflight=skip" in said
    run = only_run()
    assert run.status()["state"] == "failed"
    assert message in run.status()["reason"]
    assert not run.metrics_file.exists()


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_image_may_be_skipped_and_counted(data, tmp_path, bad):
    BAD[bad][0](tmp_path / "images" / "train" / "bad")
    assert go(*data, "data.preflight=skip") == exit_codes.DONE
    assert "left out 1 training and 0 validation images" in only_run().log.read_text()


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


# Output


@pytest.mark.parametrize("below", ["x", "x/y"])
def test_an_output_path_below_a_regular_file(tmp_path, capfd, below):
    file = tmp_path / "results"
    file.write_text("mine")
    assert go(f"paths.runs={file}/{below}") == exit_codes.CONFIG
    said = capfd.readouterr().err
    assert "1. paths.runs: " in said
    assert f"{file}" in said
    assert "Not a directory" in said
    assert "Traceback" not in said
    assert file.read_text() == "mine"


@pytest.mark.slow
def test_a_full_disk(monkeypatch, toy_folder):
    """Files of the next attempt may have a megabyte; a checkpoint of this codec is larger."""
    wide = "model.channels=4000"
    assert go(wide, "paths.runs=straight") == exit_codes.DONE
    run = go_until(3, monkeypatch, wide)
    before = {path.name: path.read_bytes() for path in run.checkpoints.iterdir()}
    assert max(map(len, before.values())) > 2**20
    limited = subprocess.run(
        [sys.executable, str(ROOT / "launch.py"), *TOY, wide],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(toy_folder)])},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert limited.returncode == exit_codes.FAILED, limited.stderr
    status = run.status()
    assert status["state"] == "failed"
    assert (
        status["reason"] == f"OSError: [Errno 27] File too large: 'runs/{run.signature}/checkpoints/step_00000004.pt'"
    )
    assert {path.name: path.read_bytes() for path in run.checkpoints.iterdir()} == before
    assert go(wide) == exit_codes.DONE
    assert "going on from step 3 of 6" in run.log.read_text()
    assert_same_end(run, only_run("straight"))


# Checkpoints


def test_a_foreign_checkpoint(monkeypatch, undisturbed, capfd):
    assert go("seed=1", "paths.runs=others") == exit_codes.DONE
    run, other = go_until(3, monkeypatch), only_run("others")
    foreign = run.checkpoints / "step_00000006.pt"
    shutil.copy(other.checkpoints / foreign.name, foreign)
    capfd.readouterr()
    assert go() == exit_codes.FAILED
    expected = f"{foreign} belongs to run {other.signature}, not to {run.signature}: it was copied here"
    said = capfd.readouterr().err
    assert expected in said
    assert "Traceback" not in said
    assert run.status()["state"] == "failed"
    assert expected in run.status()["reason"]
    foreign.unlink()
    assert go() == exit_codes.DONE
    assert_same_end(run, undisturbed)


def flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)


def truncated(path):
    path.write_bytes(path.read_bytes()[:-1000])


def a_text(path):
    path.write_text("I am a text.")


def emptied(path):
    path.write_bytes(b"")


class Bomb:
    def __reduce__(self):
        return os.system, ("touch executed",)


def with_code(path):
    state = torch.load(path, weights_only=True)
    torch.save({**state, "extra": Bomb()}, path)


DAMAGE = (flipped, truncated, a_text, emptied, with_code)


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_a_damaged_newest_checkpoint(monkeypatch, undisturbed, damage):
    run = go_until(4, monkeypatch)
    newest = run.checkpoints / "step_00000004.pt"
    damage(newest)
    assert go() == exit_codes.DONE
    log = run.log.read_text()
    assert f"{newest} is damaged" in log
    assert "; trying the checkpoint before it" in log
    assert "going on from step 3 of 6" in log
    assert not Path("executed").exists()
    assert_same_end(run, undisturbed)


def test_damage_everywhere(monkeypatch, undisturbed, capfd):
    run = go_until(4, monkeypatch)
    before = run.metrics_file.read_bytes()
    for path in run.checkpoints.iterdir():
        truncated(path)
    capfd.readouterr()
    assert go() == exit_codes.FAILED
    said = capfd.readouterr().err
    assert "no checkpoint can be read: " in said
    for step in (3, 4):
        assert f"step_{step:08d}.pt is damaged" in said
    assert run.status()["state"] == "failed"
    assert run.metrics_file.read_bytes() == before
    assert go("trainer.resume=never") == exit_codes.DONE
    assert_same_end(run, undisturbed)


# The config


def test_a_changed_config_is_another_run(monkeypatch, undisturbed):
    run = go_until(3, monkeypatch)
    before = {path: path.read_bytes() for path in run.root.rglob("*") if path.is_file()}
    assert go("optimizer.lr=1e-3") == exit_codes.DONE
    assert len(list(Path("runs").glob("*/config.yaml"))) == 2
    assert {path: path.read_bytes() for path in run.root.rglob("*") if path.is_file()} == before
    assert go() == exit_codes.DONE
    assert_same_end(run, undisturbed)


def test_an_edited_config_in_the_folder_is_not_what_runs(monkeypatch, undisturbed):
    """The folder's name is that of the config; the file is written anew."""
    run = go_until(3, monkeypatch)
    before = run.config.read_text()
    edited = yaml.safe_load(before)
    edited["optimizer"]["lr"] = 1.0
    run.config.write_text(yaml.safe_dump(edited))
    assert go() == exit_codes.DONE
    assert run.config.read_text() == before
    assert_same_end(run, undisturbed)


def test_what_is_not_part_of_the_identity_may_change(monkeypatch, undisturbed):
    run = go_until(3, monkeypatch)
    assert go("data.num_workers=1", "name=later", "trainer.try_step=false") == exit_codes.DONE
    assert run.status()["name"] == "later"
    assert_same_end(run, undisturbed)


def test_never_starts_over(monkeypatch, undisturbed):
    run = go_until(3, monkeypatch)
    assert go("trainer.resume=never") == exit_codes.DONE
    assert not run.log.exists() or "going on from" not in run.log.read_text()
    assert run.status()["attempt"] == 2
    assert_same_end(run, undisturbed)


def test_must_needs_a_checkpoint(monkeypatch, undisturbed, capfd):
    assert go("trainer.resume=must") == exit_codes.CONFIG
    assert "trainer.resume=must: run " in capfd.readouterr().err
    run = go_until(3, monkeypatch)
    assert go("trainer.resume=must") == exit_codes.DONE
    assert_same_end(run, undisturbed)


def test_two_processes_on_one_run(monkeypatch, undisturbed, capfd):
    run = go_until(3, monkeypatch)
    before = {path: path.read_bytes() for path in run.root.rglob("*") if path.is_file()}
    capfd.readouterr()
    with run_lock(run):
        assert go() == exit_codes.BUSY
        assert go("trainer.resume=never") == exit_codes.BUSY
    said = capfd.readouterr().err
    assert f"run {run.signature} is being trained by process {os.getpid()} on {os.uname().nodename} (step 3)" in said
    assert {path: path.read_bytes() for path in run.root.rglob("*") if path.is_file()} == before
    assert go() == exit_codes.DONE
    assert_same_end(run, undisturbed)


def test_a_torn_line_of_metrics_is_written_anew(monkeypatch, undisturbed):
    run = go_until(3, monkeypatch)
    with open(run.metrics_file, "a") as file:
        file.write('{"step": 4, "train/lo')
    assert go() == exit_codes.DONE
    assert [json.loads(line)["step"] for line in run.metrics_file.read_text().splitlines()][-1] == STEPS
    assert_same_end(run, undisturbed)
