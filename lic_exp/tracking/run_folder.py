"""The run folder: the only record of a run that has to survive. Imports no torch.

config.yaml      the resolved, validated config
status.json      state, attempt, host, heartbeat, reason (written atomically)
environment.json packages, git commit, device (git.diff beside it when the tree was dirty)
complexity.json  parameters and MACs of the codec, part by part
metrics.jsonl    one JSON object per logged step: the truth that tracking stores project
run.log          what the run said
checkpoints/ eval/ artifacts/
"""

import json
import math
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lic_exp.atomic import write_json

STATES = ("created", "running", "done", "failed", "diverged", "preempted")

SWEEPS = ".sweeps"
"""The folder beside run folders where sweeps keep their manifests."""

EVALUATION_FILE, EVALUATION_KEY = "evaluation.json", "evaluation"
"""The results of an evaluation, and the key of its name in them; those of schema 1 have none."""

DEAD_AFTER_S = 120.0
"""A running run renews its heartbeat every 10 s; after so much silence nobody is taken to run it."""


def is_run_folder(folder: Path) -> bool:
    """Whether this is a run's folder; other tools write a config.yaml too."""
    run = RunFolder(folder)
    return run.config.is_file() and (run.status_file.is_file() or run.checkpoints.is_dir())


def is_silent(status: Mapping[str, Any]) -> bool:
    """Whether the last heartbeat in status.json lies longer back than DEAD_AFTER_S."""
    return time.time() - float(status.get("heartbeat", 0.0)) > DEAD_AFTER_S


def encode_metrics(metrics: Mapping[str, Any]) -> str:
    """One JSON line. JSON has no NaN or infinity: they are written as the strings "nan", "inf", "-inf"."""

    def plain(value: Any) -> Any:
        return repr(value) if isinstance(value, float) and not math.isfinite(value) else value

    return json.dumps({name: plain(value) for name, value in metrics.items()}, allow_nan=False) + "\n"


def decode_metrics(line: str) -> dict[str, Any]:
    """Inverse of `encode_metrics`. Raises ValueError on a torn line."""
    special = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
    entries: dict[str, Any] = json.loads(line)
    return {name: special.get(value, value) if isinstance(value, str) else value for name, value in entries.items()}


class RunFolder:
    """Paths and atomic files of one run; the folder's name is the run's signature."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self.config = self.root / "config.yaml"
        self.status_file = self.root / "status.json"
        self.environment = self.root / "environment.json"
        self.complexity = self.root / "complexity.json"
        self.metrics_file = self.root / "metrics.jsonl"
        self.log = self.root / "run.log"
        self.checkpoints = self.root / "checkpoints"
        self.eval = self.root / "eval"
        self.artifacts = self.root / "artifacts"
        self._status_lock = threading.Lock()

    @property
    def signature(self) -> str:
        return self.root.name

    def create(self) -> None:
        for folder in (self.checkpoints, self.eval, self.artifacts):
            folder.mkdir(parents=True, exist_ok=True)

    def status(self) -> dict[str, Any]:
        """The last written status, or {} where the run was never started."""
        try:
            status: dict[str, Any] = json.loads(self.status_file.read_text())
        except (FileNotFoundError, NotADirectoryError):
            return {}
        return status

    def update_status(self, **changes: Any) -> dict[str, Any]:
        """Merge `changes` into status.json, with host, pid and heartbeat [Unix s] of this process.

        A number that is not finite, such as the best of a run that was not validated yet, becomes null.
        """
        own = {"host": socket.gethostname(), "pid": os.getpid(), "heartbeat": time.time()}
        with self._status_lock:
            status = self.status() | own | changes
            if status.get("state") not in STATES:
                raise ValueError(f"state {status.get('state')!r} is none of {', '.join(STATES)}")
            write_json(self.status_file, status)
        return status

    def metrics(self) -> Iterator[dict[str, Any]]:
        """The logged entries in order; an unfinished last line is not yet an entry."""
        if not self.metrics_file.exists():
            return
        with open(self.metrics_file) as file:
            for line in file:
                if line.endswith("\n"):
                    yield decode_metrics(line)
