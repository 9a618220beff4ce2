"""How long cells will take: by finished runs of the same kind, or by a short measured probe."""

import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lic_exp.config.loading import with_values
from lic_exp.config.schema import RunConfig
from lic_exp.config.signing import steps_per_epoch
from lic_exp.records import RecordError, read_record
from lic_exp.runs.run import Run
from lic_exp.sweeps.cell_process import cell_command, python_path
from lic_exp.sweeps.folder import SweepFolder
from lic_exp.sweeps.launcher import Probe
from lic_exp.sweeps.states import seconds_per_step
from lic_exp.tracking.kinds import Status


def known_paces(runs: Path) -> dict[str, float]:
    """{throughput key: median seconds per step} of the runs here that one attempt has done, and all that it did."""
    found: dict[str, list[float]] = {}
    for path in runs.glob("[!.]*/status.json"):
        try:
            status = read_record(path, Status)
        except (FileNotFoundError, RecordError):
            continue
        at_once = status.get("state") == "done" and status.get("attempt") == 1
        whole = status.get("max_steps") if at_once else None
        like = status.get("throughput_key")
        began, ended = status.get("started"), status.get("finished")
        if whole and began is not None and ended and like:
            found.setdefault(like, []).append((ended - began) / whole)
    return {name: statistics.median(values) for name, values in found.items()}


def length(config: RunConfig) -> int:
    """A run's length in steps, as it will be."""
    return sum(
        stage.max_steps or (stage.max_epochs or 0) * steps_per_epoch(stage.data) for stage in config.stage_configs
    )


def measured_pace(config: RunConfig, probe: Probe, sweep: SweepFolder) -> float | None:
    """Seconds per step of a cell, over the probe's steps of each stage in a place of its own; None where they failed.

    Neither its start nor its validations and evaluation are counted. sweep: where the code is found.
    """
    if not config.stages:
        return _measured(config, [], probe, sweep)
    total = 0.0
    for stage in config.stages:
        pace = _measured(config, [stage.plain() | {"steps": probe.steps}], probe, sweep)
        if pace is None:
            return None
        total += stage.steps * pace
    return total / length(config)


def _measured(config: RunConfig, stages: Sequence[Mapping[str, Any]], probe: Probe, sweep: SweepFolder) -> float | None:
    """Seconds per step of the probe's steps with these stages, one of as many steps or none."""
    steps = probe.steps
    with tempfile.TemporaryDirectory() as temporary:
        elsewhere: dict[str, Any] = {"stages": stages, "tracker": {}, "init_from": None, "paths.runs": temporary}
        every = {"log_every_steps": 1, "validate_every_steps": steps}
        trainer = {
            f"trainer.{key}": value
            for key, value in ({"max_steps": None if stages else steps, "max_epochs": None} | every).items()
        }
        short = with_values(config, elsewhere | trainer | {"evaluation.enabled": False})
        content: dict[str, Any] = {"signature": short.signature, "sweep": None, "given": [], "config": short.plain()}
        frozen = Path(temporary, "cell.json")
        frozen.write_text(json.dumps(content))
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(python_path(sweep))}
        begun = time.monotonic()
        done = subprocess.run(cell_command(frozen, probe.memory_gb), env=environment, capture_output=True, check=False)
        took = time.monotonic() - begun
        if done.returncode != 0:
            return None
        return seconds_per_step(Run(Path(temporary, short.signature))) or took / steps
