"""Runs that are killed or asked to stop, in processes of their own, end bit-equal to one that nobody disturbed."""

import json
import os
import random
import signal
import socket
import time

import killing
import pytest

from lic_exp import exit_codes

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def one_stage(tmp_path_factory):
    """A folder for the trials, and the run they are compared with."""
    folder = tmp_path_factory.mktemp("one_stage")
    return folder, killing.finish(folder / "reference", killing.ONE_STAGE)


@pytest.fixture(scope="module")
def two_stages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two_stages")
    return folder, killing.finish(folder / "reference", killing.TWO_STAGES)


@pytest.mark.parametrize("seed", range(2))  # `make soak` has twenty
def test_killed_at_a_random_moment(one_stage, seed):
    killing.trial(*one_stage, killing.ONE_STAGE, signal.SIGKILL, seed)


@pytest.mark.parametrize("number", [signal.SIGUSR2, signal.SIGTERM], ids=lambda number: number.name)
def test_asked_to_stop(one_stage, number):
    folder, reference = one_stage
    told = killing.trial(folder / number.name, reference, killing.ONE_STAGE, number, 3)
    assert told.endswith(f"exit code {exit_codes.PREEMPTED}")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGUSR2], ids=lambda number: number.name)
def test_across_a_stage_boundary(two_stages, number):
    """The seed stops it before the boundary at step 23, so that it is the second attempt that crosses it."""
    folder, reference = two_stages
    killing.trial(folder / number.name, reference, killing.TWO_STAGES, number, 4)


def test_ctrl_c_reaches_the_workers_too(one_stage, tmp_path):
    """A terminal sends SIGINT to every process it started; a cluster does so with SIGTERM."""
    runs, (_, reference) = tmp_path / "runs", one_stage
    for number, goal in ((signal.SIGINT, 6), (signal.SIGTERM, 16)):
        process = killing.start(runs, killing.ONE_STAGE, group=True)  # which its workers belong to
        wait_for(lambda goal=goal: killing.newest_step(runs) >= goal, process)
        os.killpg(process.pid, number)
        assert process.wait(timeout=60) == exit_codes.PREEMPTED, (tmp_path / "runs.log").read_text()[-3000:]
        (status,) = runs.glob("*/status.json")
        assert json.loads(status.read_text())["state"] == "preempted"
    assert killing.differences(reference, killing.finish(runs, killing.ONE_STAGE)) == []


def test_nothing_of_a_killed_run_is_in_the_way(one_stage, tmp_path):
    """Its lock is free at once, although its workers may outlive it for a moment, and so are its temporary files."""
    runs, (_, reference) = tmp_path / "runs", one_stage
    process = killing.start(runs, killing.ONE_STAGE)
    try:
        wait_for(lambda: killing.newest_step(runs) >= 6, process)
        process.send_signal(signal.SIGSTOP)  # or it would be done before the second has started
        assert killing.start(runs, killing.ONE_STAGE).wait(timeout=120) == exit_codes.BUSY
    finally:
        process.kill()
        process.wait()
    assert f"is being trained by process {process.pid}" in (tmp_path / "runs.log").read_text()
    (folder,) = runs.glob("*/checkpoints")
    (folder / f".step_00000099.pt.{process.pid}@{socket.gethostname()}.tmp").write_bytes(b"half")
    assert killing.differences(reference, killing.finish(runs, killing.ONE_STAGE)) == []
    assert not list(folder.parent.rglob("*.tmp"))


def test_killed_again_and_again(one_stage, tmp_path):
    """Every attempt gets a little further."""
    runs, (_, reference) = tmp_path / "runs", one_stage
    for seed in range(3):
        killing.disturb(runs, killing.ONE_STAGE, signal.SIGKILL, random.Random(seed))
    assert killing.differences(reference, killing.finish(runs, killing.ONE_STAGE)) == []
    (status,) = runs.glob("*/status.json")
    assert json.loads(status.read_text())["attempt"] >= 2


def wait_for(reached, process):
    deadline = time.monotonic() + 120
    while not reached():
        assert process.poll() is None, "it ended by itself"
        assert time.monotonic() < deadline
        time.sleep(0.01)
