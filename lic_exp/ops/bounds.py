"""Bounds whose gradient still leads back inside."""

from typing import Any

import torch
from torch import Tensor, nn


def lower_bound(x: Tensor, bound: Tensor) -> Tensor:
    """max(x, bound); below the bound only a gradient whose descent raises x passes."""
    bounded: Tensor = _LowerBound.apply(x, bound)
    return bounded


def upper_bound(x: Tensor, bound: Tensor) -> Tensor:
    """min(x, bound); above the bound only a gradient whose descent lowers x passes."""
    return -lower_bound(-x, -bound)


class _LowerBound(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, bound: Tensor) -> Tensor:
        ctx.save_for_backward(x >= bound)
        return torch.maximum(x, bound.to(x.dtype))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,), (inside,) = gradients, ctx.saved_tensors
        return gradient * (inside | (gradient < 0)), None


class Bound(nn.Module):
    """Holds a bound as the released models keep it: a buffer (1,)."""

    bound: Tensor

    def __init__(self, bound: float) -> None:
        super().__init__()
        self.register_buffer("bound", torch.tensor([bound]))
