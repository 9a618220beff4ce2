"""Convolutions that a GPU computes faster in another form while it trains. On any other device they are torch's own.

1x1 convolutions are matrix products of rows, one per position, with the bias added inside. Depthwise 3x3 convolutions,
for which torch's own kernels take several times as long as memory does, are sums that a compiler makes one kernel of.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lic_exp.ops.precision import widened

PIECE = 128
"""Positions that inductor has one thread add up."""


def trains_on_gpu(x: Tensor) -> bool:
    """Whether features x are computed on a GPU and gradients are wanted. Coding and evaluation stay as they are."""
    return x.device.type == "cuda" and torch.is_grad_enabled()


def compiles_for_gpu(x: Tensor) -> bool:
    """The same, in a graph that is being compiled."""
    return torch.compiler.is_compiling() and trains_on_gpu(x)


def pointwise(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The 1x1 convolution of x (B, C, h, w) by weight (N, C, 1, 1), as a product where that is faster.

    In eager training that is where channels come last in memory; a compiler puts them there by itself.
    """
    rows = x.permute(0, 2, 3, 1)
    if compiles_for_gpu(x) or (trains_on_gpu(x) and rows.is_contiguous()):
        y: Tensor = F.linear(rows.reshape(-1, x.shape[1]), weight.flatten(1), bias)
        return y.view(*rows.shape[:3], -1).permute(0, 3, 1, 2)
    return F.conv2d(x, weight, bias)


def depthwise(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The depthwise 3x3 convolution of x (B, C, h, w), padded by 1, by weight (C, 1, 3, 3) and bias (C,)."""
    if not compiles_for_gpu(x):
        return F.conv2d(x, weight, bias, padding=1, groups=len(weight))
    if torch.is_autocast_enabled(x.device.type):
        x = x.to(torch.get_autocast_dtype(x.device.type))
    y: Tensor = SummedTaps.apply(x, weight, bias)
    return y


class Pointwise(nn.Conv2d):
    """A 1x1 convolution."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        return pointwise(x, self.weight, self.bias)


class Depthwise(nn.Conv2d):
    """A depthwise 3x3 convolution that keeps the sides."""

    def __init__(self, width: int) -> None:
        super().__init__(width, width, kernel_size=3, padding=1, groups=width)

    def forward(self, x: Tensor) -> Tensor:
        return depthwise(x, self.weight, self.get_parameter("bias"))


class SummedTaps(torch.autograd.Function):
    """A depthwise 3x3 convolution as nine products of shifted features, summed in float32 and rounded once.

    So is the gradient of x (B, C, h, w). Those of weight (C, 1, 3, 3) and bias (C,) are ten sums in one reading.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return (_summed(x, _taps(weight)) + widened(bias)[:, None, None]).to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        dy = widened(gradients[0])
        dx = _summed(gradients[0], _taps(weight)[::-1]).to(x.dtype)
        by_piece = torch.cat([_sums(dy * shifted) for shifted in _shifted(x)], 1)
        dweight = by_piece.unflatten(1, (9, -1)).permute(3, 1, 0, 2).sum((2, 3)).contiguous().view(weight.shape)
        return dx, dweight.to(weight.dtype), _sums(dy).sum((0, 1)).to(weight.dtype)


def _taps(weight: Tensor) -> list[Tensor]:
    """The nine of weight (C, 1, 3, 3), row by row, each (C, 1, 1), in float32 or wider."""
    return list(widened(weight).view(-1, 9, 1, 1).unbind(1))


def _summed(x: Tensor, taps: list[Tensor]) -> Tensor:
    """The nine products, summed in float32 or wider."""
    first, *others = (shifted * tap for tap, shifted in zip(taps, _shifted(x), strict=True))
    return sum(others, start=first)


def _shifted(x: Tensor) -> list[Tensor]:
    """What each tap sees of x, row by row, in float32 or wider; zeros from outside."""
    height, width = x.shape[-2:]
    padded = F.pad(x, (1, 1, 1, 1))
    return [widened(padded[:, :, i : i + height, j : j + width]) for i in range(3) for j in range(3)]


def _sums(x: Tensor) -> Tensor:
    """Sums of pieces of x (B, C, h, w), (B, pieces, C): so many rows as a thread adds up one after the other.

    A compiler cuts longer sums by itself, and then leaves one kernel for the rest of each.
    """
    height, width = x.shape[-2:]
    rows = max(rows for rows in range(1, height + 1) if height % rows == 0 and (rows == 1 or rows * width <= PIECE))
    by_piece: Tensor = x.permute(0, 2, 3, 1).unflatten(1, (-1, rows))
    return by_piece.sum((2, 3))
