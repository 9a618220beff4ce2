"""A training step of the small codecs on a CPU: written down plainly, as it is shipped, and as `trainer.compile=full`.

    python benchmarks/compiled_step.py --blocks 20 --threads 1

Prints a Markdown table, and what the first compiled step takes with nothing in the compiler's cache. Plain: the same
graph in torch's own convolutions, `dhic_step.py` and `measuring.hpcm_plain`. A step is forward pass, loss and backward
pass, with noise and rates that are given. Each block times every way once, in an order that rotates; ratios of CPU
seconds are formed within a block, and their median is reported with a bootstrap 95 % interval.
"""

import argparse
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
import torch
from dhic_step import plain
from measuring import machine, median_interval
from measuring.hpcm_plain import PlainHPCM
from torch import Tensor

import lic_exp
from lic_exp.models.base import Codec, CodecOutput
from lic_exp.models.hpcm.codec import HPCM
from lic_exp.models.noise import Noise
from lic_exp.training.compiling import compile_objective
from lic_exp.training.criterion import MSE
from lic_exp.training.objective import Objective
from lic_exp.training.variable_rate import VariableRate

MODELS = ("dhic_tiny", "hpcm_tiny")
WAYS = ("plain", "as shipped", "compiled")


class Way(NamedTuple):
    """An objective, and what its forward pass is surrounded by."""

    objective: Objective
    within: Callable[[], AbstractContextManager[None]]


def given_noise(noise: Noise, like: Tensor) -> Tensor:
    return torch.full_like(like, 0.25)


def ways(name: str) -> dict[str, Way]:
    """The ways of one codec, with the same weights."""
    made = [_objective(name) for _ in range(3)]
    first, *others = (objective.codec for objective in made)
    for codec in others:
        codec.load_state_dict(first.state_dict())
    if isinstance(first, HPCM):
        made[0].codec.forward = _plainly(first)  # type: ignore[method-assign]
    compile_objective(made[2], True)
    surroundings = nullcontext if isinstance(first, HPCM) else plain
    return dict(
        zip(
            WAYS,
            (Way(made[0], surroundings), Way(made[1], nullcontext), Way(made[2], nullcontext)),
            strict=True,
        )
    )


def _objective(name: str) -> Objective:
    codec: Codec = lic_exp.create_model(name)
    if not codec.facts.variable_rate:
        return Objective(codec, MSE(lmbda=0.01), {}).train()
    rates = VariableRate(lmbda_min=0.001, lmbda_max=0.06, drawn_qualities="continuous", balance=0.0, validation_rates=3)
    return Objective(codec, rates, {}).train()


def _plainly(codec: HPCM) -> Callable[[Tensor], CodecOutput]:
    heads, weights = codec.attn_s1.heads, dict(codec.named_parameters())
    windows = [codec.get_submodule(f"attn_s{scale}").window for scale in (1, 2, 3)]

    def forward(x: Tensor) -> CodecOutput:
        noise = lambda like: torch.full_like(like, 0.25)  # noqa: E731
        model = PlainHPCM(weights, heads, windows, compat=codec.compat, training=True, noise=noise)
        output = model.forward(x)
        bits = {"y": -output.y_likelihood.log2(), "z": -output.z_likelihood.log2()}
        return CodecOutput(output.x_hat, bits, tuple(output.latents))

    return forward


def step(way: Way, x: Tensor) -> float:
    """The loss of a step."""
    drawn = way.objective.draw(torch.linspace(0.1, 0.9, len(x), dtype=torch.float64))
    way.objective.zero_grad()
    with way.within():
        loss = way.objective(x, *drawn)["loss"]
        loss.backward()
    return loss.item()


def measure(of: Mapping[str, Way], x: Tensor, blocks: int) -> np.ndarray:
    """CPU seconds (blocks, ways), after an unmeasured block in which all must give one loss."""
    seconds, losses = np.empty((blocks + 1, len(of))), np.empty(len(of))
    for block in range(blocks + 1):
        for turn in range(len(of)):
            column = (block + turn) % len(of)
            begun = time.process_time()
            losses[column] = step(list(of.values())[column], x)
            seconds[block, column] = time.process_time() - begun
        np.testing.assert_allclose(losses, losses[0], rtol=2e-2)
    return seconds[1:]


@contextmanager
def empty_cache() -> Iterator[None]:
    """Inside, the compiler finds nothing that it has compiled before."""
    with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, TORCHINDUCTOR_CACHE_DIR=folder):
        yield


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS, help="default: all")
    parser.add_argument("--blocks", type=int, default=20, help="interleaved blocks (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="torch threads (default: %(default)s)")
    parser.add_argument("--shape", type=int, nargs=2, default=(8, 128), metavar=("BATCH", "CROP"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    batch, crop = options.shape
    x = torch.rand(batch, 3, crop, crop, generator=torch.Generator().manual_seed(0))
    print(f"{machine()}, {options.threads} threads, torch {torch.__version__}; x {tuple(x.shape)},")
    print(f"{options.blocks} blocks\n")
    print("| model | way | first step, wall [s] | step [CPU ms] | first way / way, CPU | 95 % interval |")
    print("|---|---|---|---|---|---|")
    for name in options.models:
        with empty_cache(), patch.object(Noise, "forward", given_noise):
            of, firsts = {way: made for way, made in ways(name).items() if way in options.ways}, []
            for way in of.values():
                begun = time.perf_counter()
                step(way, x)
                firsts.append(time.perf_counter() - begun)
            seconds = measure(of, x, options.blocks)
        for way, first_s, taken in zip(of, firsts, seconds.T, strict=True):
            ratio, low, high = median_interval(seconds[:, 0] / taken)
            interval = "" if way == "plain" else f"{low:.2f} to {high:.2f}"
            numbers = f"{first_s:.1f} | {1e3 * np.median(taken):.1f} | {ratio:.2f}x | {interval}"
            print(f"| {name} | {way} | {numbers} |", flush=True)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()
