"""Functions of test modules called on several ranks, each in a process of its own, as a training is."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from checkout import ROOT

from lic_exp.runs.rank_store import HOST, new_store

CALLED = """
import sys
sys.path[:0] = sys.argv[1].split(":")
import rank_starting
rank_starting.called(*sys.argv[2:])
"""


def on_ranks(world: int, function: str, *given: str, limit_s: int = 280) -> list[Any]:
    """What `module:function` of tests/ returns on each rank, in their order. It is given the texts, and `world` gloo
    ranks are one group around it. Fails where one of them does, with what it said.
    """
    store = new_store()
    with tempfile.TemporaryDirectory() as folder:
        shared = {"WORLD_SIZE": str(world), "MASTER_ADDR": HOST, "MASTER_PORT": str(store.port), "OMP_NUM_THREADS": "1"}
        shared |= {"TORCHELASTIC_USE_AGENT_STORE": "True", "GLOO_SOCKET_IFNAME": "lo"}
        paths = ":".join(
            [str(ROOT / "tests"), *(str(path) for path in (ROOT / "tests" / "unit").glob("*/")), str(ROOT)]
        )
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", CALLED, paths, function, str(_result(folder, rank)), *given],
                env=os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for rank in range(world)
        ]
        said = [process.communicate(timeout=limit_s)[0] for process in processes]
        codes = [process.returncode for process in processes]
        assert codes == [0] * world, "\n".join(f"rank {rank}: {text[-3000:]}" for rank, text in enumerate(said))
        return [torch.load(_result(folder, rank), weights_only=False) for rank in range(world)]


def called(function: str, result: str, *given: str) -> None:
    """In a rank's process."""
    module, _, name = function.partition(":")
    action = getattr(__import__(module), name)
    torch.distributed.init_process_group("gloo")
    found = action(*given)
    torch.distributed.destroy_process_group()
    torch.save(found, result)


def _result(folder: str, rank: int) -> Path:
    return Path(folder, f"{rank}.pt")
