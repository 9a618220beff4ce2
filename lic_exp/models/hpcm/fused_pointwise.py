"""The pointwise half of a residual block as matrix products on a CPU, a few rows at a time.

Convolutions write and read the inner features, four times as large as the input, from end to end of memory. Here a
strip of them stays in the cache, and in training those that are cheap to make again are not kept at all.
"""

from collections.abc import Iterator
from functools import partial
from itertools import repeat
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lic_exp.ops.side_by_side import Helpers, helpers

STRIP = 2048
"""Positions at a time."""

SHORTEST_STRIP, STRIPS, WORTH = 256, 8, 2**24
"""In coding threads share the strips: so many, unless they had fewer positions or products (WORTH) than pay."""

CHEAP = 128
"""Widest block whose inner features are computed again in the backward pass: a seventh of its products, but beside the
pixels, where features are largest, most of what a training step keeps."""

SLOPE = 0.01


class Weights(NamedTuple):
    """w1 (inner, N), b1 (inner,), w2 (N, inner), b2 (N,)."""

    w1: Tensor
    b1: Tensor
    w2: Tensor
    b2: Tensor


def fusing_pays(x: Tensor) -> bool:
    """Whether strips are the faster way for features x: on a CPU, in one precision, and not while compiling."""
    return x.device.type == "cpu" and not (torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu"))


def fused_pointwise(x: Tensor, mixed: Tensor, first: nn.Module, second: nn.Module) -> Tensor:
    """Compute x + second(LeakyReLU(first([mixed | x's other channels]))) of x (B, N, h, w), mixed (B, k, h, w)."""
    w1, w2 = (layer.get_parameter("weight").flatten(1) for layer in (first, second))
    biases = first.get_parameter("bias"), second.get_parameter("bias")
    helping, given = helpers(), (_rows(x), _rows(mixed), w1, biases[0], w2, biases[1])
    rows: Tensor = _FusedPointwise.apply(*given) if helping is None else _side_by_side(helping, *given)
    batch, _, height, width = x.shape
    return rows.view(batch, height, width, -1).permute(0, 3, 1, 2)


def _side_by_side(helping: Helpers, x: Tensor, mixed: Tensor, *parameters: Tensor) -> Tensor:
    """What `_FusedPointwise` gives, without gradients, in shorter strips that several threads take."""
    w, y = Weights(*parameters), torch.empty_like(x)

    def part(one: Tensor, own: Tensor, result: Tensor) -> None:
        activated = _activated(_joined(one, own), w, x.new_empty(len(one), len(w.w1)))
        torch.addmm(one, activated, w.w2.t(), out=result).add_(w.b2)

    # By the shapes alone: what a product is, to the last bit, might hang on the strip that it is in.
    shortest = max(SHORTEST_STRIP, WORTH // w.w1.numel(), -(-len(x) // STRIPS))
    helping.run([partial(part, *strip) for strip in _strips(x, mixed, y, positions=min(shortest, STRIP))])
    return y


def _rows(x: Tensor) -> Tensor:
    """(B, C, h, w) -> (B h w, C), a view where channels come last in memory."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def _strips(*tensors: Tensor, positions: int = STRIP) -> Iterator[tuple[Tensor, ...]]:
    return zip(*(tensor.split(positions) for tensor in tensors), strict=True)


def _joined(x: Tensor, mixed: Tensor) -> Tensor:
    """[mixed | other columns of x]."""
    return torch.cat((mixed, x[:, mixed.shape[1] :]), 1) if mixed.shape[1] < x.shape[1] else mixed


class _FusedPointwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, mixed: Tensor, *parameters: Tensor) -> Tensor:
        w = Weights(*parameters)
        keeps = any(ctx.needs_input_grad) and x.shape[1] > CHEAP
        y, hidden = torch.empty_like(x), x.new_empty(len(x) if keeps else min(STRIP, len(x)), len(w.w1))
        strips = hidden.split(STRIP) if keeps else repeat(hidden)
        for (one, own, result), inner in zip(_strips(x, mixed, y), strips, strict=False):
            activated = _activated(_joined(one, own), w, inner[: len(one)])
            torch.addmm(one, activated, w.w2.t(), out=result).add_(w.b2)
        ctx.save_for_backward(x, mixed, *parameters, *([hidden] if keeps else []))
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, mixed, *parameters = ctx.saved_tensors
        w, kept = Weights(*parameters[:4]), parameters[4:]
        dy, k = gradients[0].contiguous(), mixed.shape[1]
        dx, dmixed = torch.empty_like(x) if k < x.shape[1] else dy, torch.empty_like(mixed)
        d = Weights(*(torch.empty_like(parameter) for parameter in w))
        buffer = x.new_empty(min(STRIP, len(x)), len(w.w1))
        inner = kept[0].split(STRIP) if kept else [None] * len(x)
        for number, (one, own, up, to_x, to_mixed) in enumerate(_strips(x, mixed, dy, dx, dmixed)):
            joined = _joined(one, own)
            hidden = inner[number]
            activated = _activated(joined, w, buffer[: len(one)]) if hidden is None else hidden
            inside = torch.ops.aten.leaky_relu_backward(up @ w.w2, activated, SLOPE, True)
            # The first strip sets what the others add to.
            _add_product(d.w2, d.b2, up, activated, beta=min(number, 1))
            _add_product(d.w1, d.b1, inside, joined, beta=min(number, 1))
            if dx is dy:
                torch.mm(inside, w.w1, out=to_mixed)
            else:
                back = inside @ w.w1
                to_mixed.copy_(back[:, :k])
                to_x[:, :k].copy_(up[:, :k])
                torch.add(up[:, k:], back[:, k:], out=to_x[:, k:])
        return dx, dmixed, *d


def _add_product(weight: Tensor, bias: Tensor, rows: Tensor, others: Tensor, beta: int) -> None:
    """The gradients of a layer from those of its result and its input, added to beta times what is there."""
    torch.addmm(weight, rows.t(), others, beta=beta, out=weight)
    torch.add(rows.sum(0), bias, alpha=beta, out=bias) if beta else torch.sum(rows, 0, out=bias)


def _activated(x: Tensor, w: Weights, out: Tensor) -> Tensor:
    """LeakyReLU(x w1^T + b1), written to `out`."""
    return F.leaky_relu_(torch.addmm(w.b1, x, w.w1.t(), out=out), SLOPE)
