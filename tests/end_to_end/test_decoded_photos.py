"""A training on photos ends with the same bits whether they are kept decoded, decoded each time, or lost in between."""

import shutil
from pathlib import Path

import pytest
from toy_attempts import STEPS, assert_same_weights, go, only_run

from lic_exp import exit_codes
from lic_exp.data.images import ImageRef
from lic_exp.runs import attempt_record
from lic_exp.training.preempted import Preempted
from lic_exp.training.trainer import Trainer


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch, toy_folder):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(attempt_record, "record_environment", lambda *arguments: {})  # half of the time it takes


@pytest.fixture
def data(photos):
    return (
        "data=folder",
        f"data.train=[{photos}/train]",
        f"data.val=[{photos}/val]",
        "data.crop_size=64",
        "data.batch_size=2",
        "data.num_workers=0",
        "data.steps_per_epoch=3",
    )


@pytest.fixture
def decodings(monkeypatch):
    """Names of the images that were decoded since the test began."""
    seen, decoded = [], ImageRef.decoded
    monkeypatch.setattr(ImageRef, "decoded", lambda image, data: seen.append(image.name) or decoded(image, data))
    return seen


def kept():
    return [path for path in Path("cache").rglob("photos/*") if path.is_file()]


def damage():
    for path in kept():
        path.write_bytes(path.read_bytes()[:-9] + b"not these")


def removed():
    shutil.rmtree("cache/lic_exp/pixels_1")


AFTERWARDS = {
    "kept": (lambda: None, 100),
    "removed": (removed, 100),
    "damaged": (damage, 100),
    "switched off": (lambda: None, 0),
}


@pytest.mark.parametrize("case", AFTERWARDS)
def test_a_resumed_run_is_the_one_that_never_stopped(data, monkeypatch, case):
    between, store_mb = AFTERWARDS[case]
    assert go(*data, "data.store_mb=0", "paths.runs=plain") == exit_codes.DONE
    assert kept() == []
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_stop_if_asked", lambda of: stop(of) if of.step == STEPS // 2 else None)
        assert go(*data, "data.store_mb=100") == exit_codes.PREEMPTED
    assert kept()
    between()
    assert go(*data, f"data.store_mb={store_mb}") == exit_codes.DONE
    assert only_run().root.name == only_run("plain").root.name, "what is kept where is no part of a run's name"
    assert_same_weights(only_run("plain"), only_run())


def stop(trainer):
    trainer.save()
    raise Preempted("the test asks for it")


def test_photos_are_decoded_once_for_the_look_the_training_and_the_next_run(data, decodings):
    for seed in range(2):
        assert go(*data, "evaluation.enabled=false", f"seed={seed}", f"paths.runs=runs_{seed}") == exit_codes.DONE
    assert sorted(decodings) == sorted({*decodings})
    assert len(kept()) == len(decodings) == 4


def test_a_cache_that_cannot_be_written_is_said_once_in_the_run_s_log(data):
    Path("cache").write_text("no folder")
    assert go(*data) == exit_codes.DONE
    log = (only_run().root / "run.log").read_text()
    assert log.count("takes no more decoded photos: Not a directory. The others are decoded each time") == 1
