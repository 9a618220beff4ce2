"""When a run's complexity is counted: no first step waits for it, and no ending leaves it out."""

import pytest
from commands import QUICK

from lic_exp import exit_codes
from lic_exp.cli.launch import main
from lic_exp.divergence import DivergedError
from lic_exp.runs import train
from lic_exp.training.trainer import Trainer

SMALL = ("model=factorized_tiny", *QUICK, "trainer.max_steps=2", "trainer.log_every_steps=1")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_first_steps_are_made_before(here, monkeypatch):
    logged = []

    def record(codec, run):
        logged.append(len(run.metrics_file.read_text().splitlines()))

    monkeypatch.setattr(train, "record_complexity", record)
    assert main([*SMALL]) == exit_codes.DONE
    assert [lines >= 2 for lines in logged] == [True]


@pytest.mark.parametrize("error", [DivergedError("the loss is NaN", 1), RuntimeError("out of memory")])
def test_a_training_that_ends_early_has_its_complexity_too(here, monkeypatch, error):
    def fit(_):
        raise error

    monkeypatch.setattr(Trainer, "fit", fit)
    assert main([*SMALL]) != exit_codes.DONE
    assert list(here.glob("runs/*/complexity.json"))
