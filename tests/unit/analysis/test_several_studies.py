"""Of several studies of one table the one that is meant: a sweep's own, or that which was chosen."""

import json
from pathlib import Path
from typing import Any

import pytest
from made_sweeps import write_manifest
from recorded_study import write_study

from analysis.__main__ import main
from analysis.report.subject import subject
from lic_exp.ablation_spec import FOLDER

SWEEP = "table2-99aa88bb"


def write_studies(runs: Path, newer: str) -> dict[str, Any]:
    """A study of scale mini with its sweep, and a newer one of scale gpu: of other trainings, or other evaluations."""
    study = write_study(runs)
    for cell in study["cells"]:
        cell["evaluation"] = "aaaa"
    other = study | {"study": "ff00ff00ff00ff00", "scale": "gpu", "made": "2026-11-26T12:00:00+00:00"}
    changed = {"trainings": lambda cell: {"signature": f"ff{cell['signature'][2:]}"}}
    change = changed.get(newer, lambda _: {"evaluation": "bbbb"})
    other["cells"] = [cell | change(cell) for cell in study["cells"]]
    for one in (study, other):
        (runs / FOLDER / f"table2-{one['study'][:8]}.json").write_text(json.dumps(one))
    cells = [cell | {"label": cell["signature"], "role": {"variant": cell["variant"]}} for cell in study["cells"]]
    write_manifest(runs, SWEEP, cells)
    file = runs / ".sweeps" / SWEEP / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"experiment": "table2", "table": study["table"]}))
    return study


@pytest.mark.parametrize("newer", ["trainings", "evaluations"])
@pytest.mark.parametrize(
    ("name", "choices"), [(SWEEP, {}), ("table2", {"scale": "mini"}), ("table2", {"study": "0"}), (SWEEP[:10], {})]
)
def test_a_report_is_of_the_study_that_is_meant(tmp_path: Path, newer: str, name: str, choices: dict[str, str]) -> None:
    study = write_studies(tmp_path, newer)
    found = subject(name, runs=tmp_path, choices=choices)
    assert found.table is not None
    assert found.table.study.study == study["study"]
    assert {(run.signature, run.evaluation) for run in found.found.runs} == {
        (cell["signature"], "aaaa") for cell in study["cells"]
    }


@pytest.mark.parametrize("newer", ["trainings", "evaluations"])
@pytest.mark.parametrize("name", [SWEEP, SWEEP[:10]])
def test_a_table_of_a_sweep_is_of_its_study(
    tmp_path: Path, newer: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    study = write_studies(tmp_path, newer)
    assert main(["ablation", name, "--runs", str(tmp_path), "--out", str(tmp_path / "tables")]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"study={study['study'][:8]}" not in said  # it is no other one
    assert "scale mini" in said or "scale=mini" in said


def test_a_study_that_has_not_the_sweeps_cells_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_studies(tmp_path, "trainings")
    assert main(["ablation", SWEEP, "scale=gpu", "--runs", str(tmp_path), "--out", str(tmp_path / "t")]) == 2
    assert "no study of table2" in capsys.readouterr().err
