"""What is evaluated names the evaluation: the same training with another one is found, and only evaluated."""

import json
import shutil
from pathlib import Path

import pytest
from commands import QUICK

import lic_exp
from lic_exp import exit_codes
from lic_exp.cli.cell import checked, run_frozen
from lic_exp.cli.launch import main
from lic_exp.config.errors import ConfigError
from lic_exp.runs import attempt
from lic_exp.runs import build as building
from lic_exp.runs.lock import run_is_held, run_lock
from lic_exp.runs.run import Run
from lic_exp.sweeps.create import sweep_request

TRAINED = (
    "model=factorized_tiny",
    "model.N=4",
    "model.M=4",
    *(text for text in QUICK if not text.startswith("evaluation")),
    "data.height=64",
    "data.width=64",
    "data.val_images=2",
    "data.val_limit=null",
    "trainer.max_steps=2",
    "evaluation.pictures=0",
)


QUICK_TO_START = (
    *("model=dhic_tiny", "criterion.validation_rates=2", "data.crop_size=64"),
    *(text for text in TRAINED if not text.startswith("model")),
)
"""For cells, which are processes: importing CompressAI would take longer than what they do."""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def launch(*overrides: str) -> int:
    return main([*TRAINED, *overrides])


def sweep(*overrides: str) -> int:
    return main(["-m", *QUICK_TO_START, "seed=0,1", *overrides])


def only_run(folder: Path) -> Run:
    (run,) = folder.glob("runs/*/")
    return Run(run)


def standing(run: Run) -> dict[str, object]:
    return {key: value for key, value in run.status.items() if key != "heartbeat"}


def test_another_evaluation_trains_nothing_and_lies_beside_the_first(here, capfd):
    assert launch() == exit_codes.DONE
    run = only_run(here)
    before, weights = standing(run), (run.folder / "checkpoints/best.pt").stat().st_mtime_ns

    assert launch("evaluation.limit=1") == exit_codes.DONE

    assert "is trained already; it is evaluated as asked for now" in capfd.readouterr().err
    assert standing(only_run(here)) == before
    assert (run.folder / "checkpoints/best.pt").stat().st_mtime_ns == weights
    (other,) = (run.folder / "eval").glob("*/evaluation.json")
    assert [len(json.loads(file.read_text())["rows"]) for file in (run.files.eval / "evaluation.json", other)] == [2, 1]
    for again in ((), ("evaluation.limit=1",)):
        assert launch(*again) == exit_codes.DONE
        assert "is done already; nothing was started" in capfd.readouterr().err
    assert len(lic_exp.run([*TRAINED, "evaluation.limit=1"], quiet=True).evaluation) == 1
    assert len(lic_exp.run(TRAINED, quiet=True).evaluation) == 2


def test_a_run_that_was_not_evaluated_is_when_that_is_asked_for(here, capfd):
    assert launch("evaluation.enabled=false") == exit_codes.DONE
    run = only_run(here)
    assert run.evaluation.empty

    assert launch() == exit_codes.DONE

    assert len(run.evaluation) == 2
    assert run.status["attempt"] == 1


def test_a_sweeps_cells_are_done_once_they_are_evaluated(here, capfd):
    assert sweep() == exit_codes.DONE
    assert sweep("evaluation.limit=1") == exit_codes.DONE
    assert "2 of 2 cells to run" in capfd.readouterr().err

    both = lic_exp.list_sweeps()

    assert len({one.folder for one in both}) == 2
    runs = [run for one in both for run in one.runs.values()]
    assert [len(run.evaluation["image"].unique()) for run in runs] == [2, 2, 1, 1]
    assert {run.status["attempt"] for run in runs} == {1}
    assert sweep("evaluation.limit=1") == exit_codes.DONE
    assert "all 2 cells are done; nothing was started" in capfd.readouterr().err


def test_one_sweep_cannot_evaluate_one_training_twice(here, capfd):
    assert launch("-m", "evaluation.limit=1,2") == exit_codes.CONFIG
    assert "is the same training as evaluation.limit=1, evaluated otherwise" in capfd.readouterr().err
    assert not list(here.iterdir())


def test_a_training_begun_anew_has_none(here):
    assert launch() == exit_codes.DONE
    run = only_run(here)
    run.files.update_status(state="preempted")

    assert launch("trainer.resume=never", "evaluation.enabled=false") == exit_codes.DONE

    assert "evaluation" not in json.loads((run.files.eval / "evaluation.json").read_text())


def test_only_a_runs_own_evaluation_is_the_one_that_tables_read(here):
    """Else another would be taken for it where its own was lost."""
    assert launch() == exit_codes.DONE
    run = only_run(here)
    (run.files.eval / "evaluation.json").unlink()

    assert launch("evaluation.limit=1") == exit_codes.DONE

    assert not (run.files.eval / "evaluation.json").exists()
    assert launch() == exit_codes.DONE
    assert (run.files.eval / "evaluation.json").exists()


def on_photos(photos: Path) -> list[str]:
    folders = (f"data.train=['{photos}/train']", f"data.val=['{photos}/val']", "data.crop_size=32")
    own = [text for text in TRAINED if not text.startswith("data")]
    return [*own, "data=folder", *folders, "data.batch_size=1", "data.num_workers=0", "data.steps_per_epoch=1"]


def test_images_that_were_trained_on_are_not_evaluated_afterwards(here, photos, capfd):
    assert main([*on_photos(photos), "evaluation.enabled=false"]) == exit_codes.DONE

    assert main([*on_photos(photos), f"evaluation.data='{photos}/train'"]) == exit_codes.CONFIG

    assert "exact duplicate), whose result would be too good" in capfd.readouterr().err
    assert not list(only_run(here).files.eval.rglob("evaluation.json"))
    assert only_run(here).state == "done"


def test_what_training_left_out_is_not_evaluated(here, photos):
    own = shutil.copytree(photos, here / "own")
    (own / "val" / "broken.png").write_text("I am a text.")

    assert main([*on_photos(own), "data.preflight=skip"]) == exit_codes.DONE

    assert sorted(only_run(here).evaluation["image"]) == ["c.png", "odd.png"]


def test_a_run_that_is_being_evaluated_is_said_to_be(here, capfd):
    assert launch() == exit_codes.DONE
    run = only_run(here)
    with run_lock(run.files):
        assert run_is_held(run.files)
        assert launch("evaluation.limit=1") == exit_codes.BUSY
    assert "is being evaluated by process" in capfd.readouterr().err
    assert not run_is_held(run.files)


def test_a_cell_whose_evaluation_images_changed_is_refused(here, photos):
    own = shutil.copytree(photos / "val", here / "own")
    assert sweep(f"evaluation.data='{own}'") == exit_codes.DONE
    (made,) = lic_exp.list_sweeps()
    frozen = json.loads(next(made.folder.glob("cells/*.json")).read_text())
    assert checked(frozen).signature == frozen["signature"]
    next(own.iterdir()).unlink()
    with pytest.raises(ConfigError, match="its images changed since this cell was made"):
        checked(frozen)


def launched(*overrides: str) -> int:
    return launch(*overrides)


def as_a_cell(*overrides: str) -> int:
    """As a pool starts a cell, of a sweep with two more."""
    sweep = sweep_request([*TRAINED, *overrides, "seed=0,1,2"], several=True).write()
    return run_frozen(sweep.frozen(sweep.cells[0]))


@pytest.mark.parametrize("start", [launched, as_a_cell])
@pytest.mark.parametrize("overrides", [(), ("trainer.resume=never",), ("evaluation.limit=1",)])
def test_a_run_that_another_process_finished_meanwhile_is_shown(here, capfd, monkeypatch, start, overrides):
    assert launch() == exit_codes.DONE
    run = only_run(here)
    run.files.update_status(state="preempted")
    built, before = building.build_objective, standing(run) | {"state": "done"}

    def slow(*arguments):
        run.files.update_status(state="done")
        return built(*arguments)

    monkeypatch.setattr(building, "build_objective", slow)
    kept = sorted((run.folder / "checkpoints").iterdir())
    log = run.files.log.read_text()

    assert start(*overrides) == exit_codes.DONE

    evaluated = "evaluation.limit=1" in overrides
    found = capfd.readouterr().err
    assert ("evaluated as asked for now" if evaluated else "is done already; nothing was started") in found
    assert sorted((run.folder / "checkpoints").iterdir()) == kept
    assert standing(run) == before
    assert run.status["attempt"] == 1
    assert (run.files.log.read_text() == log) != evaluated


def test_an_evaluation_that_another_process_made_meanwhile_is_not_made_again(here, monkeypatch):
    assert launch() == exit_codes.DONE
    run, lock = only_run(here), attempt.run_lock

    def patient(files):
        monkeypatch.setattr(attempt, "run_lock", lock)
        assert launch("evaluation.limit=1") == exit_codes.DONE
        return lock(files)

    monkeypatch.setattr(attempt, "run_lock", patient)

    assert launch("evaluation.limit=1") == exit_codes.DONE

    assert run.files.log.read_text().count("another evaluation begins") == 1


@pytest.mark.parametrize("name", ["./{}", "../runs/{}", "{}/"])
def test_a_beginning_is_named_by_its_signature(here, capfd, name):
    assert launch() == exit_codes.DONE
    first = only_run(here).signature
    assert launch("seed=1", f"init_from='{name.format(first)}'") == exit_codes.CONFIG
    assert "should be a run's signature" in capfd.readouterr().err
