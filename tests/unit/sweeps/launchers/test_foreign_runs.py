"""Cells whose runs another process has: followed, left alone, and never a reason to go on."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from filelock import FileLock
from pool_fakes import begun, run, shown

from lic_exp import exit_codes
from lic_exp.processes import identity
from lic_exp.runs.cleaning import _old
from lic_exp.sweeps.control import cancel
from lic_exp.sweeps.launchers.local.launcher import _settled_since
from lic_exp.sweeps.launchers.slurm.job import Job
from lic_exp.sweeps.states import pool_lives, states
from lic_exp.tracking.run_folder import DEAD_AFTER_S

ELSEWHERE = {"host": "elsewhere", "pid": 4, "ticks": 5}
CLOCKS = (-86400, -590, -150, 0, 150, 590, 86400)


def foreign(sweep, name, clock=0, **more):
    """The run of a cell as another process has it, on a machine whose clock is so many seconds ahead."""
    (sweep.runs / name).mkdir(exist_ok=True)
    status = ELSEWHERE | {"state": "running", "heartbeat": time.time() + clock, "started": time.time()}
    (sweep.runs / name / "status.json").write_text(json.dumps(status | more))


def aged(path, seconds):
    """The file as it was written so long ago."""
    os.utime(path, (time.time() - seconds,) * 2)


def begun_or(sweep, name, looks=300):
    """Says SIGTERM once a cell has begun; fails where that never happens."""
    left = iter(range(looks))
    return lambda: (
        "SIGTERM" if begun(sweep, name) else pytest.fail("it never began") if next(left) == looks - 1 else None
    )


@pytest.mark.parametrize("clock", [0, 590])
def test_a_pool_that_is_asked_to_stop_does_not_wait_for_others(make, clock):
    sweep = make(a="done", b="wait", c="done")
    foreign(sweep, "a", clock)
    told = run(sweep, stop=begun_or(sweep, "b"))
    assert "cell a: left to the process that runs it" in told
    assert "SIGTERM: 1 cells are asked to stop; each writes its checkpoint first" in told
    assert shown(sweep) == {"a": "running", "b": "preempted", "c": "waiting"}


def test_a_pool_with_nothing_but_others_cells_ends_at_once(make):
    sweep = make(a="done", b="done")
    foreign(sweep, "a")
    foreign(sweep, "b", 590)
    looks = []
    run(sweep, stop=lambda: looks.append(1) or "SIGTERM")
    assert len(looks) == 1
    assert not begun(sweep, "a")


def test_other_peoples_cells_are_followed_until_cancelled(make):
    sweep = make(a="done", b=("done", {"parent": "a"}))
    foreign(sweep, "a")
    run(sweep, stop=lambda: cancel(sweep, sweep.cells[:1]) and None)
    assert shown(sweep) == {"a": "running", "b": "waiting"}
    assert json.loads((sweep.runs / "a" / "status.json").read_text())["pid"] == ELSEWHERE["pid"]


def test_a_job_on_this_machine_is_not_stopped_by_a_pool(make):
    """It belongs to its queue."""
    sweep = make(a="done")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as job:
        sweep.record_attempt(sweep.cells[0], identity(job.pid) | {"job": "7_0", "started": time.time()})
        run(sweep, stop=lambda: "SIGTERM")
        assert job.poll() is None
        job.kill()


BUSY = f"""
import json, pathlib, sys
run = pathlib.Path(sys.argv[1]).parents[3] / "a"
if pathlib.Path(sys.argv[1]).stem == "a" and not run.exists():
    run.mkdir()
    (run / "status.json").write_text(json.dumps(STATUS))
    sys.exit({exit_codes.BUSY})
"""


@pytest.mark.parametrize("ending", ["done", "failed"])
def test_a_start_that_another_process_refused_is_no_try(make, tmp_path, ending):
    """It began the run while ours was being built, and ended it."""
    sweep = make(a="once", b="done")
    fake = tmp_path / "fake.py"
    status = ELSEWHERE | {"state": ending, "reason": "theirs", "best": 1.0, "started": 1.0, "attempt": 1}
    fake.write_text(BUSY.replace("STATUS", repr(status)) + fake.read_text())
    told = run(sweep, retries=1)
    found = states(sweep)["a"]
    assert found.state == "done"
    if ending == "done":
        assert "cell a: done, by another process" in told
        assert (begun(sweep, "a"), found.exit_code, found.attempts) == ([], None, 1)
    else:
        assert len(begun(sweep, "a")) == 2, "its one retry is left to it"


@pytest.mark.parametrize("whose", ["ours", "theirs"])
def test_after_max_failures_what_fails_meanwhile_is_not_begun_again(make, whose):
    sweep = make(a="refuse", b="wait_raise")
    if whose == "theirs":
        foreign(sweep, "b")

    def stop():
        if sweep.attempt(sweep.cells[0]).get("ended") and (whose == "theirs" or begun(sweep, "b")):
            (sweep.runs / "go").touch()
            if whose == "theirs":
                foreign(sweep, "b", state="failed")

    told = run(sweep, stop=stop, slots=2, retries=3, max_failures=1)
    assert shown(sweep) == {"a": "refused", "b": "failed"}
    assert len(begun(sweep, "b")) == (whose == "ours")
    assert not any("tried again" in text for text in told)


@pytest.mark.parametrize("ours", [-590, -150, 0, 150, 590])
@pytest.mark.parametrize("theirs", CLOCKS)
def test_whose_clock_is_right_decides_nothing(make, monkeypatch, ours, theirs):
    """A holder is alive while its file is renewed, by the clock of the file system, and dead two minutes after."""
    sweep = make(a="done")
    foreign(sweep, "a", theirs)
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + ours)
    status = sweep.runs / "a" / "status.json"
    with FileLock(sweep.runs / "a" / ".lock"):
        assert shown(sweep) == {"a": "running"}
        aged(status, DEAD_AFTER_S - 20 + ours)
        assert shown(sweep) == {"a": "running"}
    if abs(theirs) < 86400 / 2:
        assert shown(sweep) == {"a": "running"}, "also where the lock cannot be asked for"
    aged(status, DEAD_AFTER_S + 20 + ours)
    assert shown(sweep) == {"a": "dead"}


@pytest.mark.parametrize("ours", [-150, 0, 590])
@pytest.mark.parametrize("theirs", CLOCKS)
def test_a_pool_elsewhere_lives_by_the_same_signs(make, monkeypatch, ours, theirs):
    sweep = make(a="done")
    sweep.pool_file.write_text(json.dumps(ELSEWHERE | {"heartbeat": time.time() + theirs}))
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + ours)
    with FileLock(sweep.folder / ".lock"):
        assert pool_lives(sweep)
    aged(sweep.pool_file, 100 + ours)
    assert not pool_lives(sweep)


@pytest.mark.parametrize("clock", CLOCKS)
def test_on_this_machine_only_the_process_counts(make, clock):
    """Its number is used again one day: then it is another's."""
    sweep = make(a="done")
    mine = identity(os.getpid())
    foreign(sweep, "a", clock, **mine)
    aged(sweep.runs / "a" / "status.json", 1000)
    assert shown(sweep) == {"a": "running"}
    foreign(sweep, "a", clock, **mine | {"ticks": mine["ticks"] + 1})
    assert shown(sweep) == {"a": "dead"}


def test_a_file_of_quite_another_time_is_a_copy_unless_it_is_locked(make):
    sweep = make(a="done")
    foreign(sweep, "a", -999)
    assert shown(sweep) == {"a": "dead"}
    with FileLock(sweep.runs / "a" / ".lock"):
        assert shown(sweep) == {"a": "running"}


def test_a_job_that_waits_for_another_process_and_is_stopped_has_not_failed(make, monkeypatch):
    """Its own start was refused, which it wrote beside the cell."""
    sweep = make(a="done")
    cell = sweep.cells[0]
    monkeypatch.setattr("lic_exp.sweeps.launchers.slurm.job.details", lambda number: {})
    from test_slurm import options

    job = Job(sweep, cell, options(requeue=False), {"SLURM_JOB_ID": "7"})
    job._record = identity(os.getpid()) | {
        "started": time.time(),
        "job": "7",
        "tries": 0,
        "timeouts": 0,
        "log_begin": 0,
    }
    job._heard = signal.SIGTERM
    sweep.exit_file(cell).write_text(json.dumps({"pid": os.getpid(), "exit_code": exit_codes.BUSY}))
    assert job._settle(None) == exit_codes.PREEMPTED
    assert sweep.attempt(cell)["state"] == "preempted"
    assert states(sweep)["a"].host == socket.gethostname()


@pytest.mark.parametrize("clock", CLOCKS)
def test_what_a_pool_elsewhere_has_ended_meanwhile_is_not_begun_again(make, clock):
    """Whatever its clock says of when that was."""
    sweep = make(a="done")
    cell, earlier = sweep.cells[0], ELSEWHERE | {"started": 1.0, "ended": 2.0, "state": "failed", "reason": ""}
    sweep.record_attempt(cell, earlier)
    before = sweep.attempt(cell)
    assert not _settled_since(sweep, cell, before), "that was another day"
    sweep.record_attempt(cell, ELSEWHERE | {"started": time.time() + clock})
    assert not _settled_since(sweep, cell, before), "it runs"
    sweep.record_attempt(cell, earlier | {"started": time.time() + clock, "ended": time.time() + clock})
    assert _settled_since(sweep, cell, before)


@pytest.mark.parametrize("ahead_s", [0, 150, 2 * 86400])
def test_a_clock_that_is_ahead_makes_no_litter(tmp_path, monkeypatch, ahead_s):
    now, file = time.time, tmp_path / "young"
    file.touch()
    monkeypatch.setattr(time, "time", lambda: now() + ahead_s)
    assert not _old(file)
    os.utime(file, (1.0, 1.0))
    assert _old(file)
