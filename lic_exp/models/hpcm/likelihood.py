"""The generalised Gaussian of shape 3/2, discretised: probabilities of symbols and of ranges of them.

With S(t) = (1/2) Q(2/3, t^(3/2)) for t >= 0 and 1 - S(-t) below, where Q is the regularised upper incomplete gamma
function, a symbol v of scale a has the mass S((|v| - 1/2) / a) - S((|v| + 1/2) / a).
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lic_exp.ops.bounds import Bound, lower_bound

SHAPE = 1.5
SCALE_FLOOR, PROBABILITY_FLOOR = 0.12, 1e-9
DENSITY = SHAPE / (2 * math.gamma(1 / SHAPE))
"""At 0, of scale 1."""


def survival(t: Tensor) -> Tensor:
    """S(t), exact in the upper tail."""
    upper = torch.special.gammaincc(_order(t), t.abs() ** SHAPE) / 2
    return torch.where(t < 0, 1 - upper, upper)


def distribution(t: Tensor) -> Tensor:
    """1 - S(t) as the released models compute it: what is close to 1 or 0 has lost its digits."""
    below: Tensor = (1 + t.sign() * torch.special.gammainc(_order(t), t.abs() ** SHAPE)) / 2
    return below


def _order(t: Tensor) -> Tensor:
    """1 / SHAPE as a scalar beside t, filled there: a copy from the host would end the capture of a graph."""
    return t.new_full((), 1 / SHAPE)


def density(t: Tensor) -> Tensor:
    """-S'(t)."""
    at: Tensor = DENSITY * torch.exp(-(t.abs() ** SHAPE))
    return at


class EntropyEstimation(nn.Module):
    """Estimated bits of symbols.

    compat: the tails of the released models. In float32 they are uneven, and at |v| = 7 scales they are lost.
    """

    beta: Tensor

    def __init__(self, compat: bool) -> None:
        super().__init__()
        self.compat = compat
        self.register_buffer("beta", torch.tensor([SHAPE]))
        self.scale_lower_bound = Bound(SCALE_FLOOR)
        self.likelihood_lower_bound = Bound(PROBABILITY_FLOOR)

    def forward(self, v: Tensor, scale: Tensor) -> Tensor:
        """-log2 P(v) of v, scale (B, C, h, w), the scale bounded below by 0.12 and P by 1e-9; in the dtype of v."""
        scale = lower_bound(scale, self.scale_lower_bound.bound)
        mass: Tensor = _Mass.apply(v, scale, self.compat)
        return -lower_bound(mass, self.likelihood_lower_bound.bound).log2()


class _Mass(torch.autograd.Function):
    """The mass of [v - 1/2, v + 1/2] at scale a; keeps v and a alone."""

    @staticmethod
    def forward(ctx: Any, v: Tensor, a: Tensor, compat: bool) -> Tensor:
        ctx.save_for_backward(v, a)
        if compat:
            return distribution((v + 0.5) / a) - distribution((v - 0.5) / a)
        v = v.abs()
        return survival((v - 0.5) / a) - survival((v + 0.5) / a)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        v, a = ctx.saved_tensors
        upper, lower = (v + 0.5) / a, (v - 0.5) / a
        at_upper, at_lower = density(upper), density(lower)
        scaled = gradients[0] / a
        return scaled * (at_upper - at_lower), scaled * (lower * at_lower - upper * at_upper), None
