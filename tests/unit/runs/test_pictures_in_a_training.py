"""When a regularizer's pictures are drawn: no first step waits for them, and no random number changes by them."""

import json
import random
from contextlib import nullcontext

import pytest
import torch
from commands import QUICK

from lic_exp import exit_codes
from lic_exp.cli.launch import main
from lic_exp.divergence import DivergedError
from lic_exp.runs.train import draw_regularizers
from lic_exp.spectral_reg.intra_scale import IntraScale
from lic_exp.tracking.run_folder import RunFolder
from lic_exp.training.trainer import Trainer

SMALL = (
    *("model=factorized_tiny", "spectral_reg=intra", "spectral_reg.truncation_length=1", *QUICK),
    *("trainer.max_steps=4", "trainer.log_every_steps=1", "trainer.validate_every_steps=2"),
    *("data.batch_size=1", "data.crop_size=64", "data.height=64", "data.width=64"),
)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def drawn(monkeypatch):
    """How many lines of metrics there were whenever pictures were drawn. Drawing takes random numbers."""
    seen = []

    def write_pictures(self, photo, folder):
        seen.append(len((folder.parent / "metrics.jsonl").read_text().splitlines()))
        assert photo.shape[0] == 3
        torch.rand(3), random.random()
        (folder / "own.png").write_bytes(b"")
        return [folder / "own.png"]

    monkeypatch.setattr(IntraScale, "write_pictures", write_pictures)
    return seen


def logged(place):
    (file,) = place.glob("*/metrics.jsonl")
    lines = map(json.loads, file.read_text().splitlines())
    return [{key: value for key, value in line.items() if key not in ("time", "train/images_per_s")} for line in lines]


def test_pictures_are_drawn_with_the_first_validation_and_change_no_number(here, drawn, monkeypatch):
    assert main([*SMALL, "paths.runs=one"]) == exit_codes.DONE
    assert drawn == [3]
    monkeypatch.setattr(IntraScale, "write_pictures", lambda *_: [])
    assert main([*SMALL, "paths.runs=two"]) == exit_codes.DONE
    assert logged(here / "one") == logged(here / "two")


@pytest.mark.parametrize("error", [DivergedError("the loss is NaN", 1), RuntimeError("out of memory")])
def test_a_training_that_ends_before_has_them_too(here, drawn, monkeypatch, error):
    fit = Trainer.fit

    def end(_):
        raise error

    monkeypatch.setattr(Trainer, "fit", end)
    assert main([*SMALL]) != exit_codes.DONE
    assert len(drawn) == 1
    monkeypatch.setattr(Trainer, "fit", fit)
    main([*SMALL])
    assert len(drawn) == 1  # an attempt that goes on finds them


def test_pictures_that_cannot_be_drawn_are_warned_of(here, monkeypatch):
    def fail(*_):
        raise ValueError("no canvas")

    monkeypatch.setattr(IntraScale, "write_pictures", fail)
    assert main([*SMALL]) == exit_codes.DONE
    (log,) = here.glob("runs/*/run.log")
    assert "pictures of the regularizer" in log.read_text()
    assert "no canvas" in log.read_text()


class Killed(BaseException):
    """What no handler of errors sees."""


@pytest.mark.parametrize("killed_at", [0, 1, 2, 3, None])
def test_an_attempt_that_was_killed_while_it_drew_is_made_whole(here, killed_at):
    """Two regularizers of two pictures each; drawing ends before one of the four."""
    made, left = [], [killed_at]

    class Drawing:
        def __init__(self, number):
            self.number = number

        def write_pictures(self, photo, folder):
            for place in (2 * self.number, 2 * self.number + 1):
                if place in left:
                    left.clear()
                    raise Killed
                made.append(place)
                (folder / f"picture_{place}.png").write_bytes(b"")

    class Two:
        def spectral_regularizers(self):
            return [Drawing(0), Drawing(1)]

    run = RunFolder(here / "run")
    run.create()
    images = [("photo", torch.zeros(1, 3, 8, 8))]
    with pytest.raises(Killed) if killed_at is not None else nullcontext():
        draw_regularizers(Two(), images, run)
    before = len(made)
    draw_regularizers(Two(), images, run)
    assert len(made) - before == (0 if killed_at is None else 4)
    draw_regularizers(Two(), images, run)
    assert len(made) - before == (0 if killed_at is None else 4)
    assert sorted(path.name for path in run.artifacts.iterdir()) == [f"picture_{place}.png" for place in range(4)]
