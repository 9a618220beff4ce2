"""How fast a device multiplies at best, and how much memory a training has taken."""

import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor

from lic_exp.ops.precision import products_as_convolutions

REPETITIONS = 5


def matmul_peak(device: torch.device, dtype: torch.dtype, now: Callable[[], float] = time.perf_counter) -> float:
    """FLOP/s of the fastest of a few products of two square matrices, with the threads that torch has.

    A float32 product of a GPU is rounded as its convolutions are, TF32 unless torch is told otherwise. Nothing is
    drawn from torch's global generators. now: a clock [s].
    """
    side = _side(device, dtype)
    random = torch.Generator(device).manual_seed(0)
    # Numbers of all magnitudes: a GPU multiplies zeros faster.
    one, other = (torch.empty(side, side, device=device, dtype=dtype).normal_(generator=random) for _ in range(2))
    found = torch.empty_like(one)
    with torch.no_grad(), products_as_convolutions(device):
        _multiplied(one, other, found)
        seconds = []
        for _ in range(REPETITIONS):
            begun = now()
            _multiplied(one, other, found)
            seconds.append(now() - begun)
    return 2 * side**3 / min(seconds)


def _multiplied(one: Tensor, other: Tensor, found: Tensor) -> None:
    torch.mm(one, other, out=found)
    if found.device.type == "cuda":
        torch.cuda.synchronize(found.device)


def _side(device: torch.device, dtype: torch.dtype) -> int:
    """Of matrices that are large for the device, and its memory has room for beside a model."""
    if device.type == "cpu":
        return 1024
    return 4096 if dtype == torch.float32 else 8192


def begin_peak_memory(device: torch.device) -> None:
    """What is held from here on counts, where that can be told."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: torch.device) -> tuple[int, str] | None:
    """Bytes, and whose; None where this system does not tell."""
    if device.type == "cuda":
        # What a recorded step works in is not allocated anew, and counts as reserved alone.
        return torch.cuda.max_memory_reserved(device), "reserved on the device, at most"
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, "resident in this process since it began, at most"
