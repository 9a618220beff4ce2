"""A run whose folder or lock file is taken away while it is at work ends, and nothing of it is made anew."""

import shutil

import pytest
import toy_attempts
from toy_attempts import go, only_run
from training_parts import unequal

from lic_exp import exit_codes
from lic_exp.evaluation import evaluator
from lic_exp.runs import heartbeat
from lic_exp.training.checkpoint import load_checkpoint
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


def test_the_lock_file(here, monkeypatch, capfd):
    assert go("paths.runs=undisturbed") == exit_codes.DONE
    with monkeypatch.context() as patch:
        after_step(3, lambda folder: (folder / ".lock").unlink(), patch)
        assert go() == exit_codes.BUSY
    assert "the lock file of run" in capfd.readouterr().err
    run = only_run()
    assert run.status()["state"] == "failed"
    assert "was removed or replaced while this process held it" in run.status()["reason"]
    assert run.status()["lock"] is None

    assert go() == exit_codes.DONE

    ends = [load_checkpoint(each.checkpoints / "step_00000006.pt") for each in (run, only_run("undisturbed"))]
    assert [path for path in unequal(*ends) if path != "/recorded"] == []
