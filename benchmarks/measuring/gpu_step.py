"""One way of a training step on one device, in a process of its own; benchmarks/gpu.py starts it and reads it.

    python benchmarks/measuring/gpu_step.py MODEL BATCH SIDE WAY [--device cuda] [--precision bf16] [--released FOLDER]

Prints a line of JSON when it is warm, waits for a line on stdin, measures, and prints another.
"""

import argparse
import json
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

import lic_exp
from lic_exp.data.batches import Batch
from lic_exp.evaluation.complexity import complexity
from lic_exp.optimizers.factories import adam
from lic_exp.optimizers.groups import build_optimizers, split_parameters
from lic_exp.progress import Progress
from lic_exp.training.arithmetic import matmul_peak
from lic_exp.training.compiling import compile_objective
from lic_exp.training.criterion import MSE
from lic_exp.training.launches import covered
from lic_exp.training.objective import Objective
from lic_exp.training.stepper import StepOptions, Stepper
from lic_exp.training.variable_rate import VariableRate

sys.path.append(str(Path(__file__).parents[1]))
from measuring import released

LR = 1e-4
WARM_UP, BLOCKS, BLOCK_S, LEAST_STEPS = 4, 7, 0.3, 6
PRECISIONS = ("float32", "tf32", "bf16", "fp16")
Step = Callable[[int], None]
"""Makes the step of this number. It may leave work on the device."""


def options_of(way: str, precision: str) -> dict[str, Any]:
    """A way, such as "graphs+channels_last+combo_kernels=true", in parts. Raises ValueError for one not known."""
    first, *more = way.split("+")
    found: dict[str, Any] = {"compile": first, "precision": precision, "channels_last": False, "inductor": {}}
    for word in more:
        name, equals, value = word.partition("=")
        if equals:
            found["inductor"][name] = json.loads(value)
        elif word in PRECISIONS:
            found["precision"] = word
        elif word == "channels_last":
            found["channels_last"] = True
        elif word == "search":
            torch.backends.cudnn.benchmark = True
        else:
            raise ValueError(f"{word} in {way}: there are {', '.join(PRECISIONS)}, channels_last, search, NAME=VALUE")
    return found


def own_step(name: str, images: torch.Tensor, chosen: dict[str, Any]) -> Step:
    """The platform's own step of one batch: Adam, clipping, checks; no loader."""
    device = images.device
    codec = lic_exp.create_model(name)
    rates = VariableRate(lmbda_min=0.001, lmbda_max=0.06, drawn_qualities="continuous", balance=0.0, validation_rates=3)
    of = Objective(codec, rates if codec.facts.variable_rate else MSE(lmbda=0.013), {}).to(device).train()
    if chosen["channels_last"]:
        codec.to(memory_format=torch.channels_last)
    how = {"off": False, "full": True}.get(chosen["compile"], chosen["compile"])
    compile_objective(of, how)
    factory = partial(adam, lr=LR, betas=[0.9, 0.999], eps=1e-8, weight_decay=0.0)
    split = split_parameters(of.codec, of.regularizers)
    optimizers = build_optimizers(split, factory, lr=LR, aux_lr=1e-3, reg_lr=None, lr_factors={})
    precision = "float32" if chosen["precision"] == "tf32" else chosen["precision"]
    made = Stepper(of, optimizers, StepOptions(1.0, precision, chosen["channels_last"], 1, how), device, 0, _uncaptured)
    batch = Batch(images, ["random"] * len(images))

    def step(number: int) -> None:
        made.step(batch, Progress(number, 0, 0.0))
        if number % 50 == 49 and (skipped := made.take_pending()):
            raise skipped[0]

    return step


def _uncaptured(step: int) -> None:
    raise RuntimeError("the step could not be recorded")


class Clock:
    """Times steps, which it numbers, on a device."""

    def __init__(self, step: Step, device: torch.device) -> None:
        self.step, self.device, self.number = step, device, 0

    def steps(self, count: int) -> tuple[float, float]:
        """Seconds until so many are done, and until the host was done with them."""
        self.wait()
        began = time.perf_counter()
        for _ in range(count):
            self.step(self.number)
            self.number += 1
        queued = time.perf_counter() - began
        self.wait()
        return time.perf_counter() - began, queued

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def measured(clock: Clock) -> dict[str, Any]:
    """Milliseconds of a step by block, of the host's part of it; of one step the kernels, and when they ran."""
    once, _ = clock.steps(LEAST_STEPS)
    count = max(LEAST_STEPS, round(BLOCK_S / (once / LEAST_STEPS)))
    blocks = [tuple(1e3 * seconds / count for seconds in clock.steps(count)) for _ in range(BLOCKS)]
    return {"ms": [total for total, _ in blocks], "host_ms": [host for _, host in blocks]} | kernels(clock)


def kernels(clock: Clock) -> dict[str, Any]:
    """What a profiler sees of one step on the device: nodes, milliseconds in which any ran, and a table by name."""
    on_gpu = clock.device.type == "cuda"
    with profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]) as seen:
        clock.steps(1)
    kind = torch.autograd.DeviceType.CUDA if on_gpu else torch.autograd.DeviceType.CPU
    events = [event for event in seen.events() if event.device_type == kind and not _is_label(event)]
    count, total = Counter[str](), Counter[str]()
    for event in events:
        count[event.name] += 1
        total[event.name] += event.time_range.elapsed_us()
    busy = covered((event.time_range.start, event.time_range.end) for event in events)
    table = [(name, count[name], us / 1e3) for name, us in total.most_common()]
    return {"nodes": len(events), "busy_ms": busy / 1e3, "kernels": table}


def _is_label(event: Any) -> bool:
    return bool(getattr(event, "is_user_annotation", False)) or event.name.startswith(("##", "ProfilerStep"))


def product_tflops(device: torch.device, precision: str) -> float:
    """TFLOP/s of a large product of random matrices in this precision; float32 as convolutions round it."""
    return matmul_peak(device, {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision, torch.float32)) / 1e12


def step_tflop(name: str, batch: int, side: int) -> float:
    """Of forward and backward pass, which is three times the former: products and convolutions alone."""
    return 3 * 2 * complexity(lic_exp.create_model(name), side, side).macs_per_pixel * batch * side**2 / 1e12


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("batch", type=int)
    parser.add_argument("side", type=int)
    parser.add_argument("way")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--precision", choices=PRECISIONS, default="bf16")
    parser.add_argument("--released", type=Path)
    asked = parser.parse_args(arguments)
    device = torch.device(asked.device)
    chosen = options_of(asked.way, asked.precision)
    import torch._inductor.config as inductor

    for key, value in chosen["inductor"].items():
        setattr(inductor, key, value)
    torch.backends.cuda.matmul.allow_tf32 = chosen["precision"] == "tf32"
    torch.manual_seed(0)
    images = torch.rand(asked.batch, 3, asked.side, asked.side).to(device)
    if chosen["compile"] == "released":
        step = released.step(asked.released, images)
    else:
        step = own_step(asked.model, images, chosen)
    clock = Clock(step, device)
    first, _ = clock.steps(2)
    clock.steps(WARM_UP)
    if device.type == "cuda":
        torch.cuda.empty_cache()
    told = {"first_two_s": first, "tflop": step_tflop(asked.model, asked.batch, asked.side)}
    print(json.dumps(told), flush=True)
    if not sys.stdin.readline():
        return
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    found = measured(clock)
    # What is reserved, since recordings keep memory that counts as allocated only while they are made.
    peak = torch.cuda.max_memory_reserved(device) / 2**30 if device.type == "cuda" else float("nan")
    product = product_tflops(device, "tf32" if chosen["compile"] == "released" else chosen["precision"])
    print(json.dumps(told | found | {"peak_gib": peak, "product_tflops": product}), flush=True)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()
