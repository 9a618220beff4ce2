"""1x1 convolutions as matrix products of rows, one per position, where a GPU trains; elsewhere they are torch's own.

The bias is added inside, channels come last in memory, and no operand has to be brought into another order. And
depthwise ones of what a CPU codes portably, for which torch has float32 alone.
"""

from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lic_exp.ops.precision import widened
from lic_exp.private_torch import is_watched


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


AT_ONCE = 2**15
"""Numbers that a depthwise convolution in float64 works on, so that they stay in a core's cache."""


class Depthwise3x3(nn.Conv2d):
    """A depthwise 3x3 convolution. Parameters, keys and result are nn.Conv2d's.

    In float64 on a CPU torch calls a kernel for each channel, slow ones where channels come last in memory. There it is
    nine products that are added to the bias one after another, each rounded by itself: the same bits in any strips.
    """

    bias: Tensor

    def __init__(self, width: int) -> None:
        super().__init__(width, width, 3, padding=1, groups=width)

    def forward(self, x: Tensor) -> Tensor:
        plain = x.dtype == torch.float64 and x.device.type == "cpu" and not torch.is_grad_enabled()
        if not plain or x.is_contiguous() or is_watched():
            return super().forward(x)
        height, width = x.shape[-2:]
        padded, y = F.pad(x, (1, 1, 1, 1)), torch.empty_like(x)
        rows = max(1, AT_ONCE // x[:, :, 0].numel())
        for top, part in zip(range(0, height, rows), y.split(rows, 2), strict=True):
            part.copy_(self.bias[:, None, None].expand_as(part))
            for down, right in product(range(3), range(3)):
                weight = self.weight[:, :, down, right, None]
                shifted_by = padded[:, :, top + down : top + down + part.shape[2], right : right + width]
                part.add_(shifted_by * weight)
        return y


class Pointwise(nn.Conv2d):
    """A 1x1 convolution."""

    bias: Tensor

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        return pointwise(x, self.weight, self.bias)


def shifted(layer: Pointwise, bias: Tensor) -> Tensor:
    """The bias (N,) with which the layer makes of features x what it would make of x + bias, (B, C, h, w) and (C,)."""
    shift = layer.bias + (widened(layer.weight.flatten(1)) * widened(bias)).sum(1)
    return shift.to(layer.bias.dtype)
