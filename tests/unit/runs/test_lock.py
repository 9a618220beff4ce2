"""One process per run, and signals that ask it to stop."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from filelock import FileLock

from lic_exp import exit_codes
from lic_exp.atomic import open_atomically
from lic_exp.config.errors import ConfigError
from lic_exp.console import console_for
from lic_exp.runs.lock import LockLostError, RunBusyError, run_lock
from lic_exp.runs.outcome import guarded
from lic_exp.runs.signals import STOPPING, StopRequest
from lic_exp.tracking.run_folder import RunFolder

HOLDER = """
import sys, time
from lic_exp.runs.lock import run_lock
from lic_exp.tracking.run_folder import RunFolder
run = RunFolder(sys.argv[1])
with run_lock(run):
    run.update_status(state="running", step=7)
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def run(tmp_path):
    return RunFolder(tmp_path / "runs" / "0123456789abcdef")


@pytest.fixture
def holder(run):
    """Another process that trains the run."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(run.root)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    with process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_process_is_refused_and_told_by_whom(run, holder, capsys):
    with pytest.raises(RunBusyError) as error, run_lock(run):
        pass
    pid, host = holder.pid, os.uname().nodename
    assert str(error.value) == (
        f"run {run.signature} is being trained by process {pid} on {host} (step 7); "
        f"wait for it, or stop it with kill {pid}"
    )

    def action():
        raise error.value

    assert guarded(action, console_for(sys.stderr)) == exit_codes.BUSY == 4
    assert f"by process {pid}" in capsys.readouterr().err


def test_the_lock_is_free_at_once_when_its_holder_is_killed(run, holder):
    holder.kill()
    holder.wait()
    with run_lock(run):
        assert run.status()["pid"] == holder.pid, "its last word stays until the next attempt begins"


def test_it_holds_within_one_process_too(run):
    with run_lock(run), pytest.raises(RunBusyError), run_lock(run):
        pass
    with run_lock(run):
        pass


def test_an_error_releases_it(run):
    with pytest.raises(KeyError), run_lock(run):
        raise KeyError
    with run_lock(run):
        pass


def half_written(run, writer):
    """Files as `writer`, "pid@host", leaves them when it is killed."""
    run.create()
    left = [run.checkpoints / f".step_00000007.pt.{writer}.tmp", run.root / f".status.json.{writer}.tmp"]
    for path in left:
        path.write_bytes(b"half")
    return left


@pytest.fixture
def gone():
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_what_a_killed_process_left_half_written_is_removed(run, gone):
    run.create()
    run.update_status(state="running")
    left = half_written(run, f"{gone}@{socket.gethostname()}")
    with run_lock(run):
        assert not any(path.exists() for path in left)
        assert run.status()["state"] == "running"


def test_what_another_process_is_writing_stays(run):
    """An evaluation or a sync may go on while the run is trained; this process writes too."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        left = [path for pid in (other.pid, os.getpid()) for path in half_written(run, f"{pid}@{socket.gethostname()}")]
        with run_lock(run):
            assert all(path.exists() for path in left)
        other.kill()


def test_what_another_machine_is_writing_stays_unless_it_is_old(run, gone):
    """Whether its process lives cannot be seen from here, and its number says nothing here."""
    left = half_written(run, f"{gone}@node-7.cluster")
    with run_lock(run):
        assert all(path.exists() for path in left)
    for path in left:
        os.utime(path, (0, 0))
    with run_lock(run):
        assert not any(path.exists() for path in left)


@pytest.mark.parametrize("ahead_s", [150, 2 * 86400])
def test_a_clock_that_is_ahead_makes_nothing_old(run, gone, monkeypatch, ahead_s):
    left, now = half_written(run, f"{gone}@node-7.cluster"), time.time
    monkeypatch.setattr(time, "time", lambda: now() + ahead_s)
    with run_lock(run):
        assert all(path.exists() for path in left)


def test_the_name_of_a_file_that_is_being_written_says_by_whom(run):
    """The lock goes by it; other people's temporary files are none of its business."""
    run.create()
    others = run.root / ".cache.tmp"
    others.write_bytes(b"theirs")
    with open_atomically(run.config) as file:
        (name,) = (path.name for path in run.root.glob(".config.yaml.*"))
        assert name == f".config.yaml.{os.getpid()}@{socket.gethostname()}.tmp"
        file.write(b"a: 1")
    with run_lock(run):
        assert others.exists()


@pytest.mark.parametrize("below", ["runs", "runs/deeper"])
def test_a_run_below_a_regular_file_is_an_error_of_the_config(tmp_path, below):
    file = tmp_path / "file"
    file.write_text("mine")
    run = RunFolder(file / below / "0123456789abcdef")
    assert run.status() == {}
    with (
        pytest.raises(ConfigError, match=r"paths\.runs: .* cannot be made or written to: .*/file.*: Not a directory"),
        run_lock(run),
    ):
        pass
    assert file.read_text() == "mine"


def test_a_run_in_place_of_a_regular_file_is_one_too(tmp_path):
    run = RunFolder(tmp_path / "0123456789abcdef")
    run.root.write_text("mine")
    with pytest.raises(ConfigError, match=r"cannot be made or written to: .*: File exists"), run_lock(run):
        pass


@pytest.mark.parametrize("number", STOPPING, ids=lambda number: number.name)
def test_a_signal_is_remembered_and_its_handler_put_back(number):
    before = [signal.getsignal(each) for each in STOPPING]
    with StopRequest() as stop:
        assert stop() is None
        signal.raise_signal(number)
        assert stop() == number.name
    assert [signal.getsignal(each) for each in STOPPING] == before


def test_the_first_reason_stays_and_a_second_ctrl_c_interrupts():
    with StopRequest() as stop:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGUSR2)
        assert stop() == "SIGTERM"
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_off_the_main_thread_no_handler_is_set():
    before, seen = signal.getsignal(signal.SIGTERM), []

    def body():
        with StopRequest() as stop:
            seen.append((stop(), signal.getsignal(signal.SIGTERM) == before))

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert seen == [(None, True)]


def test_a_run_that_is_moved_while_its_lock_is_awaited_is_lost(tmp_path, monkeypatch):
    run = RunFolder(tmp_path / "abcd")
    acquire = FileLock.acquire

    def moved_meanwhile(lock, *words, **options):
        acquire(lock, *words, **options)
        run.root.rename(tmp_path / "moved")

    monkeypatch.setattr(FileLock, "acquire", moved_meanwhile)
    with pytest.raises(LockLostError, match="run abcd was deleted or moved just now"), run_lock(run):
        pass
