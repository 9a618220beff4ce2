"""What the end of a sweep shows in stores: also cells that no run of the sweep can tell of."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import toy

from lic_exp.runs import syncing
from lic_exp.sweeps import control
from lic_exp.sweeps.folder import SweepFolder
from lic_exp.sweeps.freezing import freeze
from lic_exp.sweeps.trainings import trainings
from lic_exp.tracking.mlflow_store import record_file
from lic_exp.tracking.run_folder import RunFolder


@pytest.fixture
def sweep(toy_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SweepFolder:
    monkeypatch.chdir(tmp_path)
    given = [f"plugins=[{toy.NAME}]", *toy.SHORT_RUN, "seed=0,1", "evaluation.enabled=false"]
    return freeze(trainings(given, several=True), given).write()


def finish(sweep: SweepFolder, place: int, *, stored: bool) -> None:
    run = RunFolder(sweep.runs / sweep.cells[place].signature)
    run.create()
    run.config.write_text("{}")
    run.status_file.write_text(json.dumps({"schema_version": 2, "state": "done", "step": 4, "max_steps": 4}))
    if stored:
        record_file(run).parent.mkdir()
        record_file(run).write_text("{}")


@pytest.mark.parametrize(
    ("stored", "refused", "away", "asked"),
    [(True, True, "", 1), (True, True, "no route", 1), (True, False, "", 0), (False, True, "", 0)],
)
def test_a_cell_that_was_refused_is_shown_by_a_run_beside_it(
    sweep: SweepFolder, monkeypatch: Any, capsys: Any, stored: bool, refused: bool, away: str, asked: int
) -> None:
    sent = []

    def sync_run(run: Any) -> Any:
        sent.append(run.signature)
        yield SimpleNamespace(store="MLflow at here", away=away)

    monkeypatch.setattr(syncing, "sync_run", sync_run)
    finish(sweep, 0, stored=stored)
    if refused:
        ended = {"started": 1.0, "ended": 2.0, "exit_code": 2, "state": "refused"}
        (sweep.folder / "cells" / f"{sweep.cells[1].signature}.attempt").write_text(json.dumps(ended))
    else:
        finish(sweep, 1, stored=stored)
    control.tell_end(sweep)
    assert sent == [sweep.cells[0].signature] * asked
    assert ("MLflow at here: no route; python -m lic_exp sync sends it later" in capsys.readouterr().err) is bool(away)
