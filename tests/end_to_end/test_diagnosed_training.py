"""`evaluation.diagnosis` and `diagnose` from the command line: the same training, and what its scales contribute."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import QUICK

from lic_exp import exit_codes
from lic_exp.__main__ import main as lic_exp_main
from lic_exp.cli.launch import main
from lic_exp.evaluation.diagnosis_files import diagnoses_of, read_diagnosis
from lic_exp.runs import diagnosing
from lic_exp.runs.run import Run
from lic_exp.tracking.run_folder import RunFolder

SMALL = (
    *QUICK,
    "model=dhic_tiny",
    "data.crop_size=64",
    "data.batch_size=2",
    "data.val_crop_size=128",
    "data.val_limit=2",
    "trainer.max_steps=4",
    "trainer.validate_every_steps=2",
    "trainer.checkpoint_every_steps=2",
    "trainer.try_step=false",
)


def run_of(folder: Path, *overrides: str) -> Path:
    assert main([*SMALL, f"paths.runs={folder}", *overrides]) == exit_codes.DONE
    (run,) = folder.glob("[0-9a-f]*")
    return run


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return run_of(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    return run_of(tmp_path_factory.mktemp("seen"), "evaluation.diagnosis=2")


def numbers(run: Path) -> list[dict[str, float]]:
    timeless = ("time", "train/images_per_s")
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in timeless} for line in lines]


def test_the_training_is_the_same(plain, seen):
    assert plain.name == seen.name
    weights = [torch.load(run / "checkpoints/best.pt", weights_only=True)["codec"] for run in (plain, seen)]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    assert numbers(plain) == numbers(seen)
    assert not (plain / "diagnosis").exists()


def test_every_validation_leaves_a_diagnosis_of_what_it_judged(seen):
    files = dict(diagnoses_of(RunFolder(seen)))
    assert list(files) == [2, 4]
    validated = {line["step"]: line for line in numbers(seen) if "val/rd_loss" in line}
    for step, path in files.items():
        found = read_diagnosis(path)
        assert found.about["step"] == step
        assert found.about["qualities"] == [0.0, 31.5, 63.0]
        assert found.about["sent"] == ["z1", "z2", "z3", "z4"]
        assert len(found.about["images"]) == 2
        assert found.about["code"] == json.loads((seen / "status.json").read_text())["code"][-1]
        # Of the lowest and the highest rate the validation has told the rate, and PSNR before rounding to 8 bits.
        for rate, quality in ((0, 0), (2, 63)):
            bpp = found.bpp[rate].sum(-1).mean()
            assert bpp == pytest.approx(validated[step][f"val/bpp_loss_q{quality}"], rel=1e-5)
            psnr = (-10 * np.log10(found.mse[rate, :, -1])).mean()
            assert psnr == pytest.approx(validated[step][f"val/psnr_q{quality}"], abs=0.05)


def test_a_training_that_goes_on_makes_the_later_ones_anew(seen, tmp_path, monkeypatch):
    """Of a step that the run has not come to any more, none is left; other files of the folder stay."""
    run = RunFolder(tmp_path / seen.name)
    run.create()
    run.make(run.diagnosis)
    for name in ("step_00000002.npz", "step_00000004.npz", "step_00000010.npz", "best.npz", "step_x.npz"):
        (run.diagnosis / name).write_bytes(b"")
    diagnosing.drop_diagnoses(run, after=2)
    assert sorted(path.name for path in run.diagnosis.iterdir()) == ["best.npz", "step_00000002.npz", "step_x.npz"]
    diagnosing.drop_diagnoses(RunFolder(tmp_path / "nowhere"), after=0)


def test_a_diagnosis_that_fails_is_no_failure_of_the_run(plain, tmp_path, monkeypatch, caplog):
    def fail(*args, **options):
        raise RuntimeError("no room")

    monkeypatch.setattr(diagnosing, "diagnose", fail)
    run = run_of(tmp_path, "evaluation.diagnosis=1")
    assert numbers(run) == numbers(plain)
    said = (run / "run.log").read_text()
    assert said.count("no diagnosis after step") == 2
    assert "RuntimeError: no room" in said


def test_diagnose_is_of_the_best_weights_on_any_images(seen, photos, capfd):
    best = torch.load(seen / "checkpoints/best.pt", weights_only=True)["step"]
    assert lic_exp_main(["diagnose", str(seen), "--images", "2"]) == exit_codes.DONE
    said = capfd.readouterr().out
    assert "4 scales of 2 images at 3 rates: " in said
    of_validation, own = read_diagnosis(dict(diagnoses_of(RunFolder(seen)))[best]), seen / "diagnosis/best.npz"
    found = read_diagnosis(own)
    assert found.about["step"] is None
    assert found.about["images"] == of_validation.about["images"]
    np.testing.assert_array_equal(found.bpp, of_validation.bpp)
    np.testing.assert_array_equal(found.products, of_validation.products)
    assert lic_exp_main(["diagnose", str(seen), "--data", str(photos / "val"), "--images", "1"]) == exit_codes.DONE
    (other,) = seen.glob("diagnosis/best_val-*.npz")
    assert read_diagnosis(other).about["data"] == str(photos / "val")
    assert read_diagnosis(other).products.shape[1] == 1


REFUSED = {
    "one latent": (
        ("model=hyperprior_tiny", "spectral_reg=none"),
        "evaluation.diagnosis=1: this model has one latent, so there are no scales to tell apart",
    ),
    "a negative number": (("evaluation.diagnosis=-1",), "evaluation.diagnosis"),
    "a word": (("evaluation.diagnosis=true",), "evaluation.diagnosis"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_diagnosed_is_refused_before_there_is_a_folder(case, tmp_path, capfd):
    overrides, words = REFUSED[case]
    line = [*SMALL, f"paths.runs={tmp_path / 'runs'}", "evaluation.diagnosis=1", *overrides]
    assert main(line) == exit_codes.CONFIG
    assert words in capfd.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_a_codec_without_partial_decodes_is_refused_too(tmp_path, toy_folder, capfd):
    line = [*SMALL, f"paths.runs={tmp_path / 'runs'}", "plugins=[toy_codecs]", "model=toy_pyramid", "criterion=mse"]
    assert main([*line, "evaluation.diagnosis=1"]) == exit_codes.CONFIG
    assert "evaluation.diagnosis=1: Pyramid has 2 latents, but defines no `partial`" in capfd.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_diagnose_says_why_not(tmp_path, seen, capfd):
    assert lic_exp_main(["diagnose", str(seen), "--data", str(tmp_path / "nowhere")]) == exit_codes.CONFIG
    assert "nowhere" in capfd.readouterr().err
    for number in ("0", "x"):
        with pytest.raises(SystemExit) as ended:
            lic_exp_main(["diagnose", str(seen), "--images", number])
        assert ended.value.code == exit_codes.CONFIG
    assert list(Run(seen).files.diagnosis.glob("*nowhere*")) == []
