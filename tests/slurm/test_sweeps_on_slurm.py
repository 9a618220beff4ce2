"""Sweeps on a real cluster: submitted, looked at, in trouble, interrupted, given again, as docs/slurm.md says."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import interrupting
import killing
import pytest
import ranked
import toy
import yaml
from checkout import copy_checkout
from cluster import Cluster
from cluster_commands import wait_for
from commands import QUICK, finish, launch, lic_exp, start
from sweeping import attempts, shown, sweep_in

from lic_exp import exit_codes
from lic_exp.sweeps.folder import SweepFolder
from lic_exp.sweeps.launchers.slurm import queue, submit
from lic_exp.sweeps.states import states

pytestmark = [pytest.mark.slow, pytest.mark.slurm]

TOY = (
    "-m",
    *QUICK,
    f"plugins=[{toy.NAME}]",
    "model=toy",
    "data.crop_size=32",
    "debug=limit",
    "trainer.try_step=false",
    "hydra/launcher=slurm",
)
HELD = "hydra.launcher.additional_parameters={hold:true}"


def on(cluster, monkeypatch):
    """What this process and those it starts talk to from now on."""
    cluster.clear()
    for key, value in cluster.environment.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setattr(queue, "RENEW_S", 0.5)
    monkeypatch.setattr(queue.QUEUE, "_asked", 0.0)
    submit.largest_array.cache_clear()
    return cluster


@pytest.fixture
def cluster(slurm_cluster, monkeypatch):
    return on(slurm_cluster, monkeypatch)


def jobs(sweep: SweepFolder) -> dict[str, str]:
    return {cell.label: sweep.job(cell)["job"] for cell in sweep.cells}


def wait_done(folder: Path) -> int:
    done = lic_exp("wait", "--timeout", "5", folder=folder)
    assert "not done yet" not in done.stderr, done.stderr
    return done.returncode


def test_one_array_whose_submitter_is_killed_and_whose_yaml_is_edited(cluster, toy_folder, tmp_path):
    """Nothing changes for a cell that waits, nothing runs twice, and afterwards there is nothing to do."""
    copy = copy_checkout(tmp_path / "copy", "lic_exp", "conf", "launch.py")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(copy), str(toy_folder)])}
    more = ["seed=range(0,6)", "hydra.launcher.array_parallelism=2", "hydra.launcher.wait=true"]
    command = [sys.executable, str(copy / "launch.py"), *TOY, *more]

    def again():
        say = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, cwd=tmp_path, env=environment, **say)

    submitter = again()
    wait_for(lambda: cluster.squeue("--noheader"), 60, "nothing is submitted")
    submitter.kill()  # as soon as SLURM has the jobs, whatever of that is written down
    submitter.communicate()
    sweep = sweep_in(tmp_path)
    frozen = {cell.signature: json.loads(sweep.frozen(cell).read_text())["config"] for cell in sweep.cells}
    kept = {path: path.read_text() for folder in (copy, toy_folder) for path in folder.rglob("conf/**/*.yaml")}
    for path in kept:
        path.write_text("seed: [nonsense\n")
    try:
        most = 0
        while cluster.squeue("--noheader"):
            most = max(most, len(cluster.squeue("--noheader", "--states=RUNNING").splitlines()))
            time.sleep(0.3)
    finally:
        for path, text in kept.items():
            path.write_text(text)
    assert 1 <= most <= 2
    assert set(shown(sweep).values()) == {"done"}
    before = jobs(sweep)
    done = finish(again())
    assert done.returncode == exit_codes.DONE, done.stderr
    assert set(attempts(sweep).values()) == {1}
    for name, config in frozen.items():
        assert yaml.safe_load((sweep.runs / name / "config.yaml").read_text()) == config
    done = finish(again())
    assert done.returncode == exit_codes.DONE
    assert "all 6 cells are done; nothing was started" in done.stderr
    assert jobs(sweep) == before
    assert len({number.partition("_")[0] for number in before.values()}) == 1, "one array"


TROUBLES = {
    "none": ({"model.trouble": "none"}, "done", 0),
    "raise": ({"model.trouble": "raise"}, "failed", 1),
    "kill": ({"model.trouble": "kill"}, "killed", -signal.SIGKILL),
    "memory": ({"model.trouble": "memory"}, "out_of_memory", None),
    "diverge": ({"model.trouble": "diverge"}, "diverged", exit_codes.DIVERGED),
    "limit": ({"model.trouble": "slow"}, "time_limit", exit_codes.PREEMPTED),
    "scancel": ({"model.trouble": "slow", "seed": 1}, "cancelled", None),
    "silent": ({"model.trouble": "slow", "seed": 2}, "killed", None),
}
"""What befalls each cell of a sweep, by its role; its state afterwards, and its exit code where it could say it."""


@pytest.fixture(scope="module")
def troubled(tmp_path_factory):
    """The folder of a package with these cells as an experiment."""
    cells = [{"seed": 0} | role for role, _, _ in TROUBLES.values()]
    text = "# @package _global_\n" + json.dumps({"sweep": {"include": cells}})
    folder = tmp_path_factory.mktemp("troubled")
    toy.write_package(folder, "troubled", {"__init__.py": "", "conf/experiment/troubled.yaml": text})
    return folder


def cells_of(sweep: SweepFolder) -> dict[str, Any]:
    """{trouble: its cell}."""
    found = {}
    for name, (role, _, _) in TROUBLES.items():
        (found[name],) = [cell for cell in sweep.cells if cell.role == {"seed": 0} | role]
    return found


def accounted(job: str) -> str | None:
    view = queue._by_sacct(job)
    return None if view is None else view.state


def end_whole_job(record: dict[str, Any]) -> None:
    """SIGKILL for the cell and for the process that watches over it: nobody is left to say what happened."""
    pids = [interrupting.parent(record["pid"]), record["pid"]]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("accounting", [False, True])
def test_every_trouble_is_named_and_retried(accounting, request, monkeypatch, toy_folder, troubled, tmp_path):
    """All in one sweep, with accounting and without; nobody's trouble is anybody else's."""
    cluster = on(request.getfixturevalue("accounted_cluster" if accounting else "slurm_cluster"), monkeypatch)
    command = [text.replace(f"[{toy.NAME}]", f"[{toy.NAME},troubled]") for text in TOY]
    rules = "[{when:{model.trouble:memory},mem_gb:0.2},{when:{model.trouble:slow,seed:0},timeout_min:1}]"
    asked = ["timeout_min=20", "signal_delay_s=20", "max_num_timeout=0", "mem_gb=2", f"resources={rules}"]
    path = Path(f"{toy_folder}{os.pathsep}{troubled}")
    options = [f"hydra.launcher.{text}" for text in asked]
    done = launch(*command, "experiment=troubled", *options, folder=tmp_path, path=path)
    assert done.returncode == exit_codes.DONE, done.stderr
    sweep = sweep_in(tmp_path)
    cells = cells_of(sweep)
    wait_for(
        lambda: all(sweep.run(cells[name]).state == "running" for name in ("scancel", "silent")), 90, "not running"
    )
    cluster.command("scancel", sweep.job(cells["scancel"])["job"])
    end_whole_job(sweep.attempt(cells["silent"]))
    wait_for(lambda: states(sweep)[cells["silent"].signature].state == "killed", 30, "the silent death is not noticed")
    assert wait_done(tmp_path) == exit_codes.FAILED
    found = {name: states(sweep)[cell.signature] for name, cell in cells.items()}
    assert {name: one.state for name, one in found.items()} == {name: state for name, (_, state, _) in TROUBLES.items()}
    codes = {name: code for name, (_, _, code) in TROUBLES.items() if code is not None}
    assert {name: found[name].exit_code for name in codes} == codes
    assert found["raise"].reason == "RuntimeError: the toy broke"
    assert "lower data.batch_size" in found["memory"].reason
    assert "time limit" in found["limit"].reason
    expected = dict.fromkeys(cells, "FAILED") | {"none": "COMPLETED", "scancel": "CANCELLED"}
    for name, cell in cells.items():
        assert cluster.wait_job(sweep.job(cell)["job"], expected[name])
    if accounting:  # what is left to ask once slurmctld has forgotten the jobs
        ended = {name: accounted(sweep.job(cell)["job"]) for name, cell in cells.items()}
        assert ended == expected
    assert (
        "1 failed: RuntimeError, exit code 1 (seed=0, model.trouble=raise)" in lic_exp("status", folder=tmp_path).stdout
    )
    assert "the toy broke" in lic_exp("logs", sweep.name, cells["raise"].label, folder=tmp_path).stdout
    if accounting:  # the rest needs no telling from SLURM, and is dear
        return

    before = jobs(sweep)
    retried = finish(start("-m", "lic_exp", "retry", sweep.name, folder=tmp_path, path=path))
    assert retried.returncode == exit_codes.DONE, retried.stderr
    after = jobs(sweep)
    assert {label for label in after if after[label] != before[label]} == set(after) - {cells["none"].label}
    wait_for(
        lambda: all(shown(sweep)[cells[name].label] == "done" for name in ("raise", "kill", "diverge")), 120, "retried"
    )
    lic_exp("cancel", sweep.name, folder=tmp_path)
    wait_done(tmp_path)
    assert {state for name, state in shown(sweep).items()} <= {"done", "cancelled", "out_of_memory", "time_limit"}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A folder for trials, and the run they are compared with."""
    folder = tmp_path_factory.mktemp("interrupted")
    return folder, killing.finish(folder / "reference", killing.ONE_STAGE)


@pytest.mark.parametrize("hows", interrupting.TOGETHER, ids=lambda hows: "-".join(how.__name__ for how in hows))
def test_whatever_the_cluster_does_a_cell_goes_on_bit_for_bit(cluster, undisturbed, hows):
    interrupting.together(cluster, *undisturbed, hows, seed=1)


def test_requests_become_arrays_that_fit_the_cluster(toy_folder, tmp_path, monkeypatch):
    """Held, so that nothing has to run: what SLURM was asked for is what counts."""
    rule = "{when:{seed:3},mem_gb:3,gpus_per_node:1,timeout_min:7}"
    asked = ["mem_gb=1", "timeout_min=5", "array_parallelism=1", "comment='a b'", f"resources=[{rule}]"]
    with Cluster(changes={"MaxArraySize": "3"}) as small:
        on(small, monkeypatch)
        options = [f"hydra.launcher.{text}" for text in asked]
        done = launch(*TOY, "seed=range(0,6)", *options, HELD, folder=tmp_path, path=toy_folder)
        assert done.returncode == exit_codes.DONE, done.stderr
        sweep = sweep_in(tmp_path)
        numbers = {cell.role["seed"]: sweep.job(cell)["job"] for cell in sweep.cells}
        arrays = {seed: number.partition("_")[0] for seed, number in numbers.items()}
        assert len(set(arrays.values())) == 3, "five alike in two arrays of three at most, and one of its own"
        assert arrays[3] not in {array for seed, array in arrays.items() if seed != 3}
        for seed, number in numbers.items():
            job = small.job(number)
            own = seed == 3
            assert job["TimeLimit"] == ("00:07:00" if own else "00:05:00")
            assert job["MinMemoryNode"] == ("3G" if own else "1G")
            assert ("gpu:1" in job.get("TresPerNode", "")) == own
            assert job["Requeue"] == "1"
            assert "Comment=a" in small.scontrol("show", "job", "--oneliner", number)
        waiting = [small.job(array)["Dependency"] for array in dict.fromkeys(arrays.values())]
        assert sorted(text != "(null)" for text in waiting) == [False, True, True], "one array after the other"
        assert "%1" in small.squeue("--noheader", "--format=%i")
        again = launch(*TOY, "seed=range(0,6)", *options, HELD, folder=tmp_path, path=toy_folder)
        assert "6 cells wait or run already" in again.stderr
        assert {cell.role["seed"]: sweep.job(cell)["job"] for cell in sweep.cells} == numbers
        assert lic_exp("cancel", sweep.name, folder=tmp_path).returncode == exit_codes.DONE
        assert set(shown(sweep).values()) == {"cancelled"}


@pytest.mark.parametrize(
    ("impossible", "words"),
    [
        ("partition=nowhere", "invalid partition specified: nowhere"),
        ("mem_gb=4000", "Memory specification can not be satisfied"),
        ("gpus_per_node=16", "Requested node configuration is not available"),
    ],
)
def test_an_impossible_request_is_refused_in_sbatchs_words_and_leaves_nothing(
    cluster, impossible, words, toy_folder, tmp_path
):
    """Also where other cells of the sweep could have been submitted."""
    key, _, value = impossible.partition("=")
    rule = f"hydra.launcher.resources=[{{when:{{seed:1}},{key}:{value}}}]"
    done = launch(*TOY, "seed=0,1", rule, folder=tmp_path, path=toy_folder)
    assert done.returncode == exit_codes.CONFIG
    assert words in done.stderr
    cluster.wait_idle(10)
    sweep = sweep_in(tmp_path)
    assert set(shown(sweep).values()) == {"waiting"}
    assert not list(sweep.folder.glob("slurm/*.intent"))


def test_a_chain_waits_for_its_parent(cluster, toy_folder, tmp_path):
    node = {"product": {"criterion.lmbda": [0.01, 0.05]}, "chain": {"key": "criterion.lmbda", "order": [0.05, 0.01]}}
    text = "# @package _global_\n" + json.dumps({"sweep": node})
    toy.write_package(tmp_path, "chained", {"__init__.py": "", "conf/experiment/down.yaml": text})
    command = [text.replace(f"[{toy.NAME}]", f"[{toy.NAME},chained]") for text in TOY]
    more = ["experiment=down", "hydra.launcher.mem_gb=2"]
    path = Path(f"{toy_folder}{os.pathsep}{tmp_path}")
    done = launch(*command, *more, folder=tmp_path, path=path)
    assert done.returncode == exit_codes.DONE, done.stderr
    sweep = sweep_in(tmp_path)
    (child,) = [cell for cell in sweep.cells if cell.parent]
    assert states(sweep)[child.signature].reason.endswith("Dependency")
    assert wait_done(tmp_path) == exit_codes.DONE
    assert set(attempts(sweep).values()) == {1}


def test_two_tasks_train_one_cell_and_go_on_bit_for_bit_whatever_befalls_them(cluster, tmp_path):
    """A rank that is killed, scancel, a requeue, and a node that dies; each ends both tasks, and each is named."""
    reference = ranked.undisturbed(tmp_path / "reference")
    cell = ranked.RankedCell(cluster, tmp_path)

    job = cell.submit()
    cell.wait_for_a_step(attempt=1)
    assert len(cell.processes()) == 2
    cell.kill_the_second()
    cell.wait_for_a_step(attempt=2)
    assert "killed: rank 1: killed by SIGKILL" in cell.job_log
    assert cell.sweep.attempt(cell.sweep.cells[0])["tries"] == 1

    cluster.scontrol("requeue", job)
    cell.wait_for_a_step(attempt=3)
    assert cluster.job(job)["Restarts"] == "2"

    cell.cut_the_power_of_the_second()
    cell.wait_for_a_step(attempt=4)
    assert cell.job == job

    cluster.command("scancel", job)
    cluster.wait_job(job, "CANCELLED")
    wait_for(lambda: not cell.processes(), 20, "processes are left")
    assert cell.now.state == "cancelled"

    cell.submit()
    assert wait_done(tmp_path) == exit_codes.DONE
    run = cell.sweep.runs / cell.sweep.cells[0].signature
    assert not killing.differences(reference, run, ranked.STEPS)
    said = (run / "run.log").read_text()
    assert "rank 1: training along with the first rank" in said
    assert "SIGTERM: stopped after step" in said
