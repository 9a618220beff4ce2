"""Trackers of every kind, and the group that takes several of them."""

import inspect
import json
import math
import sys
import threading
import types
from importlib.util import find_spec

import pytest
import yaml
from stores import logged_points, tensorboard_points, wandb_points

from lic_exp import source_text
from lic_exp.config import validation
from lic_exp.config.compose import compose
from lic_exp.config.errors import ConfigError
from lic_exp.config.options import options
from lic_exp.config.overrides import parse
from lic_exp.config.validation import validate
from lic_exp.runs.build import build_tracker
from lic_exp.tracking.background_sync import BackgroundSync, Trackers
from lic_exp.tracking.base import BusyError, MetricsWriter, claim, forget
from lic_exp.tracking.mlflow_projection import MlflowTracker
from lic_exp.tracking.run_folder import RunFolder
from lic_exp.tracking.tensorboard_projection import TensorboardTracker
from lic_exp.tracking.wandb_projection import WandbTracker

TIMES = {"flush_s": 0.02, "finish_timeout_s": 20.0}
NOT_HERE = "not installed: pip install 'lic-exp[tensorboard,wandb]'"
needs_tensorboard = pytest.mark.skipif(find_spec("tensorboard") is None, reason=NOT_HERE)
needs_wandb = pytest.mark.skipif(find_spec("wandb") is None, reason=NOT_HERE)


@pytest.fixture
def run(tmp_path):
    folder = RunFolder(tmp_path / "0123456789abcdef")
    folder.create()
    folder.config.write_text(yaml.safe_dump({"optimizer": {"lr": 1e-4}, "tracker": {"x": {"uri": "http://me:pw@h"}}}))
    folder.update_status(state="running")
    return folder


def write(run, steps, offset=0.0):
    """Log as a run does: every step's training numbers, and validation in an entry of its own."""
    with MetricsWriter(run) as writer:
        for step in steps:
            writer.write({"train/loss": step + offset, "train/lr": 0.25}, step=step, epoch=0)
            if step % 2 == 0:
                writer.write({"val/rd_loss": -step + offset}, step=step, epoch=0)


def cut_back(run, step):
    """Drop what was logged after `step`, as a resume from its checkpoint does."""
    lines = run.metrics_file.read_text().splitlines(keepends=True) if run.metrics_file.exists() else []
    run.metrics_file.write_text("".join(line for line in lines if json.loads(line)["step"] <= step))


def tensorboard_of(run):
    return TensorboardTracker(run, None, **TIMES)


def wandb_of(run, mode="offline"):
    return WandbTracker(run, "a name", mode=mode, project="tests", entity=None, **TIMES)


RENDITIONS = [
    pytest.param(tensorboard_of, tensorboard_points, marks=needs_tensorboard, id="tensorboard"),
    pytest.param(wandb_of, wandb_points, marks=needs_wandb, id="wandb"),
]


@pytest.mark.parametrize(("tracker", "points"), RENDITIONS)
class TestRenditions:
    """Stores that are written anew from the run folder."""

    def test_points_equal_the_run_folder_and_repeating_changes_nothing(self, run, tracker, points):
        write(run, range(1, 8))
        assert tracker(run).sync() == len(logged_points(run))
        assert points(run) == logged_points(run)
        tracker(run).sync()
        assert points(run) == logged_points(run)

    def test_a_resumed_run_replaces_the_steps_that_it_repeats(self, run, tracker, points):
        for first, offset, state in ((1, 0, "preempted"), (4, 0.5, "done")):
            cut_back(run, first - 1)
            live = tracker(run)
            live.start()
            write(run, range(first, first + 6), offset)
            live.poke()
            live.finish(state)
            assert points(run) == logged_points(run)

    def test_a_run_cut_back_under_a_live_tracker(self, run, tracker, points):
        write(run, range(1, 6))
        sent = threading.Event()
        live = tracker(run)
        live._open = _noticing(live._open, sent)
        live.start()
        assert sent.wait(30)
        cut_back(run, 2)
        write(run, range(3, 9), 0.5)
        live.poke()
        live.finish("done")
        assert points(run) == logged_points(run)

    def test_not_finite_values(self, run, tracker, points):
        with MetricsWriter(run) as writer:
            for step, value in enumerate((math.nan, math.inf, -math.inf)):
                writer.write({"train/loss": value}, step=step, epoch=0)
        tracker(run).sync()
        (_, _, first), *others = sorted(points(run), key=lambda point: point[1])
        assert math.isnan(first)
        assert [value for _, _, value in others] == [math.inf, -math.inf]


def _noticing(open_projection, sent):
    """The same, setting `sent` once metrics were sent for the first time."""

    def opened():
        projection = open_projection()
        send = projection.send_metrics

        def send_metrics():
            count = send()
            sent.set()
            return count

        projection.send_metrics = send_metrics
        return projection

    return opened


@needs_wandb
def test_wandb_offline_says_what_the_run_is_and_no_password(run):
    write(run, [1])
    wandb_of(run).sync()
    (file,) = run.root.glob("wandb/offline-run-*/*.wandb")
    content = file.read_bytes()
    assert b"a name" in content
    assert b"optimizer" in content
    assert b"pw" not in content.replace(b"http", b"")


class FakeWandbRun:
    """What the server of an online run has: {step: row}; a step cannot be changed once a later one is there."""

    def __init__(self, rows):
        self.rows, self.summary = rows, {}
        self.starting_step = max(rows, default=-1) + 1

    def log(self, row, *, step):
        assert step >= max(self.rows, default=0), "wandb drops steps before the newest"
        self.rows.setdefault(step, {}).update(row)

    def finish(self, exit_code=None):
        self.exit_code = exit_code


@pytest.fixture
def online(monkeypatch):
    """A stand-in for wandb and its server: {run id: rows}, and the runs that were opened."""
    server, opened = {}, []

    def init(*, id, mode, resume, **more):
        assert (mode, resume) == ("online", "allow")
        opened.append(FakeWandbRun(server.setdefault(id, {})))
        return opened[-1]

    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(init=init, Settings=dict, teardown=lambda: None))
    return server, opened


def test_wandb_online_sends_whole_steps_and_each_once(run, online):
    server, opened = online
    write(run, range(1, 5))
    half = run.metrics_file.read_text()
    run.metrics_file.write_text("".join(half.splitlines(keepends=True)[:-1]))  # killed before the validation of step 4
    wandb_of(run, "online").sync()
    ((_, rows),) = server.items()
    assert sorted(rows) == [1, 2, 3]
    run.metrics_file.write_text(half)
    write(run, [5])
    run.update_status(state="failed")
    wandb_of(run, "online").sync()
    assert len(server) == 1, "the same wandb run"
    points = sorted((name, step, value) for step, row in rows.items() for name, value in row.items())
    assert points == logged_points(run)
    assert [one.exit_code for one in opened] == [0, 1]


EVALUATION = {"mean": {"bpp": 0.5, "psnr": 31.0}, "evaluation": "0a1b2c3d"}
FOUND = {"eval/bpp": 0.5, "eval/psnr": 31.0}


@pytest.mark.parametrize(("state", "found"), [("done", FOUND), ("failed", {}), ("running", {})])
def test_wandb_has_what_an_evaluation_found_in_its_summary(run, online, state, found):
    write(run, [1, 2])
    run.update_status(state=state, step=2)
    (run.eval / "evaluation.json").write_text(json.dumps(EVALUATION))
    for _ in range(2):
        wandb_of(run, "online").sync()
    assert [one.summary for one in online[1]] == [found, found]
    assert not any("eval/psnr" in row for rows in online[0].values() for row in rows.values())


@needs_tensorboard
@pytest.mark.parametrize(("state", "found"), [("done", FOUND), ("failed", {})])
def test_tensorboard_has_what_an_evaluation_found_at_the_last_step(run, state, found):
    write(run, [1, 2])
    run.update_status(state=state, step=2)
    (run.eval / "evaluation.json").write_text(json.dumps(EVALUATION))
    for _ in range(2):
        tensorboard_of(run).sync()
        expected = [(name, 2, value) for name, value in found.items()]
        assert tensorboard_points(run) == sorted([*logged_points(run), *expected])


class Store:
    """A store in memory whose opening fails as often as it is told to."""

    def __init__(self, failures=0, error="away"):
        self.failures, self.error = failures, error
        self.points, self.states, self.open_now, self.most_open = [], [], 0, 0
        self.gate = threading.Event()
        self.gate.set()

    def open(self, run):
        if self.failures:
            self.failures -= 1
            raise ConnectionError(self.error)
        self.open_now += 1
        self.most_open = max(self.most_open, self.open_now)
        return InMemory(self, run)


class InMemory:
    def __init__(self, store, run):
        self.store, self.run = store, run

    def send_metrics(self):
        self.store.gate.wait(30)
        new = [point for point in logged_points(self.run) if point not in self.store.points]
        self.store.points += new
        return len(new)

    def send_state(self, state):
        self.store.states.append(state)

    def close(self):
        self.store.open_now -= 1


def following(run, store, **changes):
    times = TIMES | changes
    return BackgroundSync(run, lambda: store.open(run), "a store", times["flush_s"], times["finish_timeout_s"])


def test_a_store_that_comes_back_gets_everything(run, caplog):
    store = Store(failures=3, error="no route to //me:pw@host\nmore")
    live = following(run, store)
    live.start()
    write(run, range(1, 4))
    live.finish("done")
    assert sorted(store.points) == logged_points(run)
    assert (store.states, store.open_now) == (["running", "done"], 0)
    (warning,) = caplog.messages
    assert "a store takes nothing now (ConnectionError: no route to //host). Nothing is lost" in warning


def test_nobody_else_sends_a_run_that_is_being_followed(run):
    store = Store()
    live = following(run, store)
    live.start()
    while not store.states:
        threading.Event().wait(0.01)
    with pytest.raises(BusyError, match="a store"):
        following(run, store).sync()
    live.finish("done")
    write(run, [1])
    assert following(run, store).sync() == 2
    assert store.most_open == 1


def test_a_follower_waits_for_a_sync_to_end(run, caplog):
    store = Store()
    write(run, [1, 2])
    live = following(run, store)
    with claim(run, "a store"):
        live.start()
        threading.Event().wait(0.1)
        assert store.points == []
    live.finish("done")
    assert sorted(store.points) == logged_points(run)
    assert caplog.messages == []


def test_a_store_that_hangs_keeps_no_other_from_finishing(run, caplog):
    write(run, [1])
    hanging, well = Store(), Store()
    hanging.gate.clear()
    other = BackgroundSync(run, lambda: well.open(run), "another store", 0.02, 20.0)
    both = Trackers([following(run, hanging, finish_timeout_s=0.3), other])
    both.start()
    both.poke()
    both.finish("failed")
    assert (sorted(well.points), hanging.points) == (logged_points(run), [])
    assert well.states[-1] == "failed"
    assert ["a store did not take everything" in message for message in caplog.messages] == [True]
    hanging.gate.set()


def test_a_run_that_starts_over_is_a_new_one_in_its_stores(run):
    write(run, [1])
    store = f"sqlite:///{run.root}/mlflow.db"
    tracker = MlflowTracker(run, None, uri=store, experiment="tests", **TIMES)
    tracker.sync()
    before = (run.root / "tracking" / "mlflow.json").read_text()
    forget(run)
    forget(run)
    tracker.sync()
    assert (run.root / "tracking" / "mlflow.json").read_text() != before


def chosen(*overrides):
    return validate(compose(parse(overrides))).tracker


@pytest.mark.parametrize(
    ("override", "names"),
    [
        ("tracker=none", []),
        ("tracker=mlflow", ["mlflow"]),
        ("tracker=[mlflow,tensorboard]", ["mlflow", "tensorboard"]),
        ("tracker.mlflow=null", []),
        ("debug=overfit", []),
    ],
)
def test_any_number_of_trackers_can_be_chosen(override, names, monkeypatch):
    monkeypatch.setattr(validation, "not_installed", lambda path, component: ())
    assert list(chosen(override).components) == names


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["tracker=[mlflow,tensorbord]"], "tracker has no option 'tensorbord'. Did you mean tensorboard? Valid: mlfl"),
        (["tracker=[]"], "tracker=[]: tracker has no option '[]'. Valid: mlflow, none"),
        (["tracker.mlflow.urii=x"], "tracker.mlflow.urii: there is no such key. Did you mean tracker.mlflow.uri? Val"),
        (["tracker.mlflow.flush_s=0"], "tracker.mlflow.flush_s=0: should be greater than 0"),
        (["tracker.uri=x"], "tracker.uri: there is no such key. Did you mean tracker.mlflow.uri? Chosen: tracker.mlfl"),
        (["tracker.mlflw.uri=x"], "tracker.mlflw.uri: there is no such key. Did you mean tracker.mlflow? Chosen: trac"),
        (["tracker.wandb.mode=online"], "tracker.wandb.mode: wandb is not chosen; choose tracker=[mlflow,wandb]"),
        (["tracker=none", "tracker.mlflow.uri=x"], "tracker.mlflow.uri: mlflow is not chosen; choose tracker=mlflow"),
        (["tracker.mlflow=3"], "tracker.mlflow: mlflow is not chosen; choose tracker=mlflow"),
        (["tracker.mlflow._target_=a.B"], "tracker.mlflow._target_: a.B is outside the packages that may be instan"),
    ],
)
def test_what_is_wrong_with_trackers(overrides, message):
    with pytest.raises(ConfigError) as caught:
        chosen(*overrides)
    (found,) = caught.value.messages
    assert message in found


@pytest.mark.parametrize("name", ["wandb", "tensorboard"])
@pytest.mark.parametrize("found", [None, types.SimpleNamespace(origin=None)], ids=["absent", "a folder of that name"])
def test_a_missing_package_is_an_error_before_anything_starts(name, found, monkeypatch):
    monkeypatch.setattr(source_text, "find_spec", lambda package: found if package == name else find_spec(package))
    with pytest.raises(ConfigError) as caught:
        chosen(f"tracker=[mlflow,{name}]")
    assert caught.value.messages == [f"tracker.{name} needs the package {name}: pip install 'lic-exp[{name}]'"]


@pytest.mark.parametrize("name", [name for name in options("tracker") if name != "none"])
def test_every_tracker_binds(name, run, monkeypatch):
    monkeypatch.setattr(validation, "not_installed", lambda path, component: ())
    config = validate(compose(parse([f"tracker={name}"])))
    component = config.tracker.components[name]
    kind = {"mlflow": MlflowTracker, "tensorboard": TensorboardTracker, "wandb": WandbTracker}[name]
    parameters = [p for p in inspect.signature(kind).parameters.values() if p.kind == p.KEYWORD_ONLY]
    assert list(component.options) == [parameter.name for parameter in parameters]
    assert all(parameter.default is parameter.empty for parameter in parameters)
    assert isinstance(build_tracker(config, run), Trackers)
    assert build_tracker(validate(compose(parse(["tracker=none"]))), run) is None
