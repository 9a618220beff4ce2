"""How far a coarse latent is from what the finer one tells of it: metrics, and what keeps them from growing.

Both arguments of a metric are (B, C, h, w); the result is a scalar, at least 0. The metrics in `LIMITS`
centre every channel over images and positions, so that no common offset counts, and divide by its deviation with the
gradient going through it, so that no growth counts. They therefore depend on how many images come at once.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

Metric = Callable[[Tensor, Tensor], Tensor]

VARIANCE_FLOOR = 1e-3
"""Added to variances [squared units of the latent] before dividing.

A channel that carries nothing (its symbols all zero) would otherwise get a gradient without bound towards carrying
something; rounding to whole numbers makes an error of variance 1/12, far above it.
"""


def l2_mean(coarse: Tensor, predicted: Tensor) -> Tensor:
    """Mean squared difference over all elements; unbounded."""
    return (coarse - predicted).square().mean()


def l2_sum(coarse: Tensor, predicted: Tensor) -> Tensor:
    """Squared difference summed over an image's elements, mean over images; unbounded."""
    return (coarse - predicted).square().sum() / len(coarse)


def l1(coarse: Tensor, predicted: Tensor) -> Tensor:
    """Mean absolute difference over all elements; unbounded."""
    return (coarse - predicted).abs().mean()


def one_minus_cos(coarse: Tensor, predicted: Tensor) -> Tensor:
    """1 - |correlation| of each channel with its prediction, mean over channels; in [0, 1]."""
    return 1 - (_standard(coarse) * _standard(predicted)).mean(1).abs().mean()


def one_minus_cos2(coarse: Tensor, predicted: Tensor) -> Tensor:
    """1 - correlation^2 of each channel with its prediction, mean over channels; in [0, 1]."""
    return 1 - (_standard(coarse) * _standard(predicted)).mean(1).square().mean()


def cross_correlation(coarse: Tensor, predicted: Tensor) -> Tensor:
    """1 - mean squared correlation of every channel with every predicted channel; in [0, 1].

    Which of the channels corresponds to which does not matter. Of n positions times images unrelated channels have
    a squared correlation of about 1/n, so few positions look like redundancy.
    """
    one, other = _standard(coarse), _standard(predicted)
    return 1 - (one @ other.T / one.shape[1]).square().mean()


def normalised_l2(coarse: Tensor, predicted: Tensor) -> Tensor:
    """Mean squared difference of channels of mean 0 and variance 1: 2 - 2 correlation, in [0, 4].

    Its largest value is perfect anti-correlation, which is as redundant as its smallest.
    """
    return (_standard(coarse) - _standard(predicted)).square().mean()


def _standard(x: Tensor) -> Tensor:
    """X (B, C, h, w) as (C, B h w), every channel of mean 0 and variance (at most) 1."""
    channels = x.transpose(0, 1).flatten(1)
    centred = channels - channels.mean(1, keepdim=True)
    return centred / (centred.square().mean(1, keepdim=True) + VARIANCE_FLOOR).sqrt()


METRICS: dict[str, Metric] = {
    "l2_mean": l2_mean,
    "l2_sum": l2_sum,
    "l1": l1,
    "cos": one_minus_cos,
    "cos2": one_minus_cos2,
    "cross_correlation": cross_correlation,
    "normalised_l2": normalised_l2,
}


LIMITS = {"cos": 1.0, "cos2": 1.0, "cross_correlation": 1.0, "normalised_l2": 4.0}
"""The largest value of each metric that has one."""


def bounded(metric: Metric, bound: str, bound_at: float | None) -> Metric:
    """The metric's value d bounded: "none" d; "hinge" min(d, bound_at); "log1p" ln(1 + d); "ratio" d over its scale.

    "ratio" divides by d(coarse, 0) + d(0, predicted): at most 2 for squares and 1 for absolute values, and unchanged
    by a common factor. "log1p" has no bound, but its gradient falls as 1/d.
    """
    if bound == "ratio":
        return lambda coarse, predicted: metric(coarse, predicted) / _size(metric, coarse, predicted)
    if bound == "hinge":
        return lambda coarse, predicted: metric(coarse, predicted).clamp(max=bound_at)
    if bound == "log1p":
        return lambda coarse, predicted: metric(coarse, predicted).log1p()
    return metric


def largest(metric: str, bound: str, bound_at: float | None) -> float:
    """The largest value that `bounded` can take of the metric of this name; infinite where there is none."""
    limit = LIMITS.get(metric, math.inf)
    if bound == "ratio":
        return 1.0 if metric == "l1" else 2.0
    if bound == "hinge":
        return min(limit, bound_at or 0.0)
    return math.log1p(limit) if bound == "log1p" else limit


def _size(metric: Metric, coarse: Tensor, predicted: Tensor) -> Tensor:
    nothing = torch.zeros_like(coarse)
    return metric(coarse, nothing) + metric(nothing, predicted) + VARIANCE_FLOOR
