"""Images that change while a run works with them are noticed before it is done, and named."""

import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from toy_attempts import STEPS, go, only_run

from lic_exp import exit_codes
from lic_exp.__main__ import main
from lic_exp.runs import attempt_record
from lic_exp.runs import evaluate as evaluating
from lic_exp.runs.run import Run
from lic_exp.training.trainer import Trainer


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch, toy_folder):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(attempt_record, "record_environment", lambda *arguments: {})  # half of the time it takes


def put(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(values).resize((96, 80), Image.Resampling.BICUBIC).save(path)


@pytest.fixture
def images(tmp_path):
    """Folders train (a.png, b.png), val (c.png) and test (d.png)."""
    for seed, name in enumerate(("train/a", "train/b", "val/c", "test/d")):
        put(tmp_path / "images" / f"{name}.png", seed)
    return tmp_path / "images"


@pytest.fixture
def data(images):
    return (
        "data=folder",
        f"data.train=[{images}/train]",
        f"data.val=[{images}/val]",
        "evaluation.enabled=true",
        f"evaluation.data={images}/test",
        "data.crop_size=64",
        "data.batch_size=2",
        "data.num_workers=0",
        "data.steps_per_epoch=3",
    )


def touched(path):
    os.utime(path, ns=(1, 1))


def written_again(path):
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)


def replaced(path):
    put(path, 99)


def deleted(path):
    path.unlink()


def added(path):
    put(path.with_name("x_new.png"), 98)


def renamed(path):
    path.rename(path.with_name("y_renamed.png"))


def at_the_last_step(monkeypatch, act):
    save = Trainer.save

    def save_and_act(trainer):
        save(trainer)
        if trainer.step == STEPS:
            act()

    monkeypatch.setattr(Trainer, "save", save_and_act)


def at_the_end(monkeypatch, act):
    evaluate = evaluating.evaluate

    def after_the_act(*arguments, **options):
        found = evaluate(*arguments, **options)
        act()
        return found

    monkeypatch.setattr(evaluating, "evaluate", after_the_act)


def evaluation_of(run):
    return json.loads((run.eval / "evaluation.json").read_text())


CHANGES = {
    "train replaced": ("train/b.png", replaced, ["train/b.png changed"]),
    "train renamed": ("train/b.png", renamed, ["train/b.png is gone", "train/y_renamed.png is new"]),
    "train added": ("train/b.png", added, ["train/x_new.png is new"]),
    "val replaced": ("val/c.png", replaced, ["val/c.png changed"]),
    "val gone": ("val", shutil.rmtree, ["val does not exist"]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_images_that_change_fail_the_run_by_name(data, images, monkeypatch, change, capfd):
    place, act, named = CHANGES[change]
    before = shutil.copytree(images, images.with_name("kept"))
    with monkeypatch.context() as patch:
        at_the_last_step(patch, lambda: act(images / place))
        assert go(*data) == exit_codes.FAILED
    said, run = capfd.readouterr().err, only_run()
    assert "Traceback" not in said
    assert run.status()["state"] == "failed"
    for name in named:
        assert f"{images}/{name}" in said
        assert f"{images}/{name}" in run.status()["reason"]
        assert any(f"{images}/{name}" in text for text in evaluation_of(run)["images_changed"])
    assert len(list(run.checkpoints.glob("step_*.pt"))) == 2
    assert (run.checkpoints / "best.pt").exists()
    assert "evaluation" not in evaluation_of(run), "it counts as nobody's"
    assert Run(run.root).evaluation.empty
    assert {path.name for path in run.eval.iterdir()} >= {"images_changed.csv", "rd_point_changed.json"}

    if change == "val replaced":
        shutil.rmtree(images)
        before.rename(images)
        assert go(*data) == exit_codes.FAILED, "whoever puts them back has trained on others all the same"
        assert "images changed while it trained earlier: " in capfd.readouterr().err
        assert go(*data, "trainer.resume=never") == exit_codes.DONE
        assert "images_changed" not in evaluation_of(run)
        assert not Run(run.root).evaluation.empty
        assert not list(run.eval.glob("*_changed*"))


@pytest.mark.parametrize("act", [touched, written_again])
def test_what_holds_what_it_held_has_not_changed(data, images, monkeypatch, act):
    def everywhere():
        for name in ("train/a", "train/b", "val/c", "test/d"):
            act(images / f"{name}.png")

    at_the_last_step(monkeypatch, everywhere)
    assert go(*data) == exit_codes.DONE
    assert "images_changed" not in evaluation_of(only_run())


@pytest.mark.parametrize(("when", "act"), [(at_the_last_step, replaced), (at_the_end, added)])
def test_evaluation_images_that_change_fail_the_run_and_only_them(data, images, monkeypatch, act, when, capfd):
    with monkeypatch.context() as patch:
        when(patch, lambda: act(images / "test/d.png"))
        assert go(*data) == exit_codes.FAILED
    run = only_run()
    assert f"images changed while the run worked with them: {images}/test/" in capfd.readouterr().err
    (marked,) = run.eval.rglob("evaluation.json")
    assert json.loads(marked.read_text())["images_changed"]
    assert "evaluation" not in json.loads(marked.read_text())
    assert go(*data) == exit_codes.DONE, "what was trained is right"
    assert "images_changed" not in evaluation_of(run)
    assert run.status()["attempt"] == 2


@pytest.mark.parametrize("suffix", ["bmp", "ppm"])
def test_a_change_in_the_midst_of_a_file_is_noticed(data, images, monkeypatch, suffix, capfd):
    """Which has the same size, the same ends, and so the same fingerprint."""
    path = images / "train" / f"e.{suffix}"
    put(path, 5)

    def edit():
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(content)

    at_the_last_step(monkeypatch, edit)
    assert go(*data) == exit_codes.FAILED
    assert f"{path} changed." in capfd.readouterr().err


def test_many_changes_are_counted(data, images, monkeypatch, capfd):
    at_the_last_step(monkeypatch, lambda: [put(images / f"train/new{i:02}.png", i) for i in range(30)])
    assert go(*data) == exit_codes.FAILED
    said = capfd.readouterr().err
    assert said.count(" is new") == 20
    assert ", and 10 more" in said
    assert len(json.loads((only_run().artifacts / "images_changed.json").read_text())) == 30


@pytest.mark.parametrize("separate", [True, False])
def test_an_evaluation_alone_says_that_its_images_changed(data, images, monkeypatch, separate, capfd):
    assert go(*data, "evaluation.enabled=false") == exit_codes.DONE
    run = only_run()
    chosen = [*data, *([] if separate else ["evaluation.data=null"])]
    path = images / ("test/d.png" if separate else "val/c.png")
    with monkeypatch.context() as patch:
        at_the_end(patch, lambda: (images / "train/b.png").touch() or replaced(path))
        assert go(*chosen) == exit_codes.FAILED
    assert f"images changed while they were evaluated: {path} changed" in capfd.readouterr().err
    assert run.status()["state"] == "done"
    assert evaluation_of(run)["images_changed"] == [f"{path} changed"]
    assert "evaluation" not in evaluation_of(run)


@pytest.mark.parametrize("act", [replaced, deleted])
def test_evaluating_once_more_marks_results_whose_images_changed(data, images, monkeypatch, act, tmp_path, caplog):
    assert go(*data, "evaluation.enabled=false") == exit_codes.DONE
    command = ["eval", only_run().signature, "--data", f"{images}/train", "--out", str(tmp_path / "out")]
    with monkeypatch.context() as patch:
        at_the_end(patch, lambda: act(images / "train/b.png"))
        assert main(command) == exit_codes.FAILED
    assert f"images changed while they were evaluated: {images}/train/b.png" in caplog.text
    assert len(json.loads(Path("out/evaluation.json").read_text())["images_changed"]) == 1
    assert main(command) == exit_codes.DONE
    assert "images_changed" not in json.loads(Path("out/evaluation.json").read_text())


def test_a_run_that_stops_with_changed_images_has_not_merely_stopped(data, images, monkeypatch, capfd):
    """Or, once they are put back, nobody would know what it was trained on."""
    before = (images / "train/b.png").read_bytes()
    save = Trainer.save

    def save_and_stop(trainer):
        save(trainer)
        if trainer.step == 1:
            replaced(images / "train/b.png")
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "save", save_and_stop)
        assert go(*data) == exit_codes.FAILED
    assert only_run().status()["state"] == "failed"
    (images / "train/b.png").write_bytes(before)
    assert go(*data) == exit_codes.FAILED
    assert "images changed while it trained earlier" in capfd.readouterr().err
