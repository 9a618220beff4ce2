"""What the tasks of a job that trains one cell tell each other, by files in the sweep's folder: all nodes see that.

The first task leads: it alone has the cell's record, asks SLURM for another turn, and says to the others when to start
their processes. Each task has a file of its own, in which nobody else writes.
"""

import os
import socket
import time
from collections.abc import Mapping
from typing import Any

from lic_exp.atomic import write_atomically
from lic_exp.json_text import json_text
from lic_exp.records import RecordError, read_record
from lic_exp.sweeps.folder import SweepFolder
from lic_exp.sweeps.kinds import TaskNote
from lic_exp.sweeps.launchers.slurm.arrays import array_folder

BEAT_EVERY_S = 10.0

HERE, BEGUN, OVER, ENDED = "here", "begun", "over", "ended"
"""A task is there; its process has begun; its process is over; it has written down all it had to, and ends."""


class TaskNotes:
    """The notes of one turn of a job; those of its former turns say nothing.

    rank: of this task. world: how many tasks there are. number: the job's, as squeue shows it.
    """

    def __init__(self, sweep: SweepFolder, number: str, environment: Mapping[str, str]) -> None:
        self.rank, self.world = int(environment.get("SLURM_PROCID", "0")), int(environment.get("SLURM_NTASKS", "1"))
        self._turn = int(environment.get("SLURM_RESTART_COUNT", "0"))
        self._folder = array_folder(sweep) / f"{number}.tasks"
        self._said: dict[str, Any] = {}
        self._beaten = 0.0

    def leave(self, state: str, **more: Any) -> None:
        """Say where this task stands; nothing where it is alone. more: as `TaskNote` has it."""
        if self.world == 1:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        self._said = {"turn": self._turn, "beat": self._said.get("beat", 0) + 1, "state": state, **more}
        write_atomically(self._folder / f"{self.rank}.json", json_text(self._said) + "\n")
        self._beaten = time.monotonic()

    def beat(self) -> None:
        """Say the same again, so that the others see that this task lives."""
        if self._said and time.monotonic() - self._beaten > BEAT_EVERY_S:
            self.leave(**{key: value for key, value in self._said.items() if key not in ("turn", "beat")})

    def of(self, rank: int) -> dict[str, Any]:
        """What a task has said in this turn; {} before it has said anything, and while that cannot be read."""
        try:
            note = dict(read_record(self._folder / f"{rank}.json", TaskNote))
        except (FileNotFoundError, RecordError):
            return {}
        return note if note["turn"] == self._turn else {}


MEETING = ("MASTER_ADDR", "MASTER_PORT", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")


def rank_environment(meeting: Mapping[str, Any]) -> dict[str, str]:
    """What tells the process of this task which rank it is, and where the ranks meet.

    meeting: `address` and `port` as the first task has said them. Of the first task itself {}: they meet at its node,
    at a port that every turn of a job has again unless it is taken; MASTER_ADDR and MASTER_PORT count where they are
    set.
    """
    from submitit.helpers import TorchDistributedEnvironment

    found = TorchDistributedEnvironment()
    found.master_addr = meeting.get("address") or os.environ.get("MASTER_ADDR") or _reachable(found.master_addr)
    found.master_port = meeting.get("port") or _free_port(found.master_port)
    shown = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    if shown and "," not in shown:
        found.local_rank = 0  # it is this task's alone, as by gpus_per_task
    found.export(set_cuda_visible_devices=False, overwrite=True)
    return {key: os.environ[key] for key in MEETING}


def _reachable(node: str) -> str:
    """A node by its name, or by the address that SLURM itself has of it where that name means nothing."""
    try:
        socket.getaddrinfo(node, None)
    except OSError:
        return os.environ.get("SLURM_LAUNCH_NODE_IPADDR", node)
    return node


def _free_port(wanted: int) -> int:
    """The port if it is free on this machine, or else another one."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    return wanted
