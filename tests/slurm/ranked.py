"""A cell of two tasks, one on each node of a test cluster, and what may befall it: each time it is to go on."""

import json
import os
import signal
from pathlib import Path

import cluster_processes
import killing
from cluster import Cluster
from cluster_commands import wait_for
from cluster_settings import NODES
from commands import launch
from sweeping import sweep_in

from lic_exp.sweeps.folder import SweepFolder
from lic_exp.sweeps.states import CellState, states

STEPS = 60
OVERRIDES = (
    "model=dhic_tiny",
    "data=synthetic",
    "data.batch_size=2",
    "data.crop_size=64",
    "data.num_workers=0",
    "data.val_crop_size=64",
    "data.val_limit=1",
    "tracker=none",
    f"trainer.max_steps={STEPS}",
    "trainer.log_every_steps=5",
    "trainer.validate_every_steps=30",
    "trainer.checkpoint_every_steps=2",
    "trainer.try_step=false",
    "trainer.threads=1",
    "trainer.device=cpu",
    "evaluation.enabled=false",
)
SUBMITTED = (
    *("-m", "seed=0", "trainer.nodes=2", "hydra/launcher=slurm", "hydra.launcher.mem_gb=4"),
    "hydra.launcher.retries=1",
    "hydra.launcher.setup=['export GLOO_SOCKET_IFNAME=lo']",  # both nodes are this machine
)


def undisturbed(folder: Path) -> Path:
    """The run folder of the same training, by two processes without SLURM."""
    folder.mkdir()
    done = launch(*OVERRIDES, "seed=0", "trainer.devices=2", folder=folder)
    assert done.returncode == 0, done.stderr
    (config,) = folder.glob("runs/*/config.yaml")
    return config.parent


class RankedCell:
    """The only cell of the sweep in a folder; None of it before it is first submitted."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster, self.folder = cluster, folder

    def submit(self) -> str:
        """Give the sweep's command; the number of the job."""
        done = launch(*OVERRIDES, *SUBMITTED, folder=self.folder)
        assert done.returncode == 0, done.stderr
        return self.job

    @property
    def sweep(self) -> SweepFolder:
        return sweep_in(self.folder)

    @property
    def job(self) -> str:
        number: str = self.sweep.job(self.sweep.cells[0])["job"]
        return number

    @property
    def now(self) -> CellState:
        (found,) = states(self.sweep).values()
        return found

    @property
    def log(self) -> str:
        return self.sweep.log(self.sweep.cells[0]).read_text(errors="replace")

    @property
    def job_log(self) -> str:
        """What the first task said outside of the cell."""
        return (self.sweep.folder / "slurm" / f"{self.job}_0_log.out").read_text()

    def wait_for_a_step(self, attempt: int) -> None:
        """Until this attempt has left a checkpoint of its own; the one before leaves one when it is asked to stop."""
        runs = self.folder / "runs"
        wait_for(lambda: _attempt(runs) == attempt, 120, f"no attempt {attempt}", lambda: self.log[-3000:])
        before = killing.newest_step(runs)
        wait_for(lambda: killing.newest_step(runs) > before, 90, "no step", lambda: self.log[-3000:])

    def processes(self) -> list[int]:
        """Of the cell, by their nodes' order."""
        return [pid for node in NODES for pid in cluster_processes.belonging(self.cluster.folder, node) if _trains(pid)]

    def kill_the_second(self) -> None:
        os.kill(self.processes()[1], signal.SIGKILL)

    def cut_the_power_of_the_second(self) -> None:
        node = NODES[1]
        self.cluster.kill_node(node)
        wait_for(lambda: self.cluster.node_states()[node].startswith("down"), 90, f"{node} is not down")
        assert self.now.state in ("queued", "starting", "running"), self.now
        self.cluster.start_node(node)


def _attempt(runs: Path) -> int:
    """How often the run in there has begun."""
    return max((json.loads(path.read_text()).get("attempt", 0) for path in runs.glob("*/status.json")), default=0)


def _trains(pid: int) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return b"cell" in words
