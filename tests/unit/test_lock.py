"""One process per run, and signals that ask it to stop."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from lic_exp.launching import exit_codes
from lic_exp.launching.errors import ConfigError
from lic_exp.launching.lock import RunBusyError, run_lock
from lic_exp.launching.main import outcome
from lic_exp.launching.signals import STOPPING, StopRequest
from lic_exp.launching.summary import console_for
from lic_exp.tracking.run_folder import RunFolder

HOLDER = """
import sys, time
from lic_exp.launching.lock import run_lock
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
    assert outcome(error.value, console_for(sys.stderr)) == exit_codes.BUSY == 4
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


def test_what_a_killed_process_left_half_written_is_removed(run):
    run.create()
    run.update_status(state="running")
    left = [run.checkpoints / ".step_00000007.pt.99.tmp", run.root / ".status.json.99.tmp"]
    for path in left:
        path.write_bytes(b"half")
    with run_lock(run):
        assert not any(path.exists() for path in left)
        assert run.status()["state"] == "running"


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
