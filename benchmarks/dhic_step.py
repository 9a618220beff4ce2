"""A training step of `dhic_tiny` on a CPU against the same graph in torch's own convolutions.

    python benchmarks/dhic_step.py --pairs 20 --threads 1

Prints a Markdown table. Plain: every convolution as nn.Conv2d runs it, in contiguous memory, the three depthwise
branches one by one. Branches in one: these as one convolution. As shipped: also 1x1 convolutions as matrix products in
channels-last memory. Each block times one step of every way, in an order that
rotates; ratios of CPU seconds are formed within a block, and their median is reported with a bootstrap 95 % interval.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import numpy as np
import torch
from measuring import machine, median_interval
from torch import Tensor, nn

import lic_exp
from lic_exp.models.dhic import codec as codec_module
from lic_exp.models.dhic import network
from lic_exp.models.dhic.blocks import RepDW
from lic_exp.models.dhic.codec import DHIC
from lic_exp.models.dhic.convolution import Conv1x1

LMBDA = 500.0


def branches(mixer: RepDW, x: Tensor) -> Tensor:
    assert mixer.conv1 is not None
    y: Tensor = mixer.conv(x) + mixer.conv1(x) + x
    return y


def contiguous(x: Tensor, widths: list[int]) -> torch.memory_format:
    return torch.contiguous_format


@contextmanager
def torch_convolutions() -> Iterator[None]:
    with ExitStack() as stack:
        stack.enter_context(patch.object(Conv1x1, "forward", nn.Conv2d.forward))
        stack.enter_context(patch.object(network, "memory_format", contiguous))
        stack.enter_context(patch.object(codec_module, "memory_format", contiguous))
        yield


@contextmanager
def plain() -> Iterator[None]:
    with torch_convolutions(), patch.object(RepDW, "forward", branches):
        yield


WAYS: dict[str, Callable] = {"plain": plain, "branches in one": torch_convolutions, "as shipped": ExitStack}


def step(codec: DHIC, x: Tensor, quality: Tensor) -> float:
    """Forward and backward; the loss."""
    codec.zero_grad()
    output = codec(x, quality)
    bits = torch.stack([bits.sum() for bits in output.bits.values()]).sum()
    loss = bits / x[:, 0].numel() + LMBDA * (output.x_hat - x).square().mean()
    loss.backward()
    return loss.item()


def measure(codec: DHIC, x: Tensor, quality: Tensor, pairs: int) -> np.ndarray:
    """CPU and wall seconds (pairs, ways, 2), after checking that all ways give one loss."""
    times, losses = np.empty((pairs + 1, len(WAYS), 2)), np.empty(len(WAYS))
    for block in range(pairs + 1):
        for turn in range(len(WAYS)):
            column = (block + turn) % len(WAYS)
            torch.manual_seed(0)
            with list(WAYS.values())[column]():
                begun, wall = time.process_time(), time.perf_counter()
                losses[column] = step(codec, x, quality)
                times[block, column] = time.process_time() - begun, time.perf_counter() - wall
        np.testing.assert_allclose(losses, losses[0], rtol=1e-3)
    return times[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=20, help="interleaved blocks (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="torch threads (default: %(default)s)")
    parser.add_argument("--shape", type=int, nargs=2, default=(8, 128), metavar=("BATCH", "CROP"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    codec, (batch, crop) = lic_exp.create_model("dhic_tiny"), options.shape
    draws = torch.Generator().manual_seed(0)
    x, quality = torch.rand(batch, 3, crop, crop, generator=draws), 63 * torch.rand(batch, generator=draws)
    times = measure(codec, x, quality, options.pairs)

    print(f"{machine()}, {options.threads} threads, torch {torch.__version__};")
    print(f"x {tuple(x.shape)}, {options.pairs} blocks\n")
    print("| way | step [CPU ms] | step [wall ms] | plain / way, CPU | 95 % interval |")
    print("|---|---|---|---|---|")
    for column, way in enumerate(WAYS):
        cpu_ms, wall_ms = 1e3 * np.median(times[:, column], axis=0)
        ratio, low, high = median_interval(times[:, 0, 0] / times[:, column, 0])
        print(f"| {way} | {cpu_ms:.1f} | {wall_ms:.1f} | {ratio:.2f}x | {low:.2f} to {high:.2f} |")


if __name__ == "__main__":
    main()
