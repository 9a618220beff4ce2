"""MLflow as a view of the run folder, with real sqlite stores."""

import json
import logging
import math
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from damage import DAMAGED_LINES

from lic_exp.flat import component_label, flatten
from lic_exp.tracking.base import MetricsWriter, without_password
from lic_exp.tracking.jsonl_reader import JsonlReader
from lic_exp.tracking.mlflow_projection import MlflowTracker
from lic_exp.tracking.mlflow_store import connect, record_file
from lic_exp.tracking.run_folder import RunFolder

EXPERIMENT = "tests"
LONG_S = 300
"""For what takes seconds on a machine that does nothing else."""

SETUP = """
import json, logging, sys, time
from lic_exp.tracking import mlflow_store
from lic_exp.tracking.mlflow_projection import MlflowTracker
from lic_exp.tracking.mlflow_store import record_file
from lic_exp.tracking.run_folder import RunFolder
logging.basicConfig(format="%(levelname)s %(name)s %(message)s")
run, uri = RunFolder(sys.argv[1]), sys.argv[2]
"""


def python(code, run, uri):
    command = [sys.executable, "-W", "error", "-c", SETUP + code, str(run.root), uri]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


@pytest.fixture(scope="module")
def creation(tmp_path_factory):
    """A store that four processes find missing and make at the same time: its uri, and what each of them said."""
    folder = tmp_path_factory.mktemp("a folder")
    runs = [RunFolder(folder / f"run{i}") for i in range(4)]
    for run in runs:
        run.create()
        run.update_status(state="done")
        write(run, [1])
    uri = f"sqlite:///{folder}/new/mlflow.db"
    code = f"""
class Spied(mlflow_store.FileLock):
    def acquire(self, *given, **options):
        global before
        before = set(sys.modules)
        return super().acquire(*given, **options)

mlflow_store.FileLock = Spied
MlflowTracker(run, None, uri=uri, experiment="{EXPERIMENT}", flush_s=0.1, finish_timeout_s=1.0).sync()
print(json.loads(record_file(run).read_text())["run_id"])
print(*sorted(set(sys.modules) - before))
"""
    processes = [python(code, run, uri) for run in runs]
    return uri, [process.communicate(timeout=LONG_S) for process in processes]


@pytest.fixture(scope="module")
def store(creation):
    """One sqlite store for the module: making one takes seconds."""
    return creation[0]


@pytest.fixture
def client(store):
    return connect(store)


@pytest.fixture
def run(tmp_path):
    folder = RunFolder(tmp_path / "mean_scale-1a2b3c")
    folder.create()
    folder.config.write_text(yaml.safe_dump({"seed": 3, "optimizer": {"lr": 1e-4}, "data": {"note": "x" * 9000}}))
    folder.update_status(state="running")
    return folder


def write(run, steps, value=float):
    with MetricsWriter(run) as writer:
        for step in steps:
            writer.write({"train/loss": value(step), "train/lr": 1e-4}, step=step, epoch=0)


def expected_points(run):
    """(name, step, value, time [ms]) of every number in metrics.jsonl, sorted."""
    return sorted(
        (name, entry["step"], value, round(entry["time"] * 1000))
        for entry in run.metrics()
        for name, value in entry.items()
        if name not in ("step", "epoch", "time")
    )


def stored_points(client, run_id):
    names = client.get_run(run_id).data.metrics
    history = [metric for name in names for metric in client.get_metric_history(run_id, name)]
    return sorted((metric.key, metric.step, metric.value, metric.timestamp) for metric in history)


def keep_lines(run, count):
    lines = run.metrics_file.read_text().splitlines(keepends=True)
    run.metrics_file.write_text("".join(lines[:count]))


def tracker(run, store, **changes):
    options = {"uri": store, "experiment": EXPERIMENT, "flush_s": 0.1, "finish_timeout_s": 20.0} | changes
    return MlflowTracker(run, "a name", **options)


def sync(run, store):
    """Bring the store up to date; the MLflow run's id."""
    tracker(run, store).sync()
    return json.loads(record_file(run).read_text())["run_id"]


def test_points_equal_the_run_folder_in_batches_and_repeating_changes_nothing(run, store, client):
    write(run, range(0, 12000, 10))  # 2400 points: three batches
    run_id = sync(run, store)
    assert stored_points(client, run_id) == expected_points(run)
    assert sync(run, store) == run_id
    assert stored_points(client, run_id) == expected_points(run)


def test_an_unfinished_last_line_waits_until_it_is_complete(run, store, client):
    write(run, [1])
    whole = run.metrics_file.read_text()
    run.metrics_file.write_text(whole + whole.replace('"step": 1', '"step": 2')[:30])
    run_id = sync(run, store)
    assert [point[1] for point in stored_points(client, run_id)] == [1, 1]


def test_a_resumed_run_sends_no_step_twice(run, store, client):
    write(run, range(1, 11))
    run_id = sync(run, store)
    before = stored_points(client, run_id)
    keep_lines(run, 6)
    time.sleep(0.002)  # the steps run again carry other times
    write(run, range(7, 15))
    assert sync(run, store) == run_id
    after = stored_points(client, run_id)
    assert [point for point in after if point[1] <= 10] == before
    assert [point for point in after if point[1] > 10] == [point for point in expected_points(run) if point[1] > 10]


def test_a_run_cut_back_under_a_live_tracker_sends_no_step_twice(run, store, client):
    write(run, range(1, 6))
    live = tracker(run, store)
    live.start()
    _wait_for(lambda: record_file(run).exists() and "run_id" in json.loads(record_file(run).read_text()))
    run_id = json.loads(record_file(run).read_text())["run_id"]
    _wait_for(lambda: len(stored_points(client, run_id)) == 10)
    keep_lines(run, 3)
    write(run, range(4, 9))
    live.poke()
    live.finish("done")
    assert [point[1] for point in stored_points(client, run_id)] == [*range(1, 9)] * 2


def _wait_for(condition):
    deadline = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < deadline, "the tracker sent nothing"
        time.sleep(0.02)


def test_not_finite_values(run, store, client):
    write(run, [1, 2, 3], value={1: math.nan, 2: math.inf, 3: -math.inf}.get)
    run_id = sync(run, store)
    first, second, third = (metric.value for metric in client.get_metric_history(run_id, "train/loss"))
    assert math.isnan(first)
    assert (second, third) == (sys.float_info.max, -sys.float_info.max)
    assert sync(run, store) == run_id
    assert len(client.get_metric_history(run_id, "train/loss")) == 3


def test_params_tags_and_artifacts(run, store, client):
    (run.eval / "kodak").mkdir()
    (run.eval / "kodak" / "images.csv").write_text("image,bpp\n")
    run.environment.write_text(json.dumps({"git_commit": "c0ffee"}))
    config = yaml.safe_load(run.config.read_text()) | {f"option{i}": i for i in range(150)}
    config |= {
        "model": {"_target_": "lic_exp.models.elic.Elic"},
        "spectral_reg": {"intra": {"delta": 1}, "inter": None},
    }
    config |= {"tracker": {"mlflow": {"uri": "http://user:secret@host:5000"}}}
    run.config.write_text(yaml.safe_dump(config))
    run.update_status(numerics=[{"from_step": 0, "torch": "2.8.0"}, {"from_step": 7, "torch": "2.9.0"}])
    live = tracker(run, store)
    live.start()
    live.finish("done")
    (found,) = _runs(client, run)
    params, tags = found.data.params, found.data.tags
    assert (params["optimizer.lr"], params["option149"], params["spectral_reg.inter"]) == ("0.0001", "149", "null")
    assert len(params["data.note"]) == 6000
    assert params["data.note"].endswith("... [cut: 9000 characters]")
    assert params["tracker.mlflow.uri"] == "http://host:5000"
    assert (found.info.run_name, found.info.status, tags["lic_exp.state"]) == ("a name", "FINISHED", "done")
    assert (tags["lic_exp.model"], tags["lic_exp.spectral_reg"], tags["lic_exp.seed"]) == ("Elic", "intra", "3")
    assert tags["mlflow.source.git.commit"] == "c0ffee"
    assert tags["lic_exp.elsewhere"] == "went on elsewhere after step 7: torch 2.9.0, not 2.8.0"
    assert [file.path for file in client.list_artifacts(found.info.run_id, "eval/kodak")] == ["eval/kodak/images.csv"]
    artifacts = Path(found.info.artifact_uri.removeprefix("file://").replace("%20", " "))
    assert artifacts.is_relative_to(Path(store.removeprefix("sqlite:///")).parent / "mlartifacts")


def _runs(client, run):
    experiment = client.get_experiment_by_name(EXPERIMENT)
    found = client.search_runs([experiment.experiment_id])
    key = json.loads(record_file(run).read_text())["key"]
    return [one for one in found if one.data.tags["lic_exp.key"] == key]


def test_resuming_continues_the_same_mlflow_run(run, store, client):
    for state, steps, status in (("preempted", [1, 2], "KILLED"), ("failed", [3], "FAILED"), ("done", [4], "FINISHED")):
        live = tracker(run, store)
        live.start()
        write(run, steps)
        live.poke()
        live.finish(state)
        (found,) = _runs(client, run)
        assert found.info.status == status
    assert [metric.step for metric in client.get_metric_history(found.info.run_id, "train/loss")] == [1, 2, 3, 4]


def test_a_lost_record_of_the_run_id_makes_no_second_run(run, store, client):
    """As after a crash, or an answer that never came, between making the MLflow run and noting its id."""
    write(run, [1])
    run_id = sync(run, store)
    record_file(run).write_text(json.dumps({"key": json.loads(record_file(run).read_text())["key"]}))
    assert sync(run, store) == run_id


def test_a_run_deleted_in_the_store_is_projected_anew(run, store, client):
    write(run, [1, 2])
    run_id = sync(run, store)
    client.delete_run(run_id)
    again = sync(run, store)
    assert again != run_id
    assert stored_points(client, again) == expected_points(run)


def test_a_locked_store_costs_neither_the_run_nor_its_exit(run, store, client):
    """Another connection holds the store until after the process has ended; the rest comes later."""
    write(run, [1, 2, 3])
    sync(run, store)
    write(run, [4])
    holder = sqlite3.connect(store.removeprefix("sqlite:///"), isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    code = """
tracker = MlflowTracker(run, None, uri=uri, experiment="tests", flush_s=0.1, finish_timeout_s=1.0)
assert "mlflow" not in sys.modules
tracker.start()
while "mlflow.store.tracking.sqlalchemy_store" not in sys.modules: time.sleep(0.1)
time.sleep(1)  # by now the thread waits for the lock
tracker.finish("done")
"""
    process = python(code, run, store)
    try:
        _, err = process.communicate(timeout=LONG_S)
    finally:
        process.kill()
        holder.execute("ROLLBACK")
        holder.close()
    assert process.returncode == 0, err
    assert "did not take everything within 1 s. Nothing is lost" in err
    assert [line for line in err.splitlines() if not line.startswith("WARNING lic_exp.tracking MLflow at sqlite")] == []
    run.update_status(state="done")
    run_id = sync(run, store)
    assert stored_points(client, run_id) == expected_points(run)
    assert client.get_run(run_id).info.status == "FINISHED"


def test_a_server_that_never_answers_holds_up_neither_finish_nor_exit(run, monkeypatch):
    """MLflow would wait an hour for it: were anything of that in the way, the process would not end in time."""
    write(run, [1])
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "3600")
    code = """
tracker = MlflowTracker(run, None, uri=uri, experiment="tests", flush_s=0.1, finish_timeout_s=1.0)
tracker.start()
sys.stdin.readline()  # the request has arrived
tracker.finish("done")
"""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(LONG_S)
        process = python(code, run, f"http://user:secret@127.0.0.1:{server.getsockname()[1]}")
        try:
            connection, _ = server.accept()
            with connection:
                _, err = process.communicate("go\n", timeout=LONG_S)
        finally:
            process.kill()
    assert process.returncode == 0, err
    assert "did not take everything within 1 s" in err
    assert "secret" not in err


def test_a_corrupt_store_is_reported_once_and_fails_nothing(run, tmp_path, caplog):
    (tmp_path / "mlflow.db").write_bytes(b"not a database" * 100)
    live = tracker(run, None, flush_s=0.01, finish_timeout_s=0.5)
    with caplog.at_level(logging.WARNING, logger="lic_exp.tracking"):
        live.start()
        _wait_for(lambda: caplog.messages)
        live.finish("failed")
    assert "file is not a database" in caplog.messages[0]
    assert "python -m lic_exp sync" in caplog.messages[0]
    assert len(caplog.messages) == 2  # and the one of `finish`


def test_four_processes_create_one_store(creation):
    uri, answers = creation
    assert [err for _, err in answers] == [""] * 4  # MLflow and alembic keep quiet too
    run_ids = {out.split("\n")[0] for out, _ in answers}
    assert len(run_ids) == 4
    assert {connect(uri).get_run(run_id).info.status for run_id in run_ids} == {"FINISHED"}


def test_nobody_waits_for_the_imports_of_another(creation):
    """MLflow's take seconds: were they done while the store is held, the last of many would give up."""
    for out, _ in creation[1]:
        within = out.split("\n")[1].split()
        assert "mlflow" not in within
        assert "mlflow.store.tracking.sqlalchemy_store" not in within
        assert len(within) < 100


def test_reader_reads_each_line_once_and_starts_over_after_a_rewrite(tmp_path):
    path = tmp_path / "metrics.jsonl"
    reader = JsonlReader(path)
    assert reader.new_entries() == []
    path.write_text('{"step": 1}\n{"step": 2}\n{"st')
    assert reader.new_entries() == [{"step": 1}, {"step": 2}]
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n')
    assert reader.new_entries() == [{"step": 3}]
    path.write_text('{"step": 1}\n{"step": 7}\n{"step": 8}\n{"step": 9}\n')  # longer than before, other bytes
    assert [entry["step"] for entry in reader.new_entries()] == [1, 7, 8, 9]
    path.write_text('{"step": 1}\n')
    assert reader.new_entries() == [{"step": 1}]


@pytest.mark.parametrize("line", DAMAGED_LINES)
def test_reader_names_a_broken_line_once_and_reads_the_others(tmp_path, caplog, line):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n' + line + b'\n{"step": 3}\n')
    reader = JsonlReader(path)
    assert reader.new_entries() == [{"step": 1}, {"step": 3}]
    with open(path, "ab") as file:
        file.write(b'{"step": 4}\n' + line + b"\n")
    assert reader.new_entries() == [{"step": 4}]
    first, second = (record.getMessage() for record in caplog.records)
    assert first.startswith(f"{path}: 1 damaged line is passed over: line 2 (")
    assert second.startswith(f"{path}: 1 damaged line is passed over: line 5 (")


@pytest.mark.parametrize(
    ("node", "label"),
    [
        (None, "none"),
        ({}, "none"),
        ({"_target_": None}, "none"),
        ({"_target_": "a.b.Elic", "N": 192}, "Elic"),
        ({"intra": {"_target_": "a.Intra"}, "inter": None}, "intra"),
        ([{"_target_": "a.Intra"}, {"_target_": "a.Inter"}], "Intra+Inter"),
    ],
)
def test_component_label(node, label):
    assert component_label(node) == label


def test_flatten_spells_values_as_json():
    node = {"a": {"b": [1, 2.5], "c": {}}, "d": True, "e": "text"}
    assert flatten(node) == {"a.b": "[1, 2.5]", "a.c": "{}", "d": "true", "e": "text"}


def test_without_password():
    assert without_password("at http://me:word@host:5000/x") == "at http://host:5000/x"
    assert without_password("sqlite:////a/b@c/mlflow.db") == "sqlite:////a/b@c/mlflow.db"
