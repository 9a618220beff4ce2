"""The commands on runs that were really trained: extend, export, eval so far, and what a running process forbids."""

import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch
import toy
import yaml
from checkout import ROOT
from commands import QUICK, called, finish, start
from compressai import models as zoo

from lic_exp import exit_codes
from lic_exp.__main__ import main as command
from lic_exp.cli.launch import main
from lic_exp.config.loading import with_values
from lic_exp.runs.build import build_codec
from lic_exp.runs.run import Run, find_run
from lic_exp.training.checkpoint import load_checkpoint

# Steps that end on a validation, so that a run of 10 steps has one at step 6 as well.
TRAINED = (
    *QUICK,
    "model=hyperprior_tiny",
    "optimizer=adam",
    "scheduler=constant",
    "trainer.ema_decay=0.9",
    "trainer.log_every_steps=1",
    "trainer.validate_every_steps=2",
)


def run_of(folder: Path, steps: int) -> Run:
    (run,) = (Run(path) for path in folder.glob("runs/*/") if Run(path).config.trainer.max_steps == steps)
    return run


def checkpoint(run: Run, steps: int) -> dict:
    return load_checkpoint(run.files.checkpoints / f"step_{steps:08d}.pt")


@pytest.fixture(scope="module")
def six(tmp_path_factory):
    """The working folder in which a run of six steps was trained."""
    folder = tmp_path_factory.mktemp("six")
    done = called("launch.py", *TRAINED, "trainer.max_steps=6", folder=folder)
    assert done.returncode == exit_codes.DONE, done.stderr
    return folder


@pytest.fixture(scope="module")
def ten(six):
    """The run of six steps, extended to ten."""
    parent = run_of(six, 6)
    done = called("lic_exp", "extend", parent.signature[:6], "trainer.max_steps=10", folder=six)
    assert done.returncode == exit_codes.DONE, done.stderr
    assert f"extending run {parent.signature} from step 6 to 10" in done.stderr
    return run_of(six, 10)


@pytest.fixture
def here(six, monkeypatch):
    """The signature of the run of six steps, in its working folder."""
    monkeypatch.chdir(six)
    return run_of(six, 6).signature


@pytest.fixture
def copied(six, tmp_path, monkeypatch):
    """A copy of the run of six steps, to be changed, in a working folder of its own."""
    shutil.copytree(run_of(six, 6).folder, tmp_path / "runs" / run_of(six, 6).signature)
    monkeypatch.chdir(tmp_path)
    return run_of(tmp_path, 6)


# extend


def test_an_extended_run_has_the_bits_of_one_that_was_as_long_from_the_start(ten, tmp_path):
    done = called("launch.py", *TRAINED, "trainer.max_steps=10", folder=tmp_path)
    assert done.returncode == exit_codes.DONE, done.stderr
    extended, whole = checkpoint(ten, 10), checkpoint(run_of(tmp_path, 10), 10)
    for part in ("codec", "ema"):
        assert extended[part].keys() == whole[part].keys()
        assert [key for key in whole[part] if not torch.equal(extended[part][key], whole[part][key])] == []
    assert extended["best"] == whole["best"]
    best = [load_checkpoint(run.files.checkpoints / "best.pt") for run in (ten, run_of(tmp_path, 10))]
    assert best[0]["step"] == best[1]["step"]


def test_an_extended_run_records_its_parent_and_its_own_steps(ten, here):
    assert ten.config.parent == ten.status["parent"] == here
    assert [entry["step"] for entry in ten.files.metrics() if "train/loss" in entry] == [7, 8, 9, 10]


def test_extending_again_finds_it_done(ten, here, capfd):
    assert command(["extend", here, "trainer.max_steps=10", "name=longer", "data.num_workers=1"]) == exit_codes.DONE
    assert f"run {ten.signature} is done already; nothing was started." in capfd.readouterr().err


def test_the_recorded_overrides_are_the_direct_command_of_the_same_run(ten, here, capfd):
    overrides = json.loads(ten.files.environment.read_text())["overrides"]
    assert f"parent='{here}'" in overrides
    assert main(overrides) == exit_codes.DONE
    assert f"run {ten.signature} is done already" in capfd.readouterr().err


def test_the_name_of_a_command_line_is_that_of_its_run(here, capfd):
    assert command(["signature", *TRAINED, "trainer.max_steps=6"]) == exit_codes.DONE
    assert capfd.readouterr().out == f"{here}\n"


def test_a_direct_command_extends(copied, capfd):
    parent = f"parent='{copied.signature}'"
    assert main([*TRAINED, "trainer.max_steps=8", parent]) == exit_codes.DONE
    assert "from step 6 to 8" in capfd.readouterr().err
    assert run_of(Path.cwd(), 8).status["step"] == 8


@pytest.mark.parametrize(
    ("overrides", "messages"),
    [
        (["trainer.max_steps=6"], ["trainer.max_steps=6: must be greater than the parent's 6"]),
        (
            ["trainer.max_steps=null", "trainer.max_epochs=9"],
            ["the parent is trainer.max_steps=6 long: extend it by trainer.max_steps"],
        ),
        (
            ["trainer.max_steps=10", "optimizer.lr=1e-3", "seed=3"],
            [
                "optimizer.lr=0.001: an extension goes on as its parent was trained, with optimizer.lr=0.0001",
                "seed=3: an extension",
                "model.weights=runs/",
            ],
        ),
        (
            ["trainer.max_steps=10", "model=factorized_tiny"],
            ["model=factorized: an extension goes on", "with model=hyperprior"],
        ),
        (["trainer.max_steps=10", "trainer.max_stepz=1"], ["Did you mean trainer.max_steps?"]),
        (["trainer.max_steps=10,12"], ["several values"]),
        (["max_steps"], ["An override has the form key=value"]),
        (["debug=limit"], ["debug cannot be chosen for an extension"]),
        (["trainer.max_steps=10", "paths.runs=elsewhere"], ["there is no run of this signature in elsewhere"]),
    ],
)
def test_what_extend_refuses(here, capfd, overrides, messages):
    before = sorted(Path("runs").iterdir())
    assert command(["extend", here, *overrides]) == exit_codes.CONFIG
    said = capfd.readouterr().err
    for message in messages:
        assert message in said
    assert sorted(Path("runs").iterdir()) == before


def test_a_direct_command_is_refused_in_the_same_words(here, capfd):
    wrong = ["trainer.max_steps=9", "optimizer.lr=1e-3"]
    assert main([*TRAINED, *wrong, f"parent='{here}'"]) == exit_codes.CONFIG
    assert "optimizer.lr=0.001: an extension goes on as its parent was trained" in capfd.readouterr().err
    assert main([*TRAINED, "trainer.max_steps=9", f"parent='{here[:-1]}'"]) == exit_codes.CONFIG
    assert f"there is no run of this signature in runs. Did you mean {here}?" in capfd.readouterr().err


def test_only_a_finished_and_untouched_run_is_extended(copied, capfd):
    extend = ["extend", copied.signature, "trainer.max_steps=10"]
    copied.files.update_status(state="preempted")
    assert command(extend) == exit_codes.CONFIG
    assert "is preempted, not done: give its own command again" in capfd.readouterr().err
    copied.files.update_status(state="done")

    config = copied.files.config.read_text()
    copied.files.config.write_text(config.replace("image_seed: 0", "image_seed: 1"))
    assert command(extend) == exit_codes.CONFIG
    assert "are no longer what they were" in capfd.readouterr().err
    copied.files.config.write_text(config)

    copied.files.config.write_text(config.replace("stages: []", "stages: [{steps: 6}]"))
    assert command(extend) == exit_codes.CONFIG
    assert "a run with stages cannot be extended" in capfd.readouterr().err
    copied.files.config.write_text(config.replace("channels_last: false", ""))
    assert command([*extend, "trainer.channels_last=false"]) == exit_codes.CONFIG
    assert "was made by another version of this package: trainer.channels_last must" in capfd.readouterr().err
    copied.files.config.write_text(config)

    for path in copied.files.checkpoints.glob("step_*.pt"):
        path.unlink()
    assert command(extend) == exit_codes.CONFIG
    assert "has no step checkpoint left to go on from" in capfd.readouterr().err


# export


@pytest.fixture(scope="module")
def exported(six):
    """The file of the best weights, and the run that they are of."""
    run = run_of(six, 6)
    assert command(["export", str(run.folder)]) == exit_codes.DONE
    return run.folder / "export" / "best.pth", run


def test_exported_weights_are_the_best_ones_and_nothing_more(exported):
    file, run = exported
    weights = torch.load(file, weights_only=True)
    best = load_checkpoint(run.files.checkpoints / "best.pt")["codec"]
    untrained = build_codec(run.config)
    assert weights.keys() == untrained.state_dict().keys()
    assert all(torch.equal(weights[name], best[name]) for name, _ in untrained.named_parameters())


def test_exported_weights_load_into_compressai_and_code_there(exported):
    file, run = exported
    options = run.config.model.options
    model = zoo.ScaleHyperprior(options["N"], options["M"])
    model.load_state_dict(torch.load(file, weights_only=True))
    x = torch.rand(1, 3, 64, 64)
    coded = model.eval().compress(x)
    assert model.decompress(coded["strings"], coded["shape"])["x_hat"].shape == x.shape


def test_exported_weights_start_a_run(exported, tmp_path, monkeypatch):
    file, run = exported
    monkeypatch.chdir(tmp_path)
    codec = build_codec(with_values(run.config, {"model.weights": str(file)}))
    best = load_checkpoint(run.files.checkpoints / "best.pt")["codec"]
    assert all(torch.equal(parameter, best[name]) for name, parameter in codec.named_parameters())
    assert main([*TRAINED, "trainer.max_steps=1", f"model.weights='{file}'"]) == exit_codes.DONE


def test_the_last_weights_are_of_the_kind_that_is_judged(six, tmp_path):
    run = run_of(six, 6)
    state = checkpoint(run, 6)
    for judged in ("raw", "ema"):
        copy = tmp_path / judged / run.signature
        shutil.copytree(run.folder, copy)
        config = run.plain_config
        config["trainer"]["eval_weights"] = judged
        (copy / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
        assert command(["export", str(copy), "--last", "--out", str(tmp_path / f"{judged}.pth")]) == exit_codes.DONE
    raw, ema = (torch.load(tmp_path / f"{judged}.pth", weights_only=True) for judged in ("raw", "ema"))
    assert torch.equal(raw["g_a.0.weight"], state["codec"]["g_a.0.weight"])
    assert torch.equal(ema["g_a.0.weight"], state["ema"]["module.g_a.0.weight"])
    assert not torch.equal(raw["g_a.0.weight"], ema["g_a.0.weight"])


@pytest.mark.usefixtures("toy_folder")
def test_a_regularizers_parameters_are_not_exported(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plugin = [f"plugins=[{toy.NAME}]", "model=toy_pyramid", "spectral_reg=toy_pair"]
    assert main([*QUICK, *plugin, "trainer.max_steps=2"]) == exit_codes.DONE
    (run,) = Path("runs").glob("*/")
    assert "spectral_reg.gain" in checkpoint(Run(run), 2)["regularizers"]
    for which, flags in (("best", []), ("last", ["--last"])):
        assert command(["export", str(run), *flags]) == exit_codes.DONE
        weights = torch.load(run / "export" / f"{which}.pth", weights_only=True)
        assert sorted(weights) == ["g_a.bias", "g_a.weight", "g_s.bias", "g_s.weight"]


def test_what_export_cannot_do(copied, tmp_path, capfd):
    assert command(["export", copied.signature, "--out", str(tmp_path)]) == exit_codes.CONFIG
    (tmp_path / "file").touch()
    assert command(["export", copied.signature, "--out", str(tmp_path / "file" / "below.pth")]) == exit_codes.CONFIG
    (copied.files.checkpoints / "best.pt").write_bytes(b"damaged")
    assert command(["export", copied.signature]) == exit_codes.CONFIG
    said = capfd.readouterr().err
    for message in ("is a folder; name a file", "cannot be written", "best.pt is a text"):
        assert message in said


# eval of what is not done


def test_an_unfinished_run_is_evaluated_apart_and_says_so(copied, capfd):
    copied.files.update_status(state="preempted")
    assert command(["eval", copied.signature]) == exit_codes.DONE
    assert "is preempted, not done: these are its best weights so far" in capfd.readouterr().err
    assert (copied.files.eval / "so_far" / "images.csv").exists()
    assert copied.evaluation.empty


def test_a_run_without_weights_cannot_be_evaluated(copied, capfd):
    copied.files.update_status(state="failed")
    (copied.files.checkpoints / "best.pt").unlink()
    assert command(["eval", copied.signature]) == exit_codes.CONFIG
    assert "is failed and has no best.pt yet" in capfd.readouterr().err


def test_a_folder_without_images_is_a_message(copied, capfd):
    for place, reason in (("nosuch", "does not exist"), (copied.folder / "artifacts", "holds no image")):
        assert command(["eval", copied.signature, "--data", str(place)]) == exit_codes.CONFIG
        assert reason in capfd.readouterr().err


# While a process trains


def test_a_run_in_training_is_seen_and_protected_and_its_death_too(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    overrides = [*TRAINED, "trainer.max_steps=100000", "trainer.checkpoint_every_steps=5"]
    process = start(str(ROOT / "launch.py"), *overrides, folder=tmp_path)
    try:
        deadline = time.monotonic() + 120
        while not list(Path("runs").glob("*/checkpoints/step_*.pt")) and time.monotonic() < deadline:
            time.sleep(0.05)
        run = find_run(next(Path("runs").glob("*/")).name)
        assert run.state == "running"
        assert command(["rm", run.signature, "--yes"]) == exit_codes.BUSY
        assert command(["gc", "--yes"]) == exit_codes.DONE
        assert run.files.config.exists()
        assert f"process {process.pid}" in capfd.readouterr().err
    finally:
        os.kill(process.pid, signal.SIGKILL)
        finish(process)
    assert run.state == "dead"
    assert command(["rm", run.signature, "--yes"]) == exit_codes.DONE
    assert not run.folder.exists()
