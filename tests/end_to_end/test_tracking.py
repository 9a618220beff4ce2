"""Whole runs beside stores that are locked, broken or absent, and runs that are killed: nothing is lost or doubled."""

import shutil
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from checkout import ROOT
from commands import QUICK, called, finish, launch, lic_exp, start
from stores import logged_points, mlflow_points, tensorboard_points, wandb_points

from lic_exp.config.loading import load_config
from lic_exp.tracking.mlflow_projection import MlflowTracker
from lic_exp.tracking.mlflow_store import connect
from lic_exp.tracking.run_folder import RunFolder

pytestmark = pytest.mark.slow

WALL_CLOCK = ("train/images_per_s",)
RUN = (
    *(override for override in QUICK if not override.startswith("tracker")),
    "model=hyperprior_tiny",
    "data.batch_size=2",
    "data.crop_size=64",
    "trainer.max_steps=12",
    "trainer.log_every_steps=1",
    "trainer.validate_every_steps=4",
    "trainer.checkpoint_every_steps=3",
    "tracker.mlflow.flush_s=0.2",
)

LONG = ("trainer.max_steps=400", "trainer.validate_every_steps=40", "trainer.checkpoint_every_steps=20")
"""Enough steps to find the run still training once MLflow is there."""


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run that nobody trains and the store that has it: making one takes seconds."""
    folder = tmp_path_factory.mktemp("other") / "runs"
    run = RunFolder(folder / "other")
    run.create()
    MlflowTracker(run, None, uri=None, experiment="other", flush_s=1, finish_timeout_s=1).sync()
    return folder


@pytest.fixture
def store(tmp_path: Path, other: Path) -> Path:
    """The sqlite file of a store that works, in a folder without runs."""
    shutil.copytree(other, tmp_path / "runs")
    return tmp_path / "runs" / "mlflow.db"


@contextmanager
def locked(store: Path) -> Iterator[None]:
    """Another connection holds the store exclusively while inside."""
    with closing(sqlite3.connect(store, isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        yield
        holder.execute("ROLLBACK")


def the_run(folder: Path) -> RunFolder:
    (config,) = folder.glob("runs/*/config.yaml")
    return RunFolder(config.parent)


def sync(folder: Path, *arguments: str):
    return called("lic_exp", "sync", *arguments, folder=folder)


def assert_stored(run: RunFolder, store: Path) -> None:
    """The store holds the points of metrics.jsonl, no more, no fewer, in one MLflow run."""
    assert len(logged_points(run)) > 100
    assert mlflow_points(f"sqlite:///{store}", run) == logged_points(run)
    experiment = connect(f"sqlite:///{store}").get_experiment_by_name("lic_exp")
    assert len(connect(f"sqlite:///{store}").search_runs([experiment.experiment_id])) == 1


def test_a_store_locked_for_the_whole_run(tmp_path: Path, store: Path) -> None:
    with locked(store):
        done = launch(*RUN, folder=tmp_path)  # which waits for its end no longer than minutes
        assert done.returncode == 0, done.stderr
        run = the_run(tmp_path)
        *_, last = run.metrics()
        assert last["step"] == 12
        assert run.status()["state"] == "done"
        assert "database is locked" in run.log.read_text()
        refused = lic_exp("sync", run.signature, folder=tmp_path)
        assert refused.returncode == 1
        assert "database is locked" in refused.stderr
        assert "1 of 1 did not get everything. Nothing is lost" in refused.stderr
    for _ in range(2):
        synced = sync(tmp_path)
        assert synced.returncode == 0, synced.stdout + synced.stderr
        assert_stored(run, store)
    assert "up to date" in synced.stdout
    (found,) = _mlflow_runs(store)
    assert (found.info.status, found.data.tags["lic_exp.state"]) == ("FINISHED", "done")


def _mlflow_runs(store: Path) -> list:
    client = connect(f"sqlite:///{store}")
    return client.search_runs([client.get_experiment_by_name("lic_exp").experiment_id])


def spoil(store: Path) -> None:
    store.write_bytes(b"not a database" * 100)


def make_newer(store: Path) -> None:
    with closing(sqlite3.connect(store)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'fedcba987654'")
        connection.commit()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        pytest.param(spoil, "file is not a database", id="corrupt"),
        pytest.param(make_newer, "the store has version fedcba987654, which MLflow ", id="newer"),
    ],
)
def test_a_store_that_cannot_be_used(tmp_path: Path, store: Path, damage, reason: str) -> None:
    well = store.read_bytes()
    damage(store)
    damaged = store.read_bytes()
    done = launch(*RUN, "tracker.mlflow.finish_timeout_s=6", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    run = the_run(tmp_path)
    (warning,) = (line for line in run.log.read_text().splitlines() if "takes nothing now" in line)
    assert reason in warning
    assert store.read_bytes() == damaged, "nobody touched what may be the only copy"
    refused = sync(tmp_path)
    assert refused.returncode == 1
    assert reason in refused.stderr
    store.write_bytes(well)
    assert sync(tmp_path).returncode == 0
    assert_stored(run, store)


def test_a_killed_run_goes_on_as_the_same_mlflow_run(tmp_path: Path, store: Path) -> None:
    process = start(str(ROOT / "launch.py"), *RUN, *LONG, folder=tmp_path)
    wait_for(lambda: _mlflow_runs_begun(store) and len(list(tmp_path.glob("runs/*/checkpoints/step_*.pt"))) > 1)
    process.send_signal(signal.SIGKILL)
    finish(process)
    before = the_run(tmp_path).status()
    assert before["state"] == "running", "it was killed while it trained"
    done = launch(*RUN, *LONG, folder=tmp_path)
    assert "going on from step" in done.stderr
    assert done.returncode == 0, done.stderr
    run = the_run(tmp_path)
    assert [entry["step"] for entry in run.metrics() if "train/loss" in entry] == [*range(1, 401)]
    stored, logged = mlflow_points(f"sqlite:///{store}", run), logged_points(run)
    assert len(_mlflow_runs(store)) == 1
    assert without_clock(stored) == without_clock(logged), "each point once, with the value of an undisturbed run"


def _mlflow_runs_begun(store: Path) -> bool:
    """Whether the store has points of the run that is going on."""
    with closing(sqlite3.connect(store, timeout=30)) as connection:
        return connection.execute("SELECT count(*) FROM metrics").fetchone()[0] > 20


def without_clock(points: list) -> list:
    """Of what depends on the machine's speed only the metric and step: it may stem from before the kill or after."""
    return [(name, step, None if name in WALL_CLOCK else value) for name, step, value in points]


def wait_for(condition) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "nothing came within 120 s"
        time.sleep(0.05)


def test_sync_while_a_run_trains(tmp_path: Path, store: Path) -> None:
    process = start(str(ROOT / "launch.py"), *RUN, *LONG, folder=tmp_path)
    wait_for(lambda: _mlflow_runs_begun(store))
    while_training = sync(tmp_path)
    done = finish(process)
    assert done.returncode == 0, done.stderr
    assert while_training.returncode == 0, while_training.stdout + while_training.stderr
    assert "by the run itself" in while_training.stdout
    assert_stored(the_run(tmp_path), store)


@pytest.mark.skipif(not (find_spec("wandb") and find_spec("tensorboard")), reason="needs lic-exp[tensorboard,wandb]")
def test_several_trackers_at_once_without_network_or_login(tmp_path: Path, store: Path, monkeypatch) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    done = launch(*RUN, "tracker=[mlflow,tensorboard,wandb]", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    run = the_run(tmp_path)
    assert_stored(run, store)
    assert wandb_points(run) == logged_points(run)
    floats = [(name, step, pytest.approx(value, rel=1e-6)) for name, step, value in logged_points(run)]
    assert tensorboard_points(run) == floats
    assert [path.name for path in tmp_path.iterdir()] == ["runs"], "nothing is left where it was started"


def test_sync_says_what_it_cannot_read(tmp_path: Path, store: Path) -> None:
    elsewhere = load_config(RUN[:1]).plain() | {"tracker": {"mlflow": {"_target_": "elsewhere.Tracker"}}}
    for name, config in (("aaaa", yaml.safe_dump(elsewhere)), ("bbbb", "[")):
        run = RunFolder(tmp_path / "runs" / name)
        run.create()
        run.update_status(state="done")
        run.config.write_text(config)
    found = sync(tmp_path)
    assert found.returncode == 1
    assert "elsewhere.Tracker is outside the packages" in found.stderr
    assert "bbbb, config.yaml: cannot be read" in found.stderr
    assert sync(tmp_path, "cccc").returncode == 2


def test_a_run_without_trackers_has_nothing_to_send(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "runs" / "aaaa")
    run.create()
    run.update_status(state="done")
    run.config.write_text(yaml.safe_dump(load_config(["data=synthetic", "tracker=none"]).plain()))
    found = sync(tmp_path)
    assert (found.returncode, found.stdout.strip()) == (0, "no run names a store: nothing to send")
