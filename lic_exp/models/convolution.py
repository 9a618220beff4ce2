"""1x1 convolutions as matrix products of rows, one per position, where a GPU trains; elsewhere they are torch's own.

The bias is added inside, channels come last in memory, and no operand has to be brought into another order.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lic_exp.ops.precision import widened


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
