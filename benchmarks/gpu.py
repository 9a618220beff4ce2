"""A training step on a GPU by every way of `trainer.compile`: milliseconds, peak memory, launches.

    python benchmarks/gpu.py --models hpcm_base dhic_paper --ways off full graphs

Prints a Markdown table: of the platform's own step (Adam, clipping, checks; no data loader), medians over blocks of
steps, of 16 images of 256x256 in bf16 unless told otherwise. Launches are what a profiler sees of one step on the
device. With `--device cpu` it shows that it works, on a small model. Without a GPU it measures nothing else.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Sequence
from functools import partial

import torch
from measuring import machine
from torch.profiler import ProfilerActivity, profile

import lic_exp
from lic_exp.data.loading import Batch
from lic_exp.optimizers.factories import adam
from lic_exp.optimizers.groups import build_optimizers, split_parameters
from lic_exp.progress import Progress
from lic_exp.training.compiling import compile_objective
from lic_exp.training.criterion import MSE
from lic_exp.training.objective import Objective
from lic_exp.training.stepper import StepOptions, Stepper
from lic_exp.training.variable_rate import VariableRate

LR = 1e-4
BLOCKS, STEPS = 5, 6


def stepper(name: str, way: str, chosen: argparse.Namespace, device: torch.device) -> Stepper:
    codec = lic_exp.create_model(name)
    rates = VariableRate(lmbda_min=0.001, lmbda_max=0.06, drawn_qualities="continuous", validation_rates=3)
    of = Objective(codec, rates if codec.facts.variable_rate else MSE(lmbda=0.013), {}).to(device).train()
    if chosen.channels_last:
        codec.to(memory_format=torch.channels_last)
    how = {"off": False, "full": True}.get(way, way)
    compile_objective(of, how)
    factory = partial(adam, lr=LR, betas=[0.9, 0.999], eps=1e-8, weight_decay=0.0)
    split = split_parameters(of.codec, of.regularizers)
    optimizers = build_optimizers(split, factory, lr=LR, aux_lr=1e-3, reg_lr=None, lr_factors={})
    options = StepOptions(1.0, chosen.precision, chosen.channels_last, 1, how)
    return Stepper(of, optimizers, options, device, 0, lambda step: print(f"{name} {way}: not recorded", flush=True))


def measured(made: Stepper, batch: Batch, device: torch.device) -> tuple[float, list[float], int]:
    """Seconds until the second step is done, milliseconds of a step by block, launches of one."""

    def steps(count: int) -> float:
        began = time.perf_counter()
        for number in range(count):
            made.step(batch, Progress(number, 0, 0.0))
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - began

    first = steps(2)
    steps(3)
    blocks = [1e3 * steps(STEPS) / STEPS for _ in range(BLOCKS)]
    kinds = [ProfilerActivity.CUDA] if device.type == "cuda" else [ProfilerActivity.CPU]
    with profile(activities=kinds) as seen:
        steps(1)
    launches = sum(event.count for event in seen.key_averages() if device.type != "cuda" or event.device_time_total)
    return first, blocks, launches


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["hpcm_base", "dhic_paper"], metavar="MODEL")
    parser.add_argument("--ways", nargs="+", default=["off", "blocks", "full", "graphs"], metavar="WAY")
    parser.add_argument("--precision", choices=["float32", "bf16"], default="bf16")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--device", default="cuda")
    chosen = parser.parse_args(arguments)
    if chosen.device == "cuda" and not torch.cuda.is_available():
        print("there is no CUDA device here, so nothing is measured")
        return
    device = torch.device(chosen.device)
    named = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"{named}, torch {torch.__version__}; {machine()}")
    print(f"{chosen.batch} of {chosen.side}x{chosen.side}, {chosen.precision}\n")
    print("| model | way | first two steps [s] | step [ms] | lowest to highest | peak [GiB] | launches |")
    print("|---|---|---|---|---|---|---|")
    for name in chosen.models:
        for way in chosen.ways:
            torch.manual_seed(0)
            images = torch.rand(chosen.batch, 3, chosen.side, chosen.side).to(device)
            made = stepper(name, way, chosen, device)
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
            first, blocks, launches = measured(made, Batch(images, ["random"] * chosen.batch), device)
            peak = torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else float("nan")
            spread = f"{min(blocks):.1f} to {max(blocks):.1f}"
            shown = f"{first:.1f} | {statistics.median(blocks):.1f} | {spread} | {peak:.1f} | {launches}"
            print(f"| {name} | {way} | {shown} |", flush=True)
            del made
            torch._dynamo.reset()


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()
