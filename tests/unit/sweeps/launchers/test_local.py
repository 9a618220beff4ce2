"""The pool's decisions, with cells that are scripts of a few milliseconds; test_sweeps.py has real ones."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from pool_fakes import FAKE, begun, options, run, shown

from lic_exp import exit_codes
from lic_exp.config.errors import ConfigError
from lic_exp.processes import identity, lives
from lic_exp.sweeps.control import cancel, run_sweep, wait
from lic_exp.sweeps.display import failure_lines
from lic_exp.sweeps.launcher import find_launcher
from lic_exp.sweeps.launchers.local.options import slot_environment, slots
from lic_exp.sweeps.states import exit_code, states


def test_a_failure_is_one_cells_own(make):
    sweep = make(a="done", b="raise", c="kill", d="done")
    run(sweep, slots=2)
    assert shown(sweep) == {"a": "done", "b": "failed", "c": "killed", "d": "done"}
    assert exit_code(sweep, sweep.cells) == exit_codes.FAILED
    found = states(sweep)
    assert found["b"].reason == "RuntimeError: broke"
    assert found["b"].exit_code == 1
    assert found["c"].exit_code == -signal.SIGKILL


def test_failures_are_grouped_by_what_went_wrong(make):
    sweep = make(a="raise", b="raise", c="kill")
    run(sweep)
    text = "".join(map(str, failure_lines(states(sweep).values())))
    assert "2 failed: RuntimeError, exit code 1 (cell a, cell b)" in text
    assert "RuntimeError: broke" in text
    assert "1 killed, exit code -9 (cell c)" in text


def test_no_more_run_at_a_time_than_there_are_slots_and_each_has_its_gpu(make):
    sweep = make(**{f"c{place}": "done" for place in range(8)})
    run(sweep, slots=2, gpus=[0, "GPU-x"])
    spans = [(begun(sweep, name)[0][0], float((sweep.runs / name / "ended").read_text())) for name in shown(sweep)]
    assert max(sum(start <= when < end for start, end in spans) for when, _ in spans) <= 4
    assert {gpu for name in shown(sweep) for _, gpu in begun(sweep, name)} == {"0", "GPU-x"}


def test_slots_are_dealt_gpu_by_gpu_and_threads_divided(monkeypatch):
    assert slots(options(slots=2, gpus=[0, 1])) == ["0", "1", "0", "1"]
    assert slots(options(slots=3)) == [None] * 3
    assert slots(options(slots=3), devices=2) == [None] * 3
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    assert slots(options(gpus="all")) == ["4", "7"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(ConfigError, match="this machine shows no GPU"):
        slots(options(gpus="all"))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(12)))
    assert slot_environment(options(), None, 4)["OMP_NUM_THREADS"] == "3"
    assert slot_environment(options(threads=5), "1", 4) == {
        "OMP_NUM_THREADS": "5",
        "MKL_NUM_THREADS": "5",
        "OPENBLAS_NUM_THREADS": "5",
        "CUDA_VISIBLE_DEVICES": "1",
    }


def test_a_budget_of_retries(make):
    sweep = make(a="once", b="raise")
    run(sweep, retries=2)
    assert shown(sweep) == {"a": "done", "b": "failed"}
    assert (len(begun(sweep, "a")), len(begun(sweep, "b"))) == (2, 3)


def test_fail_fast_stops_the_others_and_starts_no_more(make):
    sweep = make(a="wait", b="raise", c="done")
    run(sweep, slots=2, fail_fast=True)
    assert shown(sweep) == {"a": "preempted", "b": "failed", "c": "waiting"}


def test_after_max_failures_what_runs_goes_on_and_nothing_starts(make):
    sweep = make(a="raise", b="raise", c="done", d="done")
    run(sweep, max_failures=2)
    assert shown(sweep) == {"a": "failed", "b": "failed", "c": "waiting", "d": "waiting"}


def test_a_chain_goes_in_order_and_waits_for_no_dead_end(make):
    sweep = make(
        c=("done", {"parent": "b"}), b=("done", {"parent": "a"}), a="done", y=("done", {"parent": "x"}), x="raise"
    )
    run(sweep, slots=3)
    assert shown(sweep) == {"c": "done", "b": "done", "a": "done", "y": "blocked", "x": "failed"}
    ended = {name: float((sweep.runs / name / "ended").read_text()) for name in "ab"}
    assert ended["a"] <= begun(sweep, "b")[0][0]
    assert ended["b"] <= begun(sweep, "c")[0][0]
    assert "it starts from cell x, which is failed" in states(sweep)["y"].reason
    assert not begun(sweep, "y")


def test_screening_goes_on_with_the_best_alone(make):
    kept = {"keep": 1}
    cells = {}
    for group, bests in {"g": (1.0, 2.0), "h": (1.2, 1.4), "i": (0.1, 0.1)}.items():
        for seed, best in enumerate(bests):
            does = "raise" if (group, seed) == ("i", 1) else "done"
            cells[f"{group}{seed}"] = (does, {"group": group, "first": True, "best": best, **kept})
            cells[f"{group}{seed}rest"] = ("done", {"group": group, **kept})
    sweep = make(**cells)
    run(sweep, slots=2)
    found = shown(sweep)
    assert [found["h0rest"], found["h1rest"]] == ["done", "done"]
    assert {found[name] for name in ("g0rest", "g1rest", "i0rest", "i1rest")} == {"screened_out"}
    first = [begun(sweep, name)[0][0] for name in cells if not name.endswith("rest")]
    assert max(first) <= begun(sweep, "h0rest")[0][0]


def test_a_stop_asks_the_cells_and_what_waits_stays_waiting(make):
    sweep = make(a="wait", b="wait", c="done")
    run(sweep, stop=lambda: "SIGINT" if begun(sweep, "a") and begun(sweep, "b") else None, slots=2)
    assert shown(sweep) == {"a": "preempted", "b": "preempted", "c": "waiting"}
    assert exit_code(sweep, sweep.cells) == exit_codes.PREEMPTED
    (sweep.runs / "go").touch()
    assert run_sweep(sweep, options()) == exit_codes.DONE
    assert [len(begun(sweep, name)) for name in "abc"] == [2, 2, 1]


def test_a_time_limit_is_named_and_one_that_does_not_stop_is_killed(make, tmp_path):
    sweep = make(a="wait")
    run(sweep, time_limit_min=0.005)
    assert shown(sweep) == {"a": "time_limit"}
    assert states(sweep)["a"].exit_code == exit_codes.PREEMPTED
    fake = tmp_path / "fake.py"
    fake.write_text(FAKE.replace("os._exit(75)", "pass"))
    run(sweep, time_limit_min=0.005, grace_s=0.2)
    assert shown(sweep) == {"a": "time_limit"}
    assert "did not stop in time and was killed" in states(sweep)["a"].reason


def test_a_retry_comes_after_what_waits_and_only_of_what_may_end_otherwise(make):
    sweep = make(a="once", b="done", c="diverge", d="refuse", e="kill")
    run(sweep, retries=1)
    assert shown(sweep) == {"a": "done", "b": "done", "c": "diverged", "d": "refused", "e": "killed"}
    assert [len(begun(sweep, name)) for name in "abcde"] == [2, 1, 1, 1, 2]
    assert begun(sweep, "a")[1] > max(begun(sweep, name)[0] for name in "bcde")


@pytest.mark.parametrize(
    ("others", "code"),
    [
        ({}, exit_codes.PREEMPTED),
        ({"b": "done"}, exit_codes.PREEMPTED),
        ({"b": ("done", {"parent": "a"})}, exit_codes.PREEMPTED),
        ({"b": "raise"}, exit_codes.FAILED),
        ({"b": "diverge"}, exit_codes.FAILED),
        ({"b": "refuse"}, exit_codes.FAILED),
    ],
)
def test_a_time_limit_is_a_stop_and_no_failure(make, others, code):
    sweep = make(a="wait", **others)
    told = run(sweep, time_limit_min=0.005, fail_fast=code == exit_codes.PREEMPTED, max_failures=1)
    assert shown(sweep)["a"] == "time_limit"
    assert not any("max_failures" in line or "fail_fast" in line for line in told if code == exit_codes.PREEMPTED)
    assert exit_code(sweep, sweep.cells) == code


def test_a_cancelled_cell_stops_or_does_not_start_until_it_is_asked_for_again(make):
    sweep = make(a="wait", b="done", c="done")
    cancel(sweep, [sweep.cells[2]])
    run(sweep, stop=lambda: cancel(sweep, [sweep.cells[0]]) and None if begun(sweep, "a") else None)
    assert shown(sweep) == {"a": "cancelled", "b": "done", "c": "cancelled"}
    (sweep.runs / "go").touch()
    assert run_sweep(sweep, options()) == exit_codes.DONE
    assert [len(begun(sweep, name)) for name in "abc"] == [2, 1, 1]


def test_what_a_dead_pool_left_running_is_attached_and_not_started_again(make, tmp_path):
    sweep = make(a="wait", b="done")
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "fake.py"), str(sweep.frozen(sweep.cells[0]))], start_new_session=True
    )
    try:
        sweep.record_attempt(
            sweep.cells[0], identity(process.pid) | {"slot": 0, "started": time.time(), "log_begin": 0}
        )
        while not begun(sweep, "a"):
            time.sleep(0.01)
        assert shown(sweep)["a"] == "running"

        def reap():
            (sweep.runs / "go").touch()
            process.poll()  # in life its parent is gone, and init does this

        told = run(sweep, stop=reap)
    finally:
        process.kill()
        process.wait()
    assert "cell a: runs already, attached" in told
    assert shown(sweep) == {"a": "done", "b": "done"}
    assert len(begun(sweep, "a")) == 1


def test_a_dead_heartbeat_is_found(make):
    sweep = make(a="done")
    gone = subprocess.Popen([sys.executable, "-c", ""])
    record = identity(gone.pid)
    gone.wait()
    assert not lives(record)
    sweep.record_attempt(sweep.cells[0], record | {"slot": 0, "started": time.time(), "log_begin": 0})
    status = {"state": "running", "pid": gone.pid, "host": socket.gethostname(), "heartbeat": time.time(), "started": 1}
    (sweep.runs / "a").mkdir()
    (sweep.runs / "a" / "status.json").write_text(json.dumps(status))
    assert shown(sweep) == {"a": "dead"}
    assert wait(sweep, timeout_s=5) == exit_codes.FAILED
    run(sweep)
    assert shown(sweep) == {"a": "done"}


def test_a_run_that_was_removed_waits_again(make):
    sweep = make(a="done")
    run(sweep)
    for path in (sweep.runs / "a").iterdir():
        path.unlink()
    assert shown(sweep) == {"a": "waiting"}
    run(sweep)
    assert shown(sweep) == {"a": "done"}


def test_a_damaged_status_is_a_cells_own_and_ends_no_pool(make):
    """Left by whatever came before, and by a cell that breaks it itself."""
    sweep = make(a="done", b="damage", c="done")
    for name in "ab":
        (sweep.runs / name).mkdir()
        (sweep.runs / name / "status.json").write_text('{"state": "do')
    assert shown(sweep) == {"a": "unreadable", "b": "unreadable", "c": "waiting"}
    told = run(sweep)
    assert shown(sweep) == {"a": "done", "b": "unreadable", "c": "done"}
    assert any(text.startswith("cell b: failed after") for text in told)
    assert "status.json cannot be read" in states(sweep)["b"].reason
    assert exit_code(sweep, sweep.cells) == exit_codes.FAILED


def test_a_search_needs_a_pool_in_the_foreground():
    launcher = find_launcher("local")
    assert launcher.slots(options(slots=3)) == 3
    assert launcher.slots(options(slots=3, detach=True)) is None


def test_a_chain_whose_first_cell_fails_ends(make):
    sweep = make(a="raise", b=("done", {"parent": "a"}), c=("done", {"parent": "b"}), d=("done", {"parent": "c"}))
    run(sweep)
    assert shown(sweep) == {"a": "failed", "b": "blocked", "c": "blocked", "d": "blocked"}


def unlogged(sweep, cell):
    sweep.log(cell).mkdir()


def unrecorded(sweep, cell):
    (sweep.folder / "cells" / f"{cell.signature}.attempt").mkdir()


def unended(sweep, cell):
    sweep.exit_file(cell).mkdir()


@pytest.mark.parametrize("how", [unlogged, unrecorded, unended])
def test_a_cell_whose_process_cannot_be_started_stops_no_other(make, how):
    sweep = make(a="done", b="done")
    how(sweep, sweep.cells[0])
    told = run(sweep)
    assert any(line.startswith("cell a: failed: its process could not be started: ") for line in told)
    found = shown(sweep)
    assert found["b"] == "done"
    assert found["a"] in ("failed", "unreadable")
