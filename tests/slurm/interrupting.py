"""Disturb a training that SLURM runs, as clusters do, and compare it with one that nobody disturbed."""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cluster import Cluster
from cluster_commands import wait_for

sys.path.insert(0, str(Path(__file__).parents[1] / "end_to_end"))
import killing

SECONDS = 400


def requeue(cluster: Cluster, job: str, cell: "Cell") -> None:
    cluster.scontrol("requeue", job)


def warn(cluster: Cluster, job: str, cell: "Cell") -> None:
    """As SLURM does before the time limit."""
    cluster.command("scancel", "--signal=USR2", job)


def preempt(cluster: Cluster, job: str, cell: "Cell") -> None:
    """Everything on the node has to make place."""
    node = cluster.job(job)["NodeList"]
    cluster.submit("sleep 1", "--partition=urgent", "--exclusive", f"--nodelist={node}")


def cut_the_power(cluster: Cluster, job: str, cell: "Cell") -> None:
    node = cluster.job(job)["NodeList"]
    cluster.kill_node(node)
    wait_for(lambda: cluster.node_states()[node].startswith("down"), 90, f"{node} is not down")
    cluster.start_node(node)


def lose(cluster: Cluster, job: str, cell: "Cell") -> None:
    """SLURM hears no more of the node, and starts the job elsewhere, while the first copy is still there.

    Frozen meanwhile, as by a network that hangs, it wakes when the second copy waits for it.
    """
    node, first = cluster.job(job)["NodeList"], cell.attempt()
    processes = [first["pid"], parent(first["pid"])]
    for pid in processes:
        os.kill(pid, signal.SIGSTOP)
    try:
        cluster.kill_slurmd(node)
        wait_for(lambda: cell.attempt()["claim"] != first["claim"], 120, f"job {job} does not start elsewhere")
        time.sleep(5)
        assert "pid" not in cell.attempt(), "two copies train at once"
    finally:
        for pid in processes:
            os.kill(pid, signal.SIGCONT)


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


class Cell:
    """The files of a sweep's only cell, in the runs' folder."""

    def __init__(self, runs: Path) -> None:
        (self.path,) = runs.glob(".sweeps/*/cells/*.job")

    def job(self) -> str:
        number: str = json.loads(self.path.read_text())["job"]
        return number

    def attempt(self) -> dict[str, Any]:
        record: dict[str, Any] = json.loads(self.path.with_suffix(".attempt").read_text())
        return record


Disturbance = Callable[[Cluster, str, Cell], None]
TOGETHER: Sequence[dict[Disturbance, str]] = (
    {requeue: "n2", warn: "n2", preempt: "n1"},
    {cut_the_power: "n2", lose: "null"},
)
"""Disturbances that may happen at the same time, with the node that each has its cell on; null lets SLURM choose."""


def launcher(node: str) -> list[str]:
    asked = {"wait": "true", "timeout_min": 60, "mem_gb": 4, "nodelist": node}
    return ["-m", "seed=0", "hydra/launcher=slurm", *(f"hydra.launcher.{key}={value}" for key, value in asked.items())]


def trial(cluster: Cluster, folder: Path, reference: Path, how: Disturbance, node: str, seed: int) -> str:
    """One cell, disturbed after a random checkpoint; says what happened. Raises AssertionError where it shows."""
    runs, rng = folder / f"{how.__name__}{seed}", random.Random(seed)
    follower = killing.start_pool(runs, [*killing.ONE_STAGE, *launcher(node)])
    goal = rng.choice([6, 11, 21, 31])
    wait_for(lambda: killing.newest_step(runs) >= goal or follower.poll() is not None, SECONDS, f"no step {goal}")
    cell = Cell(runs)
    how(cluster, cell.job(), cell)
    step = killing.newest_step(runs)
    code = follower.wait(timeout=SECONDS)
    said = (runs.parent / f"{runs.name}.log").read_text()[-3000:]
    assert code == 0, said
    (status,) = runs.glob("*/status.json")
    attempts = json.loads(status.read_text())["attempt"]
    found = killing.differences(reference, status.parent)
    told = f"{how.__name__} with checkpoint {step} written, {attempts} attempts"
    assert not found, f"{told}: differs in {found[:5]}"
    assert attempts > 1, f"{told}: it was not disturbed at all: {said}"
    return told


def together(cluster: Cluster, folder: Path, reference: Path, hows: dict[Disturbance, str], seed: int) -> list[str]:
    """One trial of each at the same time."""
    with ThreadPoolExecutor() as pool:
        waiting = [pool.submit(trial, cluster, folder, reference, how, node, seed) for how, node in hows.items()]
        return [one.result() for one in waiting]


def main() -> None:
    """The long soak: so many trials, on one cluster."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=20)
    trials = parser.parse_args().trials
    with tempfile.TemporaryDirectory() as temporary, Cluster() as cluster:
        os.environ.update(cluster.environment)
        version = cluster.command("squeue", "--version").strip()
        print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {version}, {os.cpu_count()} cores", flush=True)
        folder = Path(temporary)
        reference = killing.finish(folder / "reference", killing.ONE_STAGE)
        done = seed = 0
        while done < trials:
            for told in together(cluster, folder, reference, dict(TOGETHER[seed % 2]), seed):
                done += 1
                print(f"trial {done} bit-equal; {told}", flush=True)
            seed += 1
            cluster.clear()


if __name__ == "__main__":
    main()
