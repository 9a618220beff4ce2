"""Step, best and pace of a run by its metrics file, of which every byte is read once."""

import builtins
import json
import math

import pytest

from lic_exp.runs.listing import progress
from lic_exp.runs.run import Run
from lic_exp.sweeps.states import seconds_per_step
from lic_exp.tracking import jsonl_reader, names
from lic_exp.tracking.base import MetricsWriter
from lic_exp.tracking.jsonl_reader import REMEMBERED
from lic_exp.tracking.logged import LATEST, Logged, logged
from lic_exp.tracking.run_folder import RunFolder, encode_metrics


@pytest.fixture
def run(tmp_path):
    made = RunFolder(tmp_path / "0123456789abcdef")
    made.create()
    return made


@pytest.fixture
def read(monkeypatch):
    """How many bytes each look has read."""
    counts = []

    class Counting:
        def __init__(self, path):
            self.file = builtins.open(path, "rb")  # noqa: SIM115 (closed by __exit__)
            counts.append(0)

        def read(self, *size):
            found = self.file.read(*size)
            counts[-1] += len(found)
            return found

        def seek(self, offset):
            return self.file.seek(offset)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

    monkeypatch.setattr(jsonl_reader, "open_file", Counting)
    monkeypatch.setattr(RunFolder, "metrics", None)
    return counts


def line(step, **more):
    return encode_metrics({"step": step, "epoch": 0, "time": 1000.0 + 2 * step} | more)


def validation(step, value):
    return line(step, **{names.VAL_RD_LOSS: value})


def append(run, *lines):
    with open(run.metrics_file, "a") as file:
        file.write("".join(lines))


RUNNING = {"state": "running", "started": 0.0}


def test_later_looks_read_only_what_is_new(run, read):
    """Whoever watches a sweep looks twice a second at every run, for a week."""
    append(run, *(line(step, **{"filler" * 8: 1}) for step in range(1000)), validation(1000, 2.5))
    size = run.metrics_file.stat().st_size
    assert progress(run, RUNNING, "running") == (1000, 2.5)
    assert read == [size]
    assert seconds_per_step(Run(run.root)) == 2.0
    for _ in range(3):
        assert progress(run, RUNNING, "running") == (1000, 2.5)
    assert read == [size] + 4 * [REMEMBERED]
    new = [validation(1001, 1.5), line(1002), line(1003)[:-1]]
    append(run, *new)
    assert progress(run, RUNNING, "running") == (1002, 1.5), "a torn line is no entry yet"
    assert read[-1] == REMEMBERED + sum(map(len, new))


def test_a_file_that_was_cut_back_and_written_on_is_read_anew(run, read):
    """As a resumed run does it, be the file shorter or longer by then."""
    append(run, *(validation(step, 10.0 - step) for step in range(1, 9)))
    assert logged(run.metrics_file).best == 2.0
    for steps in (2, 9):
        with MetricsWriter(run) as writer:
            writer.rewind(len(validation(1, 9.0)))
        append(run, *(validation(step, 10.5 - step) for step in range(2, 2 + steps)))
        found = logged(run.metrics_file)
        assert (found.step, found.best) == (1 + steps, 9.5 - steps)
        assert len(found.latest) == 1 + steps


def test_a_file_that_is_gone_or_another_counts_nothing_of_the_former(run):
    assert logged(run.metrics_file) == Logged()
    append(run, validation(5, 1.0))
    assert logged(run.metrics_file).step == 5
    run.metrics_file.unlink()
    assert logged(run.metrics_file) == Logged()
    append(run, line(1))
    assert (logged(run.metrics_file).step, logged(run.metrics_file).best) == (1, None)


def test_the_same_relative_path_elsewhere_is_another_file(run, tmp_path, monkeypatch):
    append(run, line(3))
    for place, step in ((run.root, 3), (tmp_path, None)):
        monkeypatch.chdir(place)
        assert logged(RunFolder(".").metrics_file).step == step


def test_what_is_not_finite_or_damaged_is_passed_over(run):
    append(run, validation(1, math.nan), "\0\0\0\n", "[1]\n", validation(2, 3.0), validation(3, -math.inf), "{}\n")
    found = logged(run.metrics_file)
    assert (found.step, found.best) == (3, 3.0)


def test_the_pace_is_that_of_the_latest_entries_of_the_attempt(run):
    append(run, *(line(step, time=10.0 * step) for step in range(100)), line(100, time=991.0))
    found = logged(run.metrics_file)
    assert len(found.latest) == LATEST
    assert found.seconds_per_step(since=0.0) == pytest.approx((991 - 610) / 39)
    assert found.seconds_per_step(since=990.0) == 1.0
    assert found.seconds_per_step(since=991.0) is None
    run.update_status(state="running", started=990.0)
    assert seconds_per_step(Run(run.root)) == 1.0


def no_constants(name):
    raise AssertionError(f"{name} is no JSON")


def test_the_best_of_a_run_without_a_validation_is_null(run):
    """Infinity, as Python would write it, is no JSON; what was written so is read all the same."""
    run.update_status(state="preempted", step=1, best=math.inf, list=[math.nan, {"deep": -math.inf}])
    status = json.loads(run.status_file.read_text(), parse_constant=no_constants)
    assert (status["best"], status["list"]) == (None, [None, {"deep": None}])
    assert progress(run, status, "preempted") == (1, None)
    run.status_file.write_text('{"state": "preempted", "step": 1, "best": Infinity}')
    assert progress(run, run.status(), "preempted") == (1, None)
    assert run.update_status(reason="")["step"] == 1
    assert run.status()["best"] is None
