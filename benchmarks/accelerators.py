"""A training step of the small codecs with each accelerator, against that with Adam alone.

    python benchmarks/accelerators.py --blocks 20 --threads 1

Prints a Markdown table. A step is all that a training makes of a batch: forward pass, loss, backward pass, clipping,
checks and update. Each block times `--steps` steps in a row of every way, in an order that rotates: so what is made
every ten steps (SOAP's bases) is in each block as often as in a training. Ratios of seconds are formed within a
block, and their median is reported with a bootstrap 95 % interval. On a CPU these are CPU seconds, on a GPU
(`--device cuda`) wall seconds. A resolution curriculum is timed in its stage, at half the sides.
"""

import argparse
import time

import numpy as np
import torch
from measuring import machine, median_interval

from lic_exp.config.loading import load_config
from lic_exp.config.signing import data_source
from lic_exp.data.batches import Batch
from lic_exp.progress import Progress
from lic_exp.runs.build import build_objective, build_stages, options_of
from lic_exp.training.stepper import StepOptions, Stepper

MODELS = ("dhic_tiny", "hpcm_tiny")
WAYS = {
    "adam": ["optimizer=adam"],
    "adamw": ["optimizer=adamw"],
    "sgd": ["optimizer=sgd"],
    "muon": ["optimizer=muon"],
    "soap": ["optimizer=soap"],
    "cautious_adam": ["optimizer=cautious_adam"],
    "balanced": ["optimizer=adam", "criterion={balanced}"],
    "resolution": ["optimizer=adam", "spectral_reg=resolution"],
    "intra": ["optimizer=adam", "spectral_reg=intra"],
}
BALANCED = {"dhic_tiny": "balanced", "hpcm_tiny": "balanced_mse"}
FIRST = 3
"""Steps before all others, in which moments and bases are made."""


class Course:
    """A training in one way, as long as it is asked for steps."""

    def __init__(self, model: str, way: str, x: torch.Tensor) -> None:
        crop = f"data.crop_size={x.shape[-1]}"
        # Gradient descent at its usual rate would end in a step that is not finite.
        slow = "optimizer.lr=1e-6"
        options = [override.format(balanced=BALANCED[model]) for override in WAYS[way]]
        config = load_config(["data=synthetic", crop, f"model={model}", *options, slow])
        objective = build_objective(config, x.device)
        stage, *_ = build_stages(config, objective, data_source, x.device)
        stepping = options_of(StepOptions, config.trainer)
        self.stepper = Stepper(objective, stage.build().optimizers, stepping, x.device, config.seed)
        self.batch = Batch(x, [str(number) for number in range(len(x))])
        self.made = 0
        self.seconds(FIRST)

    def seconds(self, steps: int) -> float:
        """Of so many more steps."""
        begun = now(self.batch.x.device)
        for _ in range(steps):
            self.stepper.step(self.batch, Progress(self.made, 0, 0.0))
            self.made += 1
        return now(self.batch.x.device) - begun


def now(device: torch.device) -> float:
    """CPU seconds of this process, or the time when a GPU has nothing left to do [s]."""
    if device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def measure(model: str, ways: list[str], x: torch.Tensor, blocks: int, steps: int) -> np.ndarray:
    """Seconds of a step (blocks, ways)."""
    courses = [Course(model, way, x) for way in ways]
    seconds = np.empty((blocks, len(courses)))
    for block in range(blocks):
        for turn in range(len(courses)):
            column = (block + turn) % len(courses)
            seconds[block, column] = courses[column].seconds(steps) / steps
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    others = list(WAYS)[1:]
    parser.add_argument("--ways", nargs="+", choices=others, default=others, help="beside adam")
    parser.add_argument("--blocks", type=int, default=20, help="interleaved blocks (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=10, help="steps of a block (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="torch threads (default: %(default)s)")
    # A crop whose half is a multiple of both codecs' factors, or the curriculum would show all of it.
    parser.add_argument("--shape", type=int, nargs=2, default=(2, 256), metavar=("BATCH", "CROP"))
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    batch, crop = options.shape
    x = torch.rand(batch, 3, crop, crop, generator=torch.Generator().manual_seed(0)).to(options.device)
    ways, kind = ["adam", *options.ways], "CPU" if options.device == "cpu" else "wall"
    print(f"{machine()}, {options.threads} threads, torch {torch.__version__}, {options.device};")
    print(f"x {tuple(x.shape)}, {options.blocks} blocks of {options.steps} steps\n")
    print(f"| model | way | step [{kind} ms] | step / step with adam | 95 % interval |")
    print("|---|---|---|---|---|")
    for model in options.models:
        seconds = measure(model, ways, x, options.blocks, options.steps)
        for column, way in enumerate(ways):
            ratio, low, high = median_interval(seconds[:, column] / seconds[:, 0])
            step_ms = 1e3 * np.median(seconds[:, column])
            print(f"| {model} | {way} | {step_ms:.1f} | {ratio:.3f} | {low:.3f} to {high:.3f} |")


if __name__ == "__main__":
    main()
