"""The tasks of a job on several devices, without a cluster: what is asked for, and what each makes of another's end."""

import json
import os
import re
import signal
import socket
import stat
import sys
import threading
import time

import pytest
from test_slurm import options

from lic_exp import exit_codes
from lic_exp.config.errors import ConfigError
from lic_exp.sweeps.exit_status import end_of
from lic_exp.sweeps.folder import FOLDER, write_sweep
from lic_exp.sweeps.launchers.slurm import follower, others, task_process
from lic_exp.sweeps.launchers.slurm.follower import Follower
from lic_exp.sweeps.launchers.slurm.job import Job
from lic_exp.sweeps.launchers.slurm.options import contradictions
from lic_exp.sweeps.launchers.slurm.others import Others
from lic_exp.sweeps.launchers.slurm.submit import submit
from lic_exp.sweeps.launchers.slurm.task_notes import BEGUN, ENDED, HERE, OVER, TaskNotes, rank_environment
from lic_exp.sweeps.launchers.slurm.task_process import _threads

TWO = {"trainer.devices": "2", "trainer.nodes": "3", "trainer.device": "auto"}


def test_nodes_and_tasks_are_those_of_the_config():
    plain, ranked = options().request({}, {}), options().request({}, TWO)
    assert (plain["nodes"], plain["tasks_per_node"]) == (1, 1)
    assert (ranked["nodes"], ranked["tasks_per_node"]) == (3, 2)
    assert not list(contradictions(ranked, TWO))
    assert not list(contradictions(plain, {}))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"nodes": 2}, "nodes=2 contradicts trainer.nodes=3: leave it out (null), or give 3"),
        ({"tasks_per_node": 4}, "tasks_per_node=4 contradicts trainer.devices=2"),
        ({"resources": [{"when": {"trainer.devices": 2}, "nodes": 1}]}, "nodes=1 contradicts trainer.nodes=3"),
        ({"use_srun": False}, "use_srun=false starts one task, and trainer.devices=2 with trainer.nodes=3 needs 6"),
        ({"gpus_per_node": "a100:1"}, "gpus_per_node=a100:1 is less than trainer.devices=2: give 2"),
    ],
)
def test_what_contradicts_the_config_is_said(given, words):
    (said,) = contradictions(options(**given).request({}, TWO), TWO)
    assert words in said


def test_what_the_config_decides_has_no_other_door():
    with pytest.raises(ConfigError, match="may not hold ntasks-per-node: the launcher sets that itself"):
        options(additional_parameters={"ntasks-per-node": 2})


@pytest.fixture
def sweep(tmp_path):
    manifest = {"sweep": "s", "cells": [{"signature": "a", "label": "cell a"}], "path": [], "folder": str(tmp_path)}
    frozen = {"signature": "a", "given": [], "config": {"trainer": {"devices": 1, "nodes": 2}}}
    return write_sweep(tmp_path / "runs" / FOLDER / "s", manifest | {"plugins": []}, {"a": frozen})


def test_a_contradiction_is_refused_before_slurm_is_asked_for_anything(sweep, tmp_path, monkeypatch):
    (tmp_path / "squeue").write_text("#!/bin/sh\n")
    (tmp_path / "squeue").chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r"hydra.launcher.nodes=1 contradicts trainer.nodes=2: .* \(cell cell a\)"):
        submit(sweep, options(nodes=1), sweep.cells)
    assert not (sweep.folder / "slurm").exists()


def notes(sweep, rank, *, world=2, turn=0):
    told = {"SLURM_PROCID": str(rank), "SLURM_NTASKS": str(world), "SLURM_RESTART_COUNT": str(turn)}
    return TaskNotes(sweep, "7", told)


def test_notes_of_a_former_turn_say_nothing(sweep):
    notes(sweep, 0).leave(ENDED)
    notes(sweep, 1, turn=1).leave(HERE)
    assert notes(sweep, 1).of(0)["state"] == ENDED
    assert notes(sweep, 1, turn=1).of(0) == {}
    assert notes(sweep, 0).of(1) == {}


def test_a_task_alone_leaves_no_notes(sweep):
    alone = notes(sweep, 0, world=1)
    alone.leave(HERE)
    seen = Others(alone)
    assert seen.gathered(lambda: False)
    assert not seen.leave_alone()
    seen.find_end(exit_codes.FAILED, lambda: False)
    assert (seen.lost, seen.failed, list(sweep.folder.glob("slurm*"))) == ([], None, [])


def test_tasks_that_do_not_come_are_lost(sweep, monkeypatch):
    monkeypatch.setattr(others, "COME_WITHIN_S", 0.1)
    monkeypatch.setattr(others, "LOOK_EVERY_S", 0.05)
    notes(sweep, 1, world=3).leave(HERE)
    seen = Others(notes(sweep, 0, world=3))
    assert not seen.gathered(lambda: False)
    assert seen.lost == [2]
    assert "of 3 tasks, 2 gave no word" in seen.loss


@pytest.mark.parametrize(
    ("code", "end", "failed", "lost", "state"),
    [
        (1, {"exit_code": -9, "memory_kill": False}, 1, [], "killed"),
        (1, {"exit_code": -9, "memory_kill": True}, 1, [], "out_of_memory"),
        (1, {"exit_code": 1, "memory_kill": False}, None, [], None),
        (1, {"exit_code": None, "memory_kill": False}, None, [], None),
        (1, None, None, [1], None),
        (exit_codes.DIVERGED, None, None, [], None),
        (-9, None, None, [], None),
    ],
)
def test_who_ended_the_cell(sweep, monkeypatch, code, end, failed, lost, state):
    monkeypatch.setattr(others, "TOLD_WITHIN_S", 0.1)
    monkeypatch.setattr(others, "LOOK_EVERY_S", 0.05)
    seen, other = Others(notes(sweep, 0)), notes(sweep, 1)
    seen.begin("here", 5)
    if end is not None:
        other.leave(OVER, start=1, **end)
    seen.find_end(code, lambda: False)
    assert (seen.failed, seen.lost) == (failed, lost)
    assert other.of(0)["state"] == OVER
    if state:
        assert seen.said("")[0] == state
        assert seen.said("")[1].startswith("rank 1: ")


def test_a_process_whose_other_failed_where_they_were_to_meet_does_not_wait_for_ever(sweep, monkeypatch):
    seen, other = Others(notes(sweep, 0)), notes(sweep, 1)
    seen.begin("here", 5)
    other.leave(OVER, start=1, exit_code=exit_codes.CONFIG, memory_kill=False)
    assert not seen.leave_alone()
    monkeypatch.setattr(others, "ALONE_S", 0)
    assert seen.leave_alone()
    assert seen.said("  1. trainer.device=cuda: there is none\n  1. trainer.device=cuda: there is none") == (
        "refused",
        "rank 1: trainer.device=cuda: there is none",
    )
    seen.begin("here", 5)
    assert not seen.leave_alone(), "that was of the start before"


@pytest.fixture
def meeting(monkeypatch):
    for key in ("MASTER_ADDR", "MASTER_PORT", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(key, "")
        monkeypatch.delenv(key)
    told = {"JOB_ID": "7", "NTASKS": "4", "JOB_NUM_NODES": "2", "NODEID": "1", "PROCID": "3", "LOCALID": "1"}
    for key, value in (told | {"JOB_NODELIST": "localhost,n2"}).items():
        monkeypatch.setenv(f"SLURM_{key}", value)
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return monkeypatch


def test_the_environment_of_a_rank(meeting):
    found = rank_environment({})
    assert found["MASTER_ADDR"] == "localhost"
    wanted = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
    assert {key: found[key] for key in wanted} == wanted
    assert "CUDA_VISIBLE_DEVICES" not in os.environ
    assert rank_environment({})["MASTER_PORT"] == found["MASTER_PORT"], "the same again"
    told = rank_environment({"address": "n1", "port": 1234})
    assert (told["MASTER_ADDR"], told["MASTER_PORT"]) == ("n1", "1234")


def test_a_port_that_is_taken_is_passed_over_and_a_name_without_address_as_well(meeting):
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        meeting.setenv("MASTER_PORT", str(taken.getsockname()[1]))
        assert rank_environment({})["MASTER_PORT"] != str(taken.getsockname()[1])
    meeting.delenv("MASTER_ADDR")
    meeting.setenv("SLURM_JOB_NODELIST", "no-such-node.invalid")
    meeting.setenv("SLURM_LAUNCH_NODE_IPADDR", "10.1.2.3")
    assert rank_environment({})["MASTER_ADDR"] == "10.1.2.3"


@pytest.mark.parametrize(("shown", "local"), [("0,1", "1"), ("1", "0"), ("", "1")])
def test_a_task_that_sees_one_gpu_has_that(meeting, shown, local):
    meeting.setenv("CUDA_VISIBLE_DEVICES", shown)
    assert rank_environment({})["LOCAL_RANK"] == local
    assert os.environ["CUDA_VISIBLE_DEVICES"] == shown


def test_threads_are_those_of_a_task():
    two = {"SLURM_NTASKS": "4", "SLURM_JOB_NUM_NODES": "2", "SLURM_CPUS_ON_NODE": "12"}
    assert _threads(two)["OMP_NUM_THREADS"] == "6"
    assert _threads(two | {"SLURM_CPUS_PER_TASK": "3"})["OMP_NUM_THREADS"] == "3"
    assert _threads({"SLURM_NTASKS": "1", "SLURM_CPUS_ON_NODE": "12"}) == {}


FAKE = """
import os, signal, sys, time
print("rank", os.environ["RANK"], "at", os.environ["MASTER_ADDR"], flush=True)
does = sys.argv[1]
if does == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
time.sleep(60 if does == "hang" else 0)
sys.exit(3 if does == "fail" else 0)
"""


def wait_for(reached):
    deadline = time.monotonic() + 20
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def follow(sweep, meeting, tmp_path):
    """What runs task 1 whose process does something, to its end; its exit code and its last note."""
    meeting.setattr(follower, "LOOK_EVERY_S", 0.02)
    meeting.setattr(follower, "LAST_S", 0)
    meeting.setattr(follower, "listen", lambda hear: None)
    meeting.setenv("SLURM_PROCID", "1")
    (tmp_path / "fake.py").write_text(FAKE)

    def followed(does, then=ENDED):
        command = [sys.executable, str(tmp_path / "fake.py"), does]
        meeting.setattr(task_process, "cell_command", lambda frozen: command)
        lead, own, codes = notes(sweep, 0), notes(sweep, 1), []
        task = Follower(sweep, sweep.cells[0], own, os.environ)
        thread = threading.Thread(target=lambda: codes.append(task.run()))
        thread.start()
        wait_for(lambda: lead.of(1))
        lead.leave(BEGUN, start=1, address="n1", port=5)
        wait_for(lambda: "rank 1" in end_of(sweep.log(sweep.cells[0])))
        if does == "hang":
            lead.leave(OVER, start=1)
        wait_for(lambda: lead.of(1)["state"] == OVER)
        note = lead.of(1)
        if then:
            lead.leave(then)
        thread.join(10)
        return codes[0], note

    return followed


@pytest.mark.parametrize(
    ("does", "code", "said"),
    [("end", 0, 0), ("fail", 0, 3), ("kill", 128 + signal.SIGKILL, -signal.SIGKILL)],
)
def test_a_follower_runs_its_rank_and_ends_after_the_first(sweep, follow, does, code, said):
    exit_code, note = follow(does)
    assert (exit_code, note["exit_code"], note["start"]) == (code, said, 1)
    assert "rank 1 at n1" in sweep.log(sweep.cells[0]).read_text()
    assert not sweep.attempt(sweep.cells[0])
    assert not sweep.exit_file(sweep.cells[0]).exists()


def test_a_process_that_goes_on_without_the_first_is_given_up(follow, meeting):
    meeting.setattr(follower, "GIVE_UP_S", 0.1)
    code, note = follow("hang")
    assert (code, note["exit_code"]) == (0, None)


def test_a_follower_whose_first_task_is_silent_ends_badly(follow, meeting, capsys):
    meeting.setattr(follower, "SILENT_S", 0.3)
    code, _ = follow("end", then=None)
    assert code == exit_codes.FAILED
    assert "task 1 ends: the first task has given no sign of life" in re.sub(r"\s+", " ", capsys.readouterr().out)


@pytest.fixture
def job(sweep, monkeypatch):
    monkeypatch.setattr("lic_exp.sweeps.launchers.slurm.job.details", lambda number: {"JobState": "RUNNING"})
    asked = []
    monkeypatch.setattr("lic_exp.sweeps.launchers.slurm.job.ask", lambda command, environment: asked.append(command))

    def settled(*, step=3, **changes):
        """Settle a turn of a job that has lost a task; the exit code, what was asked of SLURM, and the record."""
        asked.clear()
        (sweep.runs / "a").mkdir(exist_ok=True)
        status = {"state": "failed", "reason": "RankLostError: rank 1", "step": step, "pid": 9, "host": "h"}
        (sweep.runs / "a" / "status.json").write_text(json.dumps(status | {"heartbeat": time.time()}))
        made = Job(sweep, sweep.cells[0], options(**changes), {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "2"})
        made._mark()
        made._others.lost = [1]
        return made._settle(exit_codes.FAILED), list(asked), sweep.attempt(sweep.cells[0])

    return settled


def test_a_lost_task_is_a_lost_node_and_the_job_goes_on(job):
    code, asked, record = job()
    assert (code, asked, record["state"], record["again"]) == (1, [["scontrol", "requeue", "7"]], "preempted", True)
    assert "of 2 tasks, 1 gave no word of their end" in record["reason"]
    _, asked, record = job(step=9)
    assert (len(asked), record["state"]) == (1, "preempted")
    _, asked, record = job(step=9)
    assert (asked, record["state"]) == ([], "killed"), "not for ever"
    assert "for the second time at step 9" in record["reason"]


def test_a_lost_task_without_requeueing_is_a_kill(job):
    assert job(requeue=False)[2]["state"] == "killed"
