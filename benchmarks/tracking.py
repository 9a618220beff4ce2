"""What tracking and checkpoints cost a training step.

    python benchmarks/tracking.py --blocks 20

Prints two Markdown tables of CPU seconds of the training process, all its threads included.

Tracking: in one process, one training goes on and on; in every block it does the same number of steps twice, once
followed by MLflow as `tracker=mlflow` does, once with the run folder alone as `tracker=none` does, in an order that
alternates. The followed half ends when the store holds all its points. Importing MLflow and making the store, once
per run, come before. What the tracker's own thread used is given beside it: that number does not depend on the
neighbours, but leaves out what the thread's work costs the others.

Checkpoints: every block does a few steps and writes one checkpoint (`Trainer.save`); the ratio is that of 50 steps with
one checkpoint to 50 steps alone. Wall time is given beside it, since waiting for the disk costs no CPU.

Ratios are formed within a block; their median over the blocks is reported with a bootstrap 95 % interval.
"""

import argparse
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import torch
from measuring import machine, median_interval

from lic_exp.config.compose import compose
from lic_exp.config.overrides import parse
from lic_exp.config.schema import RunConfig
from lic_exp.config.signing import data_source
from lic_exp.config.validation import validate
from lic_exp.runs import build as building
from lic_exp.tracking import names
from lic_exp.tracking.base import MetricsWriter, Tracker
from lic_exp.tracking.run_folder import RunFolder
from lic_exp.training.checkpoint import Checkpoints
from lic_exp.training.options import TrainerOptions
from lic_exp.training.stepper import StepOptions
from lic_exp.training.trainer import Trainer
from lic_exp.training.validation import Validation

COMMON = ("data.batch_size=8", "data.crop_size=128", "data.val_limit=1", "trainer.device=cpu", "trainer.threads=1")
TRACKED_MODEL, SAVED_MODEL = "mean_scale_hyperprior_tiny", "hyperprior"
CHECKPOINT_EVERY_STEPS = 50
CPU = torch.device("cpu")

Seconds = tuple[float, float]


class Recorder:
    """A `Reporter` of the trainer that calls `at_step` after every step, and follows nothing unless it is told to."""

    def __init__(self, at_step: Callable[[int], None]) -> None:
        self.at_step = at_step
        self.follow(None, None)

    def follow(self, writer: MetricsWriter | None, tracker: Tracker | None) -> None:
        self.writer, self.tracker = writer, tracker

    def log(self, metrics: dict[str, float], *, step: int, epoch: int) -> None:
        if self.writer:
            self.writer.write(metrics, step=step, epoch=epoch)
        if self.tracker:
            self.tracker.poke()

    def advance(self, step: int) -> None:
        self.at_step(step)

    def uncaptured(self, step: int) -> None:
        """On the CPU nothing is recorded."""

    def position(self) -> int:
        return 0

    def rewind(self, position: int) -> None:
        raise NotImplementedError


def clocks() -> Seconds:
    """CPU seconds of this process and wall seconds."""
    return time.process_time(), time.perf_counter()


def config_of(*overrides: str) -> RunConfig:
    """A validated config without validation or checkpoints in between."""
    never = ("trainer.validate_every_steps=1000000", "trainer.checkpoint_every_steps=1000000")
    return validate(compose(parse([*COMMON, *never, *overrides])))


def trainer_of(config: RunConfig, folder: Path, recorder: Recorder) -> Trainer:
    """The trainer that `lic_exp.runs.train.train` builds, reporting to `recorder`."""
    torch.set_num_threads(config.trainer.threads)
    source = data_source(config.data)
    objective = building.build_objective(config, CPU)
    return Trainer(
        objective,
        building.build_stages(config, objective, lambda _: source, CPU),
        Validation(objective.criterion, building.build_validation_images(config.data, source), CPU),
        names.VAL_RD_LOSS,
        Checkpoints(folder / "checkpoints", "benchmark"),
        recorder,
        building.options_of(StepOptions, config.trainer),
        building.options_of(TrainerOptions, config.trainer),
        CPU,
        config.seed,
    )


def run_folder(root: Path) -> RunFolder:
    """A run folder as a run has it when training starts."""
    run = RunFolder(root)
    run.create()
    run.update_status(state="running")
    run.config.write_text("{}\n")
    return run


class Halves:
    """Measures halves of `steps` steps, with and without a tracker in turn, from within one training."""

    def __init__(self, folder: Path, config: RunConfig, steps: int) -> None:
        self.steps = steps
        self.recorder = Recorder(self.at_step)
        self.store = folder / "mlflow.db"
        self.runs = {tracked: run_folder(folder / f"tracked_{tracked}") for tracked in (True, False)}
        self.writers = {tracked: MetricsWriter(run) for tracked, run in self.runs.items()}
        self.tracker = building.build_background_sync(config, "mlflow", self.runs[True])
        self.cpu_s: dict[bool, list[float]] = {True: [], False: []}
        self.thread_s: list[float] = []
        self.half = -1
        self.tracker.start()
        self.begin()

    def begin(self) -> None:
        """Start the next half; the first one, which is dropped, is tracked and warms up."""
        self.tracked = self.half < 0 or self.half // 2 % 2 == self.half % 2
        self.recorder.follow(self.writers[self.tracked], self.tracker if self.tracked else None)
        self.started_s = time.process_time()

    def at_step(self, step: int) -> None:
        if step % self.steps:
            return
        if self.tracked:
            self.wait_for_store()
        if self.half >= 0:
            self.cpu_s[self.tracked].append(time.process_time() - self.started_s)
        if self.tracked:
            self.thread_s.append(self.tracker_thread_s())
        self.half += 1
        self.begin()

    def tracker_thread_s(self) -> float:
        """CPU seconds that the tracker's thread has used so far."""
        (thread,) = (thread for thread in threading.enumerate() if thread.name.startswith("tracker:"))
        assert thread.ident is not None
        return time.clock_gettime(time.pthread_getcpuclockid(thread.ident))

    def wait_for_store(self) -> None:
        """Until the store holds every point of the tracked run; sleeping costs no CPU."""
        logged = sum(len(entry) - 3 for entry in self.runs[True].metrics())
        deadline = time.monotonic() + 120
        while self.stored() < logged:
            if time.monotonic() > deadline:
                raise RuntimeError(f"after two minutes the store lacks {logged - self.stored()} points")
            time.sleep(0.5)

    def stored(self) -> int:
        if not self.store.exists():
            return 0
        try:
            with closing(sqlite3.connect(self.store)) as connection:
                return int(connection.execute("SELECT count(*) FROM metrics").fetchone()[0])
        except sqlite3.OperationalError:  # its tables are being made
            return 0


def measure_tracking(blocks: int, steps: int, log_every_steps: int) -> np.ndarray:
    """CPU seconds (3, blocks) of `steps` steps: untracked, tracked, and of the latter the tracker's thread."""
    length = f"trainer.max_steps={steps * (2 * blocks + 1)}"
    config = config_of(f"model={TRACKED_MODEL}", "tracker=mlflow", length, f"trainer.log_every_steps={log_every_steps}")
    with tempfile.TemporaryDirectory() as folder:
        halves = Halves(Path(folder), config, steps)
        trainer_of(config, Path(folder), halves.recorder).fit()
        halves.tracker.finish("done")
    return np.array([halves.cpu_s[False], halves.cpu_s[True], np.diff(halves.thread_s)])


def measure_checkpoints(blocks: int, steps: int) -> tuple[np.ndarray, int]:
    """Seconds (blocks, 2, 2) of one step and of one checkpoint, CPU and wall; and the model's parameters."""
    config = config_of(
        f"model={SAVED_MODEL}", "optimizer=adam", "tracker=none", f"trainer.max_steps={steps * (blocks + 1)}"
    )
    seconds: list[list[np.ndarray]] = []
    with tempfile.TemporaryDirectory() as folder:
        started = np.zeros(2)

        def at_step(step: int) -> None:
            nonlocal started
            if step % steps == 0:
                stepped = np.array(clocks())
                trainer.save()
                saved = np.array(clocks())
                seconds.append([(stepped - started) / steps, saved - stepped])
                started = np.array(clocks())

        trainer = trainer_of(config, Path(folder), Recorder(at_step))
        trainer.fit()
        parameters = sum(p.numel() for p in trainer.objective.codec.parameters())
    return np.array(seconds[1:]), parameters


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=20, help="interleaved blocks (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=80, help="steps of half a block (default: %(default)s)")
    parser.add_argument("--log-every-steps", type=int, default=10, help="as in a run (default: %(default)s)")
    options = parser.parse_args()
    print(f"{machine()}, torch {torch.__version__}, one thread; {options.blocks} blocks\n")

    untracked, tracked, thread = measure_tracking(options.blocks, options.steps, options.log_every_steps)
    ratio, low, high = median_interval(tracked / untracked)
    print("| a step [CPU ms] | tracker=none | tracker=mlflow | ratio | 95 % interval | its thread |")
    print("|---|---|---|---|---|---|")
    none, mlflow, own = (1e3 * np.median(times) / options.steps for times in (untracked, tracked, thread))
    cells = f"{none:.2f} | {mlflow:.2f} | {ratio:.4f} | {low:.4f} to {high:.4f} | {own:.2f}"
    print(f"| {TRACKED_MODEL}, batch 8 of 128 | {cells} |\n")

    seconds, parameters = measure_checkpoints(options.blocks, steps=5)
    print(
        f"| a checkpoint per {CHECKPOINT_EVERY_STEPS} steps | a step [ms] | a checkpoint [ms] | ratio | 95 % interval |"
    )
    print("|---|---|---|---|---|")
    for clock, (step_s, save_s) in zip(("CPU", "wall"), seconds.transpose(2, 1, 0), strict=True):
        ratio, low, high = median_interval(1 + save_s / (CHECKPOINT_EVERY_STEPS * step_s))
        times = f"{1e3 * np.median(step_s):.0f} | {1e3 * np.median(save_s):.0f}"
        print(f"| {SAVED_MODEL}, {parameters / 1e6:.1f} M, {clock} | {times} | {ratio:.4f} | {low:.4f} to {high:.4f} |")


if __name__ == "__main__":
    main()
