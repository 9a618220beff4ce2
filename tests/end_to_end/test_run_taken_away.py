"""What is taken away from a run: its folder, its lock file, its metrics.

Where its folder or lock file goes while it is at work it ends, and nothing of the folder is made anew. What its metrics
have lost is said.
"""

import os
import shutil
import signal

import pytest
import toy_attempts
from toy_attempts import assert_same_weights, go, only_run

from lic_exp import exit_codes
from lic_exp.evaluation import evaluator
from lic_exp.runs import heartbeat
from lic_exp.training.trainer import Trainer


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch, toy_folder):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(heartbeat, "LOOK_EVERY_S", 0.0)
    return tmp_path


def remove(folder):
    shutil.rmtree(folder)


def remove_with_its_parent(folder):
    shutil.rmtree(folder.parent)


def replace(folder):
    shutil.move(folder, folder.with_name("moved"))
    folder.mkdir()


FATES = [remove, remove_with_its_parent, replace]


def after_step(step, fate, monkeypatch):
    """Let it befall the run's folder after a step; whatever was made there afterwards."""
    advance, befallen = Trainer._due, []

    def due(self, every_steps):
        if self.step == step and not befallen:
            befallen.append(self.checkpoints.folder.parent)
            fate(befallen[0])
        return advance(self, every_steps)

    monkeypatch.setattr(Trainer, "_due", due)
    return befallen


@pytest.mark.parametrize("step", [1, 3, toy_attempts.STEPS])
@pytest.mark.parametrize("fate", FATES)
def test_the_folder_while_it_trains(here, monkeypatch, capfd, fate, step):
    befallen = after_step(step, fate, monkeypatch)

    assert go() == exit_codes.FAILED

    said = capfd.readouterr().err
    assert "is gone: it was deleted, moved or replaced" in said
    assert "Traceback" not in said
    (folder,) = befallen
    assert list(folder.rglob("*")) == []
    assert folder.exists() == (fate is replace)


@pytest.mark.parametrize("fate", FATES)
def test_the_folder_while_it_is_evaluated(here, monkeypatch, capfd, fate):
    code, befallen = evaluator.code, []

    def coded(*arguments):
        if not befallen:
            befallen.append(only_run().root)
            fate(befallen[0])
        return code(*arguments)

    monkeypatch.setattr(evaluator, "code", coded)

    assert go("evaluation.enabled=true", "evaluation.pictures=0") == exit_codes.FAILED

    assert "is gone: it was deleted, moved or replaced" in capfd.readouterr().err
    assert list(befallen[0].rglob("*")) == []
    assert befallen[0].exists() == (fate is replace)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, toy_folder):
    folder = tmp_path_factory.mktemp("undisturbed")
    assert go(f"paths.runs={folder}") == exit_codes.DONE
    return only_run(folder)


def test_the_lock_file(here, monkeypatch, capfd, undisturbed):
    with monkeypatch.context() as patch:
        after_step(3, lambda folder: (folder / ".lock").unlink(), patch)
        assert go() == exit_codes.BUSY
    assert "the lock file of run" in capfd.readouterr().err
    run = only_run()
    assert run.status()["state"] == "failed"
    assert "was removed or replaced while this process held it" in run.status()["reason"]
    assert run.status()["lock"] is None

    assert go() == exit_codes.DONE

    assert_same_weights(run, undisturbed)


def cut(file):
    os.truncate(file, file.stat().st_size // 2)


def fill_with_zeros(file):
    """As a file system may after a power cut."""
    content = file.read_bytes()
    file.write_bytes(content[:100] + bytes(len(content) - 200) + content[-100:])


def write_over(file):
    content = file.read_bytes()
    file.write_bytes(b"garbage" + content[7:])


@pytest.mark.parametrize("befalls", [os.remove, cut, fill_with_zeros, write_over, lambda file: os.truncate(file, 0)])
def test_metrics_before_a_resume(here, monkeypatch, capfd, undisturbed, befalls):
    with monkeypatch.context() as patch:
        after_step(4, lambda folder: signal.raise_signal(signal.SIGUSR2), patch)
        assert go() == exit_codes.PREEMPTED
    run = only_run()
    before = sum(1 for _ in run.metrics())
    befalls(run.metrics_file)
    capfd.readouterr()

    assert go() == exit_codes.DONE

    said = capfd.readouterr().err
    entries = list(run.metrics())
    kept = sum(entry["step"] <= 4 for entry in entries)
    assert f"it has {kept} of {before} entries" in said
    assert "It should have reached step 4. What is missing is lost" in said
    assert "is not what it was when the checkpoint was written" in run.log.read_text()
    assert b"\0" not in run.metrics_file.read_bytes()
    assert [entry["step"] for entry in entries if entry["step"] > 4] == [5, 6, 6]
    assert_same_weights(run, undisturbed)


@pytest.mark.parametrize("evaluated", ["true", "false"])
def test_what_is_in_the_folder_while_it_trains(here, monkeypatch, evaluated):
    """As `rm -rf RUN/*` leaves it, which spares the lock file."""

    def empty(folder):
        for path in folder.glob("[!.]*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    after_step(3, empty, monkeypatch)
    assert go(f"evaluation.enabled={evaluated}", "evaluation.pictures=0") in (exit_codes.DONE, exit_codes.FAILED)
    run = only_run()
    assert run.config.stat().st_size > 0
    assert run.status()["state"] in ("done", "failed")
