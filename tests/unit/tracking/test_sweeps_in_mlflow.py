"""The MLflow run of a sweep beside those of its cells, and the images of runs as MLflow's data sets, in one store."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from test_sweep_pages import KODAK, cell, mean, sweep

from lic_exp.tracking.mlflow_projection import MlflowTracker
from lic_exp.tracking.mlflow_store import connect, record_file
from lic_exp.tracking.run_folder import RunFolder

MADE_S = datetime.fromisoformat("2026-11-01T10:00:00+00:00").timestamp()
"""When `sweep` says that its sweeps were made."""


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db"


def sync(runs: Path, signature: str, uri: str) -> str:
    """Send a run; the id of its MLflow run."""
    run = RunFolder(runs / signature)
    MlflowTracker(run, None, uri=uri, experiment="tests", flush_s=0.1, finish_timeout_s=60.0).sync()
    return str(json.loads(record_file(run).read_text())["run_id"])


def parent_of(uri: str, run_id: str) -> Any:
    client = connect(uri)
    return client.get_run(client.get_run(run_id).data.tags["mlflow.parentRunId"])


def artifacts(uri: str, run_id: str) -> set[str]:
    return {entry.path for entry in connect(uri).list_artifacts(run_id)}


def test_the_run_of_a_sweep_follows_its_cells(tmp_path: Path, uri: str) -> None:
    cells = [cell(tmp_path, f"a{i}00", None, {"criterion.lmbda": 0.01 * (i + 1)}) for i in range(2)]
    sweep(tmp_path, cells, "follow-1")
    cell(tmp_path, "a000", "running", {})
    RunFolder(tmp_path / "a000").update_status(sweep="follow-1")
    child = sync(tmp_path, "a000", uri)
    parent = parent_of(uri, child)
    assert connect(uri).get_run(child).info.run_name == "criterion.lmbda=0.01"
    assert (parent.info.run_name, parent.info.status, parent.info.end_time) == ("follow-1", "RUNNING", None)
    assert parent.data.tags["lic_exp.cells"] == "1 running, 1 waiting"
    assert "criterion.lmbda=0.02 | waiting" in parent.data.tags["mlflow.note.content"]
    assert artifacts(uri, parent.info.run_id) == set()

    for i in range(2):
        cell(tmp_path, f"a{i}00", "done", {}, mean=mean(0.5 + i, 30.0 + i))
        RunFolder(tmp_path / f"a{i}00").update_status(sweep="follow-1", finished=MADE_S + 60 + i)
        sync(tmp_path, f"a{i}00", uri)
    parent = parent_of(uri, child)
    assert (parent.info.status, parent.info.end_time) == ("FINISHED", round(MADE_S + 61) * 1000)
    assert parent.data.tags["lic_exp.state"] == "done"
    assert artifacts(uri, parent.info.run_id) == {"cells.md", "rd.png", "rd.svg"}
    note = parent.data.tags["mlflow.note.content"]
    assert "| criterion.lmbda=0.02 | done | 20 | 1.5 | 1.5000 | 31.00 |" in note
    assert f"](get-artifact?path=rd.png&run_uuid={parent.info.run_id})" in note

    RunFolder(tmp_path / "a100").update_status(state="failed")
    sync(tmp_path, "a100", uri)
    assert parent_of(uri, child).info.status == "FAILED"


@pytest.mark.parametrize(
    ("made", "began", "finished", "span"),
    [
        pytest.param(True, 30, 60, (0, 60), id="sent long after it ended"),
        pytest.param(True, -90, -60, (-90, -60), id="made of a run that had ended"),
        pytest.param(False, 30, 60, (30, 60), id="its manifest does not say when it was made"),
    ],
)
def test_a_sweep_lasts_from_its_making_to_its_last_end(
    tmp_path: Path, uri: str, made: bool, began: float, finished: float, span: tuple[float, float]
) -> None:
    signature, name = f"9{abs(began)}{made:d}", f"span{began}-{made:d}"
    cells = [cell(tmp_path, signature, "done", {}, mean=mean(0.5, 30.0))]
    manifest = sweep(tmp_path, cells, name) / "manifest.json"
    if not made:
        record = json.loads(manifest.read_text())
        manifest.write_text(json.dumps({key: value for key, value in record.items() if key != "made"}))
    run = RunFolder(tmp_path / signature)
    run.update_status(sweep=name, finished=MADE_S + finished)
    run.metrics_file.write_text(json.dumps({"step": 1, "epoch": 0, "time": MADE_S + began, "train/loss": 1.0}) + "\n")
    parent = parent_of(uri, sync(tmp_path, signature, uri)).info
    assert (parent.start_time, parent.end_time) == tuple(round(MADE_S + second) * 1000 for second in span)


def test_the_run_of_a_sweep_ends_though_a_cell_was_refused_before_it_had_a_run(tmp_path: Path, uri: str) -> None:
    cells = [cell(tmp_path, "f000", "done", {"seed": 0}), cell(tmp_path, "f100", None, {"seed": 1})]
    folder = sweep(tmp_path, cells, "refused-1")
    RunFolder(tmp_path / "f000").update_status(sweep="refused-1")
    child = sync(tmp_path, "f000", uri)
    assert parent_of(uri, child).info.status == "RUNNING"
    (folder / "cells").mkdir()
    (folder / "cells/f100.exit").write_text(json.dumps({"pid": 1, "exit_code": 2}))
    sync(tmp_path, "f000", uri)
    parent = parent_of(uri, child)
    assert (parent.info.status, parent.data.tags["lic_exp.cells"]) == ("FAILED", "1 done, 1 refused")
    assert "seed=1 | refused" in parent.data.tags["mlflow.note.content"]


def test_what_is_shown_already_is_neither_drawn_nor_written_again(
    tmp_path: Path, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = [
        cell(tmp_path, f"b{i}00", "done", {"criterion.lmbda": 0.01 * (i + 1)}, mean=mean(0.5 + i, 30.0))
        for i in range(2)
    ]
    sweep(tmp_path, cells, "again-1")
    for i in range(2):
        RunFolder(tmp_path / f"b{i}00").update_status(sweep="again-1")
    drawn: list[str] = []
    monkeypatch.setattr("lic_exp.tracking.mlflow_sweep.encoded", lambda _, suffix: drawn.append(suffix) or b"picture")
    run_id = sync(tmp_path, "b000", uri)
    before = parent_of(uri, run_id)
    assert drawn == [".png", ".svg"]
    for i in range(2):
        sync(tmp_path, f"b{i}00", uri)
    assert drawn == [".png", ".svg"]
    after = parent_of(uri, run_id)
    assert (after.data.tags, after.info.end_time) == (before.data.tags, before.info.end_time)


@pytest.mark.parametrize("manifest", [None, "{", "{}"])
def test_a_sweep_that_is_gone_or_damaged_keeps_no_cell_from_being_sent(
    tmp_path: Path, uri: str, manifest: str | None
) -> None:
    cell(tmp_path, "c000", "done", {}, mean=mean(0.5, 31.0))
    RunFolder(tmp_path / "c000").update_status(sweep="gone-1")
    if manifest is not None:
        sweep(tmp_path, [], "gone-1").joinpath("manifest.json").write_text(manifest)
    run = connect(uri).get_run(sync(tmp_path, "c000", uri))
    assert (run.info.run_name, run.info.status, run.data.metrics["eval/bpp"]) == ("c000", "FINISHED", 0.5)


def test_a_run_that_has_become_a_cell_is_called_so(tmp_path: Path, uri: str) -> None:
    made = [cell(tmp_path, "d000", "done", {"seed": 0})]
    run_id = sync(tmp_path, "d000", uri)
    assert connect(uri).get_run(run_id).info.run_name == "d000"
    sweep(tmp_path, made, "later-1")
    RunFolder(tmp_path / "d000").update_status(sweep="later-1")
    assert sync(tmp_path, "d000", uri) == run_id
    assert connect(uri).get_run(run_id).info.run_name == "seed=0"
    connect(uri).update_run(run_id, name="mine")
    sync(tmp_path, "d000", uri)
    assert connect(uri).get_run(run_id).info.run_name == "mine"


def test_images_are_data_sets(tmp_path: Path, uri: str) -> None:
    cell(tmp_path, "e000", "running", {}, mean=mean(0.5, 31.0))
    run = RunFolder(tmp_path / "e000")
    trained = {"name": "photos", "fingerprint": "c" * 64, "train": 800, "val": 20}
    run.environment.write_text(json.dumps({"images": {"data": trained}}))
    found = {}
    for state in ("running", "done", "done"):
        run.update_status(state=state)
        stored = connect(uri).get_run(sync(tmp_path, "e000", uri))
        found[state] = {
            (one.tags[0].value, one.dataset.name, one.dataset.digest, json.loads(one.dataset.profile)["num_rows"])
            for one in stored.inputs.dataset_inputs
        }
        assert len(stored.inputs.dataset_inputs) == len(found[state])
    profiles = [json.loads(one.dataset.profile) for one in stored.inputs.dataset_inputs]
    assert {"num_rows": 820, "training_images": 800, "validation_images": 20} in profiles
    assert {"num_rows": 24, "sizes": "18 of 768 x 512, 6 of 512 x 768"} in profiles
    training = ("training", "photos", "c" * 16, 820)
    assert found["running"] == {training}
    assert found["done"] == {training, ("evaluation", "kodak", KODAK["fingerprint"], 24)}


@pytest.mark.parametrize("environment", [None, "{", "{}", '{"images": {"data": {"name": 1}}}'])
def test_images_that_are_not_on_record_are_left_out(tmp_path: Path, uri: str, environment: str | None) -> None:
    cell(tmp_path, "f000", "done", {})
    if environment is not None:
        RunFolder(tmp_path / "f000").environment.write_text(environment)
    stored = connect(uri).get_run(sync(tmp_path, "f000", uri))
    assert not stored.inputs.dataset_inputs


def test_the_experiment_is_one_of_training(uri: str, tmp_path: Path) -> None:
    client = connect(uri)
    client.create_experiment("older", artifact_location=tmp_path.as_uri())
    cell(tmp_path, "e100", "done", {})
    run = RunFolder(tmp_path / "e100")
    for experiment in ("older", "newer"):
        MlflowTracker(run, None, uri=uri, experiment=experiment, flush_s=0.1, finish_timeout_s=60.0).sync()
        assert client.get_experiment_by_name(experiment).tags["mlflow.experimentKind"] == "custom_model_development"
