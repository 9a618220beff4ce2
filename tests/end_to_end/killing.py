"""Kill a short training run at random moments, resume it, and compare it with one that nobody disturbed."""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from forked import Forked

from lic_exp.training.checkpoint import load_checkpoint

CHECKOUT = Path(__file__).parents[2]
WALL_CLOCK = ("time", "train/images_per_s")
MAX_STEPS = 48

# EMA, a schedule, intra-scale regularization that ends half-way, two workers, and periods that do not coincide.
OVERRIDES = [
    "tracker=none",
    "data=synthetic",
    "data.batch_size=2",
    "data.crop_size=64",
    "data.num_workers=2",
    "data.val_limit=1",
    "spectral_reg=intra",
    "spectral_reg.truncation_unit=step",
    "spectral_reg.truncation_length=24",
    "scheduler=cosine",
    "trainer.ema_decay=0.9",
    "trainer.log_every_steps=3",
    "trainer.validate_every_steps=8",
    "trainer.checkpoint_every_steps=5",
    "trainer.threads=1",
    "evaluation.enabled=false",
]
ONE_STAGE = [f"trainer.max_steps={MAX_STEPS}"]
FIRST = "{steps: 23, data: {batch_size: 4}}"
SECOND = "{steps: 25, data: {crop_size: 128, batch_size: 1}, optimizer: {lr: 1e-4}}"
TWO_STAGES = ["trainer.max_steps=null", f"stages=[{FIRST},{SECOND}]"]


ENVIRONMENT = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(CHECKOUT)}


def start(runs: Path, overrides: list[str], *, group: bool = False) -> Forked:
    """Launch the run in the background; what it says goes to `<runs>.log`. group: in a process group of its own."""
    arguments = [*OVERRIDES, *overrides, f"paths.runs={runs}"]
    return Forked(arguments, runs.parent / f"{runs.name}.log", ENVIRONMENT, group=group)


def start_pool(runs: Path, overrides: list[str]) -> subprocess.Popen[bytes]:
    """The same of a sweep, whose cells are to find a pool as people start it."""
    command = [sys.executable, str(CHECKOUT / "launch.py"), *OVERRIDES, *overrides, f"paths.runs={runs}"]
    runs.parent.mkdir(parents=True, exist_ok=True)
    with open(runs.parent / f"{runs.name}.log", "ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | {"OMP_NUM_THREADS": "1"})


def finish(runs: Path, overrides: list[str]) -> Path:
    """Run to the end, from wherever it stands; the run folder."""
    code = start(runs, overrides).wait(timeout=600)
    assert code == 0, (runs.parent / f"{runs.name}.log").read_text()[-3000:]
    (config,) = runs.glob("*/config.yaml")
    return config.parent


def newest_step(runs: Path) -> int:
    steps = [int(path.stem.removeprefix("step_")) for path in runs.glob("*/checkpoints/step_*.pt")]
    return max(steps, default=0)


def disturb(runs: Path, overrides: list[str], signal_number: int, rng: random.Random) -> tuple[int, int]:
    """Start the run and send it a signal after a random number of checkpoints and a random time.

    Returns the newest checkpoint's step at that moment, and the exit code.
    """
    process = start(runs, overrides)
    goal = min(newest_step(runs) + rng.choice([1, 6, 11, 21, 31]), MAX_STEPS - 8)
    deadline = time.monotonic() + 120
    while newest_step(runs) < goal and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(rng.uniform(0, 0.3))
    process.send_signal(signal_number)
    return newest_step(runs), process.wait(timeout=120)


def differences(reference: Path, other: Path, steps: int = MAX_STEPS) -> list[str]:
    """Where two run folders differ: every tensor of the last checkpoint and of the best, and every logged number.

    steps: how many both have.
    """
    found = []
    for name in (f"step_{steps:08d}.pt", "best.pt"):
        one, two = (load_checkpoint(folder / "checkpoints" / name) for folder in (reference, other))
        found += [f"{name}{path}" for path in _unequal(one, two)]
    logged = [
        [_without_clock(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        for folder in (reference, other)
    ]
    if logged[0] != logged[1]:
        found.append(f"metrics.jsonl ({len(logged[0])} and {len(logged[1])} entries)")
    return found


def _unequal(one: Any, two: Any, path: str = "") -> list[str]:
    if path == "/recorded":  # bytes of metrics.jsonl, wall-clock numbers included
        return []
    if isinstance(one, dict) and isinstance(two, dict) and one.keys() == two.keys():
        return [found for key in one for found in _unequal(one[key], two[key], f"{path}/{key}")]
    if isinstance(one, list | tuple) and len(one) == len(two):
        return [found for i in range(len(one)) for found in _unequal(one[i], two[i], f"{path}[{i}]")]
    same = torch.equal(one, two) if isinstance(one, torch.Tensor) else one == two
    return [] if same else [path]


def _without_clock(line: str) -> dict[str, Any]:
    return {name: value for name, value in json.loads(line).items() if name not in WALL_CLOCK}


def trial(folder: Path, reference: Path, overrides: list[str], signal_number: int, seed: int) -> str:
    """A run that is disturbed once and then finished; says what happened. Raises AssertionError where it shows."""
    runs = folder / f"trial{seed}"
    step, code = disturb(runs, overrides, signal_number, random.Random(seed))
    found = differences(reference, finish(runs, overrides))
    told = f"{signal.Signals(signal_number).name} with checkpoint {step} written, exit code {code}"
    assert not found, f"{told}: differs in {found[:5]}"
    return told


def cancel(pool: "subprocess.Popen[bytes]", runs: Path) -> list[str]:
    verb(runs, "cancel")
    return SWEPT


def stop_the_pool(pool: "subprocess.Popen[bytes]", runs: Path) -> list[str]:
    pool.send_signal(signal.SIGINT)
    return SWEPT


def kill_the_cell(pool: "subprocess.Popen[bytes]", runs: Path) -> list[str]:
    (status,) = runs.glob("*/status.json")
    os.kill(json.loads(status.read_text())["pid"], signal.SIGKILL)
    return []


SWEPT = ["-m", "seed=0", "hydra.launcher.slots=1"]
INTERRUPTIONS = {"cancelled": cancel, "preempted": stop_the_pool, "killed": kill_the_cell}
"""What may befall a cell. Each returns the command line that goes on, or nothing where `retry` does."""


def verb(runs: Path, *arguments: str) -> int:
    """`python -m lic_exp ...` on these runs; what it says goes to `<runs>.log`."""
    command = [sys.executable, "-m", "lic_exp", *arguments, "--runs", str(runs)]
    environment = os.environ | ENVIRONMENT
    with open(runs.parent / f"{runs.name}.log", "ab") as log:
        return subprocess.run(command, stdout=log, stderr=log, env=environment, timeout=600, check=False).returncode


def requeue(folder: Path, reference: Path, how: str, seed: int) -> str:
    """A sweep's cell that is interrupted after a random checkpoint, then finished; says what happened.

    Raises AssertionError where it is not bit-equal to the reference.
    """
    runs, rng = folder / f"{how}{seed}", random.Random(seed)
    pool = start_pool(runs, [*ONE_STAGE, *SWEPT])
    goal = rng.choice([6, 11, 21, 31])
    deadline = time.monotonic() + 300
    while newest_step(runs) < goal and pool.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(rng.uniform(0, 0.3))
    again = INTERRUPTIONS[how](pool, runs)
    code, step = pool.wait(timeout=300), newest_step(runs)
    state = json.loads(next(runs.glob("*/status.json")).read_text())["state"]
    finished = start_pool(runs, [*ONE_STAGE, *again]).wait(timeout=600) if again else verb(runs, "retry")
    log = (runs.parent / f"{runs.name}.log").read_text()[-3000:]
    assert finished == 0, log
    (config,) = runs.glob("*/config.yaml")
    found = differences(reference, config.parent)
    told = f"{how} with checkpoint {step} written, state {state}, exit code {code}"
    assert not found, f"{told}: differs in {found[:5]}"
    return told


def soak_runs(folder: Path, trials: int) -> None:
    """So many trials for SIGKILL, for SIGUSR2, and for SIGKILL around a stage boundary."""
    for title, overrides, number in (
        ("SIGKILL", ONE_STAGE, signal.SIGKILL),
        ("SIGUSR2", ONE_STAGE, signal.SIGUSR2),
        ("SIGKILL, two stages", TWO_STAGES, signal.SIGKILL),
    ):
        place = folder / str(number) / str(len(overrides))
        reference = finish(place / "reference", overrides)
        for seed in range(trials):
            told = trial(place, reference, overrides, number, seed)
            print(f"{title}: trial {seed + 1} of {trials} bit-equal; {told}", flush=True)


def soak_sweeps(folder: Path, trials: int) -> None:
    """So many cells of sweeps, cancelled, preempted and killed in turn."""
    reference = finish(folder / "sweeps" / "reference", ONE_STAGE)
    for seed in range(trials):
        how = list(INTERRUPTIONS)[seed % len(INTERRUPTIONS)]
        told = requeue(folder / "sweeps", reference, how, seed)
        print(f"cell of a sweep: trial {seed + 1} of {trials} bit-equal; {told}", flush=True)


SOAKS = {"runs": soak_runs, "sweeps": soak_sweeps}


def main() -> None:
    """The long soak."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=list(SOAKS), default=list(SOAKS), help="default: all")
    parser.add_argument("--trials", type=int, default=20)
    options = parser.parse_args()
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, torch {torch.__version__}, {os.cpu_count()} cores", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        for part in options.parts:
            SOAKS[part](Path(temporary), options.trials)


if __name__ == "__main__":
    main()
