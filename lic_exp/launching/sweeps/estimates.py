"""How long cells will take: by finished runs of the same shape, or by a short measured probe."""

import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lic_exp.launching.identity import data_source, signature
from lic_exp.launching.run import Run
from lic_exp.launching.sweeps.states import seconds_per_step

Config = Mapping[str, Any]


def known_paces(runs: Path) -> dict[str, float]:
    """{shape: median seconds per step} of the runs here that were done in one attempt, all that they did included."""
    found: dict[str, list[float]] = {}
    for path in runs.glob("[!.]*/status.json"):
        try:
            status = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            continue
        whole = status.get("state") == "done" and status.get("attempt") == 1 and status.get("max_steps")
        if whole and status.get("finished") and status.get("shape"):
            found.setdefault(status["shape"], []).append((status["finished"] - status["started"]) / whole)
    return {name: statistics.median(values) for name, values in found.items()}


def length(config: Config) -> int:
    """A run's length in steps, as it will be."""
    if config["stages"]:
        return sum(stage["steps"] for stage in config["stages"])
    if config["trainer"]["max_steps"] is not None:
        return int(config["trainer"]["max_steps"])
    per_epoch = config["data"]["steps_per_epoch"]
    if per_epoch is None:
        per_epoch = max(1, len(data_source(config).train()) // config["data"]["batch_size"])
    return int(config["trainer"]["max_epochs"] * per_epoch)


def probe(config: Config, steps: int, folder: str, command: Any) -> float | None:
    """Seconds per step over `steps` steps of the cell, in a place of its own; None where they failed.

    Neither its start nor its validations and evaluation are counted. command: makes a cell's command line.
    """
    with tempfile.TemporaryDirectory() as temporary:
        trainer = {"max_steps": steps, "max_epochs": None, "log_every_steps": 1, "validate_every_steps": steps}
        short = dict(config) | {"stages": [], "tracker": {}, "init_from": None, "paths": {"runs": temporary}}
        short["trainer"] = {**config["trainer"], **trainer}
        short["evaluation"] = {**config["evaluation"], "enabled": False}
        name = signature(short)
        frozen = Path(temporary, "cell.json")
        frozen.write_text(json.dumps({"signature": name, "sweep": None, "given": [], "config": short}))
        begun = time.monotonic()
        arguments, environment = command(frozen)
        done = subprocess.run(arguments, env=environment, cwd=folder, capture_output=True, check=False)
        took = time.monotonic() - begun
        if done.returncode != 0:
            return None
        return seconds_per_step(Run(Path(temporary, name))) or took / steps
