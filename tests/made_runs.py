"""Run folders made by hand, for what needs no training."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from lic_exp.config.schema import RunConfig

FILES = ("best.pt", "step_00000100.pt", "step_00000200.pt")


def write_run(
    folder: Path, config: RunConfig, state: str = "done", *, files: Sequence[str] = FILES, **status: Any
) -> Path:
    """Make the run folder `folder`, with these checkpoints, which hold nothing. status: what else status.json says."""
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config.plain(), sort_keys=False))
    now = {"heartbeat": time.time(), "started": time.time() - 90, "host": socket.gethostname(), "pid": os.getpid()}
    shown = {"state": state, "step": 200, "max_steps": 500, "best": 1.25, "attempt": 2, "name": None}
    (folder / "status.json").write_text(json.dumps(now | shown | status))
    for name in files:
        (folder / "checkpoints" / name).write_bytes(b"x" * 1000)
    return folder


def gone_process() -> int:
    """The number of a process that has ended."""
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    return int(ended.stdout)
