"""What the inter-scale term costs a training step.

    python benchmarks/inter_scale.py model=dhic_tiny data.crop_size=256 data.batch_size=8 --blocks 20

Overrides are those of launch.py: the model (of two or more latents), its criterion, batch, crop and device. Prints a
Markdown table. One codec is trained on a fixed random batch by steppers of their own, without the term and with each
form of it; every block makes the same number of steps each way, in an order that rotates, so that a slow minute of the
machine hits all of them. On the CPU the cost is that of all threads, on a GPU the wall time up to the device's last
operation. Ratios are formed within a block, and their median is reported with a bootstrap 95 % interval.

The guard and the gradient ratio work every few steps (`guard_every_steps`, `gradient_every_steps`), so a block holds
their cost only where it has that many steps: `--steps 100` holds all of it.
"""

import argparse
import time

import numpy as np
import torch
from measuring import machine, median_interval

from lic_exp.config.compose import compose
from lic_exp.config.instantiation import instantiate
from lic_exp.config.overrides import parse
from lic_exp.config.validation import validate
from lic_exp.data.loading import Batch
from lic_exp.models.base import Codec
from lic_exp.optimizers.groups import build_optimizers, split_parameters
from lic_exp.progress import Progress
from lic_exp.runs import build as building
from lic_exp.training.objective import Objective
from lic_exp.training.stepper import StepOptions, Stepper

WAYS = {
    "without": "none",
    "inter, delta 0": "inter",
    "inter_cos": "inter_cos",
    "inter_norm": "inter_norm",
    "inter_game": "inter_game",
    "inter_predict": "inter_predict",
}


class Training:
    """Steps of one codec with one form of the term."""

    def __init__(self, codec: Codec, way: str, overrides: list[str], device: torch.device) -> None:
        chosen = [f"spectral_reg={WAYS[way]}", "tracker=none"]
        chosen += ["spectral_reg.start=0"] if way != "without" else []
        # Eq. 6 as it stands would end within the measurement; weight 0 leaves out its backward pass alone.
        chosen += ["spectral_reg.delta=0"] if way == "inter, delta 0" else []
        config = validate(compose(parse([*overrides, *chosen])))
        criterion = building.build_criterion(config)
        regularizers = building.build_regularizers(config, codec)
        self.objective = Objective(codec, criterion, regularizers).to(device).train()
        split = split_parameters(codec, self.objective.regularizers)
        node = config.optimizer
        rates = {"lr": node.options["lr"], "aux_lr": node.aux_lr, "reg_lr": node.reg_lr}
        optimizers = build_optimizers(
            split, lambda groups: instantiate(config.optimizer.component, "optimizer", groups), lr_factors={}, **rates
        )
        options = building.options_of(StepOptions, config.trainer)
        self.stepper = Stepper(self.objective, optimizers, options, device, config.seed)
        self.device, self.step = device, 0

    def run(self, batch: Batch, steps: int) -> float:
        """Seconds of so many steps."""
        start = self._now()
        for _ in range(steps):
            self.stepper.step(batch, Progress(self.step, 0, 0.0))
            self.step += 1
        return self._now() - start

    def _now(self) -> float:
        if self.device.type == "cpu":
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()


def measure(trainings: list[Training], batch: Batch, blocks: int, steps: int) -> np.ndarray:
    """Seconds (blocks, ways); an unmeasured block comes first."""
    seconds = np.empty((blocks + 1, len(trainings)))
    for block in range(blocks + 1):
        for turn in range(len(trainings)):
            column = (block + turn) % len(trainings)
            seconds[block, column] = trainings[column].run(batch, steps)
    return seconds[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="+", help="as for launch.py, the model first of all")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS), help="forms (default: all)")
    parser.add_argument("--blocks", type=int, default=20, help="interleaved blocks (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=100, help="steps per way and block (default: %(default)s)")
    args = parser.parse_intermixed_args()
    ways = ["without", *(way for way in args.ways if way != "without")]
    config = validate(compose(parse([*args.overrides, "spectral_reg=none"])))
    torch.set_num_threads(config.trainer.threads or torch.get_num_threads())
    device = building.resolve_device(config.trainer.device)
    codec = building.build_codec(config)
    trainings = [Training(codec, way, args.overrides, device) for way in ways]
    size, side = config.data.batch_size, config.data.crop_size
    batch = Batch(torch.rand(size, 3, side, side, generator=torch.Generator().manual_seed(0)), ["random"] * size)

    seconds = measure(trainings, batch, args.blocks, args.steps)
    parameters = sum(parameter.numel() for parameter in codec.parameters()) / 1e6
    print(
        f"{machine()}, {device}, torch {torch.__version__}; {' '.join(args.overrides)}: {parameters:.2f} M parameters,"
    )
    print(f"x {tuple(batch.x.shape)}, {args.blocks} blocks of {args.steps} steps\n")
    print("| term | step [ms] | over without | 95 % interval |")
    print("|---|---|---|---|")
    for way, taken in zip(ways, seconds.T, strict=True):
        ratio, low, high = median_interval(taken / seconds[:, 0])
        interval = "" if way == "without" else f"{low:.3f} to {high:.3f}"
        print(f"| {way} | {1e3 * np.median(taken) / args.steps:.2f} | {ratio:.3f}x | {interval} |")


if __name__ == "__main__":
    main()
