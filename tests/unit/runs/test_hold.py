"""A run that is held, and what befalls its folder and its lock file meanwhile."""

import json
import os
import shutil
import subprocess
import sys
import time

import pytest

from lic_exp.atomic import write_json
from lic_exp.processes import identity
from lic_exp.runs import heartbeat, lock
from lic_exp.runs.heartbeat import Heartbeat, HeartbeatError
from lic_exp.runs.lock import LockLostError, RunBusyError, RunGoneError, run_is_held, run_lock
from lic_exp.runs.run import Run, shown_state
from lic_exp.tracking.run_folder import RunFolder

HOLDER = """
import sys, time
from lic_exp.runs.lock import run_lock
from lic_exp.tracking.run_folder import RunFolder
with run_lock(RunFolder(sys.argv[1])) as hold:
    hold.update_status(state=sys.argv[2])
    print("held", flush=True)
    input()
"""


@pytest.fixture
def run(tmp_path):
    return RunFolder(tmp_path / "runs" / "0123456789abcdef")


@pytest.fixture
def started():
    """Starts processes that hold a run until they read a line, or are killed."""
    processes = []

    def start(run, state):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(run.root), state],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        processes.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def lock_of(run):
    return run.root / ".lock"


def replace(path):
    """Another file, or folder, of the same name; the former lives on under another one."""
    made = path.with_name(f"{path.name}.new")
    made.mkdir() if path.is_dir() else made.touch()
    if path.is_dir():
        path.rename(path.with_name(f"{path.name}.former"))
    made.rename(path)


def delete(path):
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def delete_and_make(path):
    """What comes at once may be given the same number, were that not in use."""
    folder = path.is_dir()
    delete(path)
    path.mkdir() if folder else path.touch()


def move(path):
    path.rename(path.with_name(f"{path.name}.elsewhere"))


FATES = {"deleted": delete, "moved": move, "replaced": replace, "made anew": delete_and_make}


@pytest.mark.parametrize("fate", FATES.values(), ids=FATES.keys())
def test_a_folder_that_is_gone_is_noticed_and_not_written_to(run, fate):
    with run_lock(run) as hold:
        hold.update_status(state="running")
        fate(run.root)
        with pytest.raises(RunGoneError, match="is gone: it was deleted, moved or replaced"):
            hold.update_status(step=7)
    assert not run.root.exists() or not any(run.root.iterdir())


@pytest.mark.parametrize("fate", FATES.values(), ids=FATES.keys())
def test_a_lock_file_that_is_gone_is_noticed(run, fate):
    with run_lock(run) as hold:
        hold.update_status(state="running", step=6)
        fate(lock_of(run))
        with pytest.raises(LockLostError, match="was removed or replaced while this process held it"):
            hold.update_status(step=7)
    assert run.status()["step"] == 6


@pytest.mark.parametrize("state", ["running", "done"])
@pytest.mark.parametrize("fate", [delete, replace])
def test_who_lives_has_the_run_without_its_lock_file(run, started, state, fate):
    holder = started(run, state)
    fate(lock_of(run))
    assert run_is_held(run)
    doing = "evaluated" if state == "done" else "trained"
    with pytest.raises(RunBusyError, match=f"is being {doing} by process {holder.pid} on"), run_lock(run):
        pass
    holder.kill()
    holder.wait()
    assert not run_is_held(run)
    with run_lock(run):
        pass


def test_who_has_let_go_of_it_is_asked_no_more(run, started):
    """As a notebook's process, which lives on after its runs."""
    with run_lock(run) as hold:
        hold.update_status(state="running")
        assert run.status()["lock"] == lock_of(run).stat().st_ino
    assert run.status()["lock"] is None
    write_json(run.status_file, run.status() | identity(os.getppid()))
    with run_lock(run):
        pass


def test_a_pid_that_was_given_away_holds_nothing(run):
    run.create()
    other = identity(os.getppid())
    write_json(run.status_file, {"state": "running", "lock": 1, "heartbeat": time.time(), **other})
    with pytest.raises(RunBusyError), run_lock(run):
        pass
    assert Run(run.root).state == "running"
    write_json(run.status_file, run.status() | {"ticks": other["ticks"] + 1})
    assert Run(run.root).state == "dead"
    with run_lock(run):
        pass


def test_an_earlier_versions_status_has_a_pid_alone():
    status = {"state": "running", "heartbeat": time.time(), "host": os.uname().nodename, "pid": os.getppid()}
    assert shown_state(status) == "running"


def elsewhere(run, heartbeat_age_s, inode):
    """As a process on another machine leaves it."""
    run.create()
    beat = time.time() - heartbeat_age_s
    write_json(run.status_file, {"state": "running", "host": "n7", "pid": 1, "heartbeat": beat, "lock": inode})
    if heartbeat_age_s > 0:
        os.utime(run.status_file, (beat, beat))


@pytest.mark.parametrize("age_s", [0.0, -3600.0], ids=["fresh", "of a clock that is ahead"])
def test_elsewhere_the_lock_tells_at_once_if_it_is_the_same_file(run, monkeypatch, age_s):
    monkeypatch.setattr(lock.time, "sleep", lambda seconds: pytest.fail("it waited"))
    run.create()
    lock_of(run).touch()
    elsewhere(run, age_s, lock_of(run).stat().st_ino)
    with run_lock(run):
        pass


@pytest.mark.parametrize(("age_s", "waits"), [(500.0, False), (0.0, True), (-3600.0, True)])
def test_elsewhere_without_that_file_a_heartbeat_is_waited_for(run, monkeypatch, age_s, waits):
    """A pid or a clock never blocks for ever: only a heartbeat that moves does."""
    waited = []
    monkeypatch.setattr(lock, "LISTEN_S", 0.05)
    monkeypatch.setattr(lock.time, "sleep", waited.append)
    elsewhere(run, age_s, inode=1)
    with run_lock(run):
        assert bool(waited) == waits


def test_elsewhere_who_goes_on_beating_has_the_run(run, monkeypatch):
    elsewhere(run, 0.0, inode=1)
    monkeypatch.setattr(lock.time, "sleep", lambda seconds: elsewhere(run, 0.0, inode=1))
    with pytest.raises(RunBusyError, match="is being trained by process 1 on n7"), run_lock(run):
        pass


def test_who_was_not_kept_out_by_a_lock_of_another_machine_is_found_by_the_status(run):
    with run_lock(run) as hold:
        hold.update_status(state="running", step=1)
        elsewhere(run, 0.0, inode=1)
        with pytest.raises(LockLostError, match="was taken by process 1 on n7 while this process held it"):
            hold.update_status(step=2)
        assert "step" not in run.status()
    assert run.status()["host"] == "n7"


@pytest.mark.parametrize("damage", [None, "", "[]", "\0\0\0", '{"state": "run'])
def test_a_status_that_somebody_spoils_is_written_anew(run, caplog, damage):
    with run_lock(run) as hold:
        hold.update_status(state="running", attempt=3, step=1)
        run.status_file.unlink() if damage is None else run.status_file.write_text(damage)
        hold.update_status(step=2)
        found = run.status()
    assert {"state": "running", "attempt": 3, "step": 2, "pid": os.getpid()}.items() <= found.items()
    assert "; it is written anew" in caplog.text


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(heartbeat, "HEARTBEAT_EVERY_S", 0.01)
    monkeypatch.setattr(heartbeat, "LOOK_EVERY_S", 1e9)  # what is found, the thread has found


def beat_until_it_raises(hold, befalls=lambda: None):
    hold.update_status(state="running")
    befalls()
    deadline = time.monotonic() + 60
    with Heartbeat(hold, lambda: None) as heart:
        while time.monotonic() < deadline:
            assert heart.asked_to_stop() is None
            time.sleep(0.01)


@pytest.mark.parametrize("fate", FATES.values(), ids=FATES.keys())
@pytest.mark.parametrize(("of", "error"), [("root", RunGoneError), ("lock", LockLostError)])
def test_the_heartbeat_finds_it_gone(run, quick, fate, of, error):
    with run_lock(run) as hold, pytest.raises(error):
        beat_until_it_raises(hold, lambda: fate(run.root if of == "root" else lock_of(run)))


@pytest.mark.parametrize("error", [ValueError("no status"), KeyError("state"), SystemExit(3), MemoryError()])
def test_a_heartbeat_that_dies_ends_the_run(run, quick, monkeypatch, error):
    def broken(*_, **__):
        raise error

    with run_lock(run) as hold, monkeypatch.context() as patch:
        died = f"the heartbeat has ended: {type(error).__name__}"
        with pytest.raises(HeartbeatError, match=died):
            beat_until_it_raises(hold, lambda: patch.setattr(RunFolder, "update_status", broken))


def test_one_that_cannot_be_written_is_said_and_the_next_one_tried(run, quick, monkeypatch, caplog):
    tried, written = [], RunFolder.update_status

    def full(self, **changes):
        tried.append(changes)
        if len(tried) == 1:
            raise OSError(28, "No space left on device")
        return written(self, **changes)

    with run_lock(run) as hold:
        hold.update_status(state="running")
        monkeypatch.setattr(RunFolder, "update_status", full)
        with Heartbeat(hold, lambda: "SIGTERM") as heart:
            heart.pulse["step"] = 5
            deadline = time.monotonic() + 60
            while run.status().get("step") != 5 and time.monotonic() < deadline:
                time.sleep(0.01)
            assert heart.asked_to_stop() == "SIGTERM"
        monkeypatch.undo()
    assert json.loads(run.status_file.read_text())["step"] == 5
    assert "the heartbeat could not be written" in caplog.text
