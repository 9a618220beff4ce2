"""What of an entropy bottleneck's distributions has symbols of its own, where training has not found out by itself.

CompressAI's bottleneck learns its density from the rate, and by a loss of their own three quantiles for each channel:
the median, around which is rounded, and two far out in the tails, between which coding tables have symbols. What lies
beyond costs an escape of many bits. The quantiles follow slowly, from 10 on either side, so that an early codec codes
to several times the bits that are estimated. The tails are a matter of the density alone, and can be solved for.
"""

import math
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from lic_exp.private_interfaces import cumulative_logits, has_cumulative_logits

LEAST_LOGIT = 17 * math.log(2)
"""A quantile nearer to the middle is too near: beyond it lies more than 2^-17, what tables of 16 bits can tell."""

MOST_TIMES = 2.0
"""So many times the logit of CompressAI's tail is too far: rows are about as many times too long."""

FARTHEST = 2.0**12
"""From the median. A row has 2^16 in all, and each symbol of it takes at least 1; longer ones would leave nothing."""

HALVINGS = 64
"""Until float64 has no number between."""


def weights_for_coding(codec: nn.Module) -> dict[str, Tensor]:
    """A codec's state dict, with the tails of its bottlenecks `settled`. The codec itself stays as it is."""
    weights: dict[str, Tensor] = codec.state_dict()
    for name, bottleneck in bottlenecks(codec):
        weights[f"{name}.quantiles" if name else "quantiles"] = settled(bottleneck)
    return weights


def bottlenecks(codec: nn.Module) -> Iterator[tuple[str, Any]]:
    """Those of CompressAI's kind, by their names."""
    return ((name, module) for name, module in codec.named_modules() if has_cumulative_logits(module))


@torch.no_grad()
def settled(bottleneck: Any) -> Tensor:
    """The quantiles (C, 1, 3) of a bottleneck, a new tensor like them, with what is useless of the tails solved.

    A tail that neither leaves out what tables could tell nor makes rows much too long stays to the bit, and the medians
    always: so do a trained codec's tables, and what `forward` gives. Tails that are not finite stay too.
    """
    quantiles: Tensor = bottleneck.quantiles.detach()
    alone, target = _in_double(bottleneck)
    sizes = cumulative_logits(alone, alone.quantiles)[..., ::2] * _signs()
    useless = (sizes < LEAST_LOGIT) | (sizes > MOST_TIMES * target)
    found = quantiles.clone()
    if useless.any():
        tails = torch.where(useless, _tails(alone, target), alone.quantiles[..., ::2])
        found[..., ::2] = torch.where(useless.to(quantiles.device), tails.to(quantiles), quantiles[..., ::2])
    return found


@torch.no_grad()
def solved(bottleneck: Any) -> Tensor:
    """The tails (C, 1, 2) where the density's cumulative logits are CompressAI's targets, float64 on the CPU.

    None is on the other side of its median, nor farther from it than FARTHEST.
    """
    return _tails(*_in_double(bottleneck))


def _in_double(bottleneck: Any) -> tuple[Any, float]:
    """A copy in float64 on the CPU, where all machines find the same; and its logit of the upper tail."""
    alone = deepcopy(bottleneck).to("cpu", torch.float64)
    return alone, float(alone.target[-1])


def _signs() -> Tensor:
    return torch.tensor([-1.0, 1.0], dtype=torch.float64, device="cpu")


def _tails(alone: Any, target: float) -> Tensor:
    """By halving the way from each median to FARTHEST: the logits rise everywhere."""
    medians: Tensor = alone.quantiles[..., 1:2]
    signs = _signs()
    near, far = torch.zeros_like(medians * signs), torch.full_like(medians * signs, FARTHEST)
    for _ in range(HALVINGS):
        middle = (near + far) / 2
        too_near = cumulative_logits(alone, medians + signs * middle) * signs < target
        near, far = torch.where(too_near, middle, near), torch.where(too_near, far, middle)
    return medians + signs * far
