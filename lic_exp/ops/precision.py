"""Arithmetic modes."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch


@contextmanager
def exact_float32() -> Iterator[None]:
    """Inside, float32 means float32: no autocast, no TF32 or bfloat16 in matrix products or convolutions."""
    with ExitStack() as stack:
        for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
            stack.enter_context(torch.autocast(device, enabled=False))
        stack.enter_context(_highest_matmul_precision())
        convolution = torch.backends.cudnn.allow_tf32
        try:
            torch.backends.cudnn.allow_tf32 = False
            yield
        finally:
            torch.backends.cudnn.allow_tf32 = convolution


@contextmanager
def _highest_matmul_precision() -> Iterator[None]:
    """The global setting, which since torch 2.9 also writes the CPU's own; that one is put back by itself."""
    cpu = getattr(torch.backends.mkldnn, "matmul", None)
    on_cpu = cpu and cpu.fp32_precision
    try:
        before = torch.get_float32_matmul_precision()
    except RuntimeError:  # set differently for CPU and CUDA, which torch does not read as one value
        before = "high" if torch.backends.cuda.matmul.allow_tf32 else "highest"
    try:
        torch.set_float32_matmul_precision("highest")
        yield
    finally:
        torch.set_float32_matmul_precision(before)
        if cpu:
            cpu.fp32_precision = on_cpu
