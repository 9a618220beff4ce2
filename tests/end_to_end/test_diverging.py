"""Runs with the inter-scale term: a model without scales, one that diverges, and both stages to the end."""

import pytest
import toy
from commands import QUICK

from lic_exp import exit_codes
from lic_exp.cli.launch import main
from lic_exp.tracking import names
from lic_exp.tracking.run_folder import RunFolder

PYRAMID = (f"plugins=[{toy.NAME}]", "model=toy_pyramid", "data.batch_size=2", "data.crop_size=32")
EVERY_STEP = ("trainer.log_every_steps=1", "spectral_reg.guard_every_steps=2")


def start(folder, monkeypatch, *overrides):
    """Exit code and the run folders made."""
    monkeypatch.chdir(folder)
    code = main([*QUICK, *overrides])
    return code, [RunFolder(config.parent) for config in folder.glob("runs/*/config.yaml")]


def test_a_model_of_one_latent_is_refused_at_the_start(tmp_path, monkeypatch, capfd):
    code, runs = start(tmp_path, monkeypatch, "model=hyperprior_tiny", "spectral_reg=inter")
    assert (code, runs) == (exit_codes.CONFIG, [])
    assert "needs at least 2 latents; this model has 1" in capfd.readouterr().err


@pytest.mark.usefixtures("toy_folder")
def test_a_run_that_diverges_says_by_what_and_when(tmp_path, monkeypatch, capfd):
    changes = ("spectral_reg.start=2", "spectral_reg.unit=step", "trainer.max_steps=20")
    changes += ("spectral_reg.guard_std_factor=1e-3", "spectral_reg.guard_std_floor=1e-9")
    code, (run,) = start(tmp_path, monkeypatch, *PYRAMID, "spectral_reg=inter", *changes, *EVERY_STEP)
    status = run.status()
    assert code == exit_codes.DIVERGED
    assert (status["state"], status["step"]) == ("diverged", 2)
    assert status["reason"].startswith("diverged at step 2 by the inter-scale term: the deviation of latent 1 is ")
    assert status["reason"] in capfd.readouterr().err
    metrics = list(run.metrics())
    assert metrics[-1] | {names.TRAIN_DIVERGED: 1.0, "step": 2} == metrics[-1]
    assert names.latent_std(1) in metrics[0]
    assert "has no learned bias" in run.log.read_text()


@pytest.mark.usefixtures("toy_folder")
def test_both_stages_run_to_the_end(tmp_path, monkeypatch):
    changes = ("spectral_reg.intra.truncation_length=2", "spectral_reg.intra.truncation_unit=step")
    every = ("trainer.max_steps=5", "trainer.log_every_steps=1")
    code, (run,) = start(tmp_path, monkeypatch, *PYRAMID, "spectral_reg=both_cos", *changes, *every)
    assert (code, run.status()["state"]) == (exit_codes.DONE, "done")
    training = [entry for entry in run.metrics() if names.TRAIN_LOSS in entry]
    assert [entry[names.SPECTRAL_PHASE] for entry in training] == [1, 1, 2, 2, 2]
    assert [entry.get(names.train("spectral_reg_penalty"), 0) < 0 for entry in training] == [
        False,
        False,
        True,
        True,
        True,
    ]
    assert (run.artifacts / "radial_masks.png").exists()
