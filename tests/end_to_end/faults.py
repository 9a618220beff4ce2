"""Kill a short run at the moments that random kills miss, go on, and compare it with one that nobody disturbed."""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import killing
import torch
from forked import Forked

from lic_exp.fault_points import VARIABLE
from lic_exp.runs.run import Run
from lic_exp.runs.syncing import sync_run
from lic_exp.tracking.evaluated import evaluation_metrics
from lic_exp.tracking.run_folder import RunFolder

sys.path.insert(0, str(Path(__file__).parents[1]))

from stores import logged_points, mlflow_points

STEPS = 12
OVERRIDES = (
    "model=factorized_tiny",
    "model.N=4",
    "model.M=4",
    "data=synthetic",
    "data.batch_size=2",
    "data.crop_size=64",
    "data.num_workers=0",
    "data.height=64",
    "data.width=96",
    "data.val_images=3",
    "data.val_limit=null",
    "scheduler=cosine",
    f"trainer.max_steps={STEPS}",
    "trainer.ema_decay=0.9",
    "trainer.log_every_steps=2",
    "trainer.validate_every_steps=4",
    "trainer.checkpoint_every_steps=3",
    "trainer.threads=1",
    "trainer.device=cpu",
    "evaluation.pictures=0",
)
ALONE = ("tracker=none",)
TRACKED = ("tracker=mlflow", "tracker.mlflow.flush_s=0.05", "tracker.mlflow.finish_timeout_s=120")
SWEPT = ("tracker=none", "-m", "seed=0,1", "hydra.launcher.slots=1")
TIMINGS = ("encode_s", "decode_s")


@dataclass(frozen=True)
class Fault:
    """point: of `lic_exp.fault_points`. times: which times that it is reached are tried. overrides: of the command."""

    point: str
    times: Sequence[int]
    overrides: tuple[str, ...] = ALONE


FAULTS = {
    "before any atomic file takes its place": Fault("file.written", range(1, 20)),
    "in a checkpoint's write": Fault("tensors.half_written", range(1, 200)),
    "a checkpoint is written, the old ones are still there": Fault("checkpoint.written", (1, 2, 3, 4)),
    "metrics are written, their checkpoint is not": Fault("metrics.durable", (1, 2, 3, 4)),
    "an entry of metrics is written": Fault("metrics.written", range(1, 10)),
    "the folder is ready, training has not begun": Fault("attempt.prepared", (1,)),
    "in an evaluation": Fault("evaluation.coded", (1, 2, 3)),
    "an evaluation is written, and not yet named": Fault("evaluation.written", (1,)),
    "before the tracker sends": Fault("tracker.sending", (1, 2), TRACKED),
    "the tracker has sent, and does not know it": Fault("tracker.sent", (1, 2), TRACKED),
    "in a sweep's planning": Fault("sweep.frozen", (1, 2), SWEPT),
    "before a sweep's manifest takes its place": Fault("file.written", (1,), SWEPT),
}


def run(runs: Path, overrides: Sequence[str], kill_at: str | None = None) -> int:
    """The command's exit code; negative for a signal. What it says goes to `<runs>.log`."""
    environment = killing.ENVIRONMENT | ({} if kill_at is None else {VARIABLE: kill_at})
    command = [*OVERRIDES, *overrides, f"paths.runs={runs}"]
    return Forked(command, Path(f"{runs}.log"), environment).wait(timeout=300)


def run_folders(runs: Path) -> list[Path]:
    return sorted(config.parent for config in runs.glob("*/config.yaml"))


def made(folder: Path, overrides: Sequence[str]) -> list[Path]:
    """The run folders of a command that nobody disturbs."""
    assert run(folder, overrides) == 0, Path(f"{folder}.log").read_text()[-3000:]
    return run_folders(folder)


def trial(folder: Path, references: list[Path], title: str, seed: int) -> str:
    """Killed once at a point, then begun again; says what happened. Raises AssertionError where it shows."""
    fault, rng = FAULTS[title], random.Random(f"{title}{seed}")
    runs = folder / f"{list(FAULTS).index(title)}_{seed}"
    times = rng.choice(fault.times)
    code = run(runs, fault.overrides, kill_at=f"{fault.point}:{times}")
    if code == 0 and fault.overrides == TRACKED and times > 1:  # how often a tracker sends hangs on the machine's pace
        shutil.rmtree(runs)
        times, code = 1, run(runs, fault.overrides, kill_at=f"{fault.point}:1")
    assert code == -signal.SIGKILL, f"{fault.point}:{times} was not reached: exit code {code}"
    assert run(runs, fault.overrides) == 0, Path(f"{runs}.log").read_text()[-3000:]
    others = run_folders(runs)
    assert [other.name for other in others] == [reference.name for reference in references]
    told = f"{title}, time {times}"
    for reference, other in zip(references, others, strict=True):
        found = [*killing.differences(reference, other, STEPS), *_other_differences(reference, other)]
        if fault.overrides == TRACKED:
            found += _untracked(runs, other)
        assert not found, f"{told}: differs in {found[:5]}"
    return told


def _other_differences(reference: Path, other: Path) -> list[str]:
    """In what was evaluated, in the state, and what is left half-written."""
    found = [str(path) for path in other.rglob("*.tmp")]
    rows = [_evaluated(folder) for folder in (reference, other)]
    states = [json.loads((folder / "status.json").read_text())["state"] for folder in (reference, other)]
    return found + ["evaluation"] * (rows[0] != rows[1]) + ["state"] * (states != ["done", "done"])


def _evaluated(folder: Path) -> list[dict[str, Any]]:
    rows = json.loads((folder / "eval" / "evaluation.json").read_text())["rows"]
    return [{key: value for key, value in row.items() if key not in TIMINGS} for row in rows]


def _untracked(runs: Path, folder: Path) -> list[str]:
    """What the store lacks or has twice after a `sync`, which a run that was killed once it was done needs.

    Of a step that was done twice it has the wall-clock numbers of the first time.
    """
    run = RunFolder(folder)
    away = [outcome.away for outcome in sync_run(Run(folder)) if outcome.away]
    assert not away, away
    wall_clock = killing.WALL_CLOCK
    evaluated = [(name, run.status()["step"], value) for name, value in evaluation_metrics(run).items()]
    there, sent = (
        [(name, step, 0.0 if name in wall_clock else value) for name, step, value in points]
        for points in (logged_points(run) + evaluated, mlflow_points(f"sqlite:///{runs}/mlflow.db", run))
    )
    return [] if sorted(there) == sorted(sent) else [f"MLflow: {len(sent)} points of {len(there)}"]


def main() -> None:
    """So many trials of every fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=5)
    options = parser.parse_args()
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, torch {torch.__version__}, {os.cpu_count()} cores", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder, references = Path(temporary), {}
        for seed in range(options.trials):
            for title, fault in FAULTS.items():
                if fault.overrides not in references:
                    place = folder / f"reference{len(references)}"
                    references[fault.overrides] = made(place, fault.overrides)
                told = trial(folder, references[fault.overrides], title, seed)
                print(f"trial {seed + 1} of {options.trials} bit-equal; killed {told}", flush=True)


if __name__ == "__main__":
    main()
