"""Bad input of every kind: a clear error, an exit code, and nothing lost."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from checkout import ROOT
from toy_attempts import STEPS, TOY, assert_same_weights, go, only_run

from lic_exp import exit_codes
from lic_exp.runs import attempt_record
from lic_exp.runs.lock import run_lock
from lic_exp.training.trainer import Trainer


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch, toy_folder):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(attempt_record, "record_environment", lambda *arguments: {})  # half of the time it takes


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
    assert_same_weights(run, undisturbed)
    numbers = [
        [{k: v for k, v in entry.items() if k not in ("time", "train/images_per_s")} for entry in each.metrics()]
        for each in (run, undisturbed)
    ]
    assert numbers[0] == numbers[1]


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


DAMAGE = {
    flipped: "is damaged",
    truncated: "is damaged",
    a_text: "is a text",
    emptied: "is empty",
    with_code: "holds code that would be run",
}


@pytest.mark.parametrize(("damage", "words"), DAMAGE.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_a_damaged_newest_checkpoint(monkeypatch, undisturbed, damage, words):
    run = go_until(4, monkeypatch)
    newest = run.checkpoints / "step_00000004.pt"
    damage(newest)
    assert go() == exit_codes.DONE
    log = run.log.read_text()
    assert f"{newest} {words}" in log
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
