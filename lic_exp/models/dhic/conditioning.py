"""How the quality enters the network: positive gains per channel, the same at every quality at the start.

Every gain is exp(c(q)) with c from one parameter (R, C, 1, 1).
"""

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from lic_exp.models.convolution import trains_on_gpu

Kind = Literal["table", "smooth"]

PARTS = ("enc", "em", "dec")


class Quality(NamedTuple):
    """Qualities (B, 1, 1, 1), float64, and the largest there is."""

    values: Tensor
    most: float


class Gains(NamedTuple):
    """What one scale is modulated by, each (B, C, 1, 1): encoder tap, prior's input, decoder's inputs, step s."""

    encoder: Tensor
    entropy: Tensor
    decoder: Tensor
    step: Tensor


def parameter_names(scale: int) -> list[str]:
    """Names of a scale's parameters, counted from 1, in the order of `Gains`."""
    return [*(f"{part}{scale}_lmb_embedding" for part in PARTS), f"z{scale}_scale_embedding"]


def as_quality(quality: float | Tensor | None, batch: int, most: float, device: torch.device) -> Quality:
    """`VariableRateCodec.forward`'s quality for a batch. Raises ValueError where it is outside [0, most].

    What has no values to look at (a graph that is being compiled, a tensor of shape alone) or would have to be waited
    for (a tensor on another device than the CPU) is not looked at: out of the range it becomes NaN, and so does all
    that is computed of it.
    """
    given = most if quality is None else quality
    values = given.double() if isinstance(given, Tensor) else torch.tensor(given, dtype=torch.float64, device="cpu")
    if values.dim() > 1 or (values.dim() == 1 and len(values) not in (1, batch)):
        raise ValueError(f"quality has shape {tuple(values.shape)}, but must be one number or one of {batch} images")
    within = (values >= 0) & (values <= most)
    if torch.compiler.is_compiling() or values.device.type != "cpu":
        values = values.masked_fill(~within, math.nan)
    elif not within.all():
        raise ValueError(f"quality is {values.tolist()}, but must lie in [0, {most:g}]")
    return Quality(values.to(device).reshape(-1, 1, 1, 1).expand(batch, 1, 1, 1), most)


def gains_at(
    quality: Quality, look_up: Callable[[Tensor, Quality], Tensor], parameter: Callable[[str], Tensor], scales: int
) -> list[Gains]:
    """The gains of so many scales, from parameters by name."""
    parameters = [parameter(name) for scale in range(1, scales + 1) for name in parameter_names(scale)]
    if trains_on_gpu(quality.values):  # one look-up for all, instead of dozens of tiny kernels
        widths = [parameter.shape[1] for parameter in parameters]
        found = look_up(torch.cat(parameters, 1), quality).exp().split(widths, 1)
    else:
        found = tuple(look_up(parameter, quality).exp() for parameter in parameters)
    count = len(Gains._fields)
    return [Gains(*found[first : first + count]) for first in range(0, len(found), count)]


def from_table(table: Tensor, quality: Quality) -> Tensor:
    """Row q of the table (R, C, 1, 1), linear between rows: (B, C, 1, 1)."""
    if trains_on_gpu(table):
        # All rows, most of them times 0: the gradients of a look-up add up in an order of their own, these do not.
        rows = torch.arange(len(table), device=table.device).reshape(-1, 1, 1, 1)
        shares = (1 - (quality.values.unsqueeze(1) - rows).abs()).clamp(min=0).to(table.dtype)
        return (shares * table).sum(1)
    lower = quality.values.flatten().long().clamp(0, len(table) - 2)  # NaN is no row
    share = (quality.values - lower.reshape(-1, 1, 1, 1)).to(table.dtype)
    return torch.lerp(table[lower], table[lower + 1], share)


def from_polynomial(coefficients: Tensor, quality: Quality) -> Tensor:
    """c0 + c1 t + c2 t^2 with t = 2 q / max - 1 in [-1, 1], linear in log lmbda: (B, C, 1, 1)."""
    t = (2 * quality.values / quality.most - 1).to(coefficients.dtype)
    constant, linear, quadratic = coefficients.unbind()
    return constant + t * (linear + t * quadratic)


LOOK_UP: dict[Kind, Callable[[Tensor, Quality], Tensor]] = {"table": from_table, "smooth": from_polynomial}


def starting_values(kind: Kind, q_num: int, lowest: float, highest: float) -> Tensor:
    """The parameter (R, 1, 1, 1) of one channel with these gains at quality 0 and at the largest, geometric between."""
    low, high = math.log(lowest), math.log(highest)
    values = torch.linspace(low, high, q_num) if kind == "table" else torch.tensor([low + high, high - low, 0.0]) / 2
    return values.reshape(-1, 1, 1, 1)
