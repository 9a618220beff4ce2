"""How much of one latent a linear map of another foretells, on images that the map was not fitted to."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from lic_exp.ops.haar import haar2

FOLDS = 8
RIDGE = 0.01
"""Added to the variance of every feature, which is 1."""

POSITIONS_PER_FREEDOM = 2
"""So many positions at least, over all images that a map is fitted to, for each of its degrees of freedom."""

CONSTANT = 1e-10
"""Of a channel, a smaller variance."""


def foretold(coarse: Sequence[Tensor], fine: Sequence[Tensor]) -> float | None:
    """The mean over channels of max(0, 1 - error / variance), in [0, 1], of coarse latents given those next finer.

    coarse, fine: of each image (C, h, w) and (K, 2^k h, 2^k w). The finer one is Haar transformed k times, and a ridge
    regression of its channels, each of variance 1, fitted to seven eighths of the images and judged on the last one,
    for every eighth; of fewer images all but one and that one. Constant channels do not count.

    None where it cannot be told: of a single image, of sides that do not fit, of constants alone, and of too few
    positions for what the map can fit, which is as much as there are features that vary each in its own way.
    """
    features = [_features(own, latent.shape[-2:]) for own, latent in zip(fine, coarse, strict=True)]
    if len(coarse) < 2 or any(found is None for found in features):
        return None
    a = [latent.double().flatten(1) for latent in coarse]
    u = [found.flatten(1) for found in features if found is not None]
    folds = min(FOLDS, len(a))
    error = variance = a[0].new_zeros(len(a[0]))
    for fold in range(folds):
        fitted = [number for number in range(len(a)) if number % folds != fold]
        of_a, of_u = (torch.cat([rows[number] for number in fitted], 1) for rows in (a, u))
        guess, mean, freedom = _ridge(of_a, of_u)
        if of_u.shape[1] < POSITIONS_PER_FREEDOM * freedom:
            return None
        for number in range(fold, len(a), folds):
            error = error + (a[number] - guess(u[number])).square().sum(1)
            variance = variance + (a[number] - mean).square().sum(1)
    varies = variance > CONSTANT * sum(rows.shape[1] for rows in a)
    return float((1 - error[varies] / variance[varies]).clamp(min=0).mean()) if varies.any() else None


def _features(fine: Tensor, size: torch.Size) -> Tensor | None:
    """The bands (4^k K, h, w) of a finer latent (K, 2^k h, 2^k w); None where its sides are no such multiples."""
    found = fine.double()[None]
    while found.shape[-2:] != size and not (found.shape[-2] % 2 or found.shape[-1] % 2):
        found = haar2(found)
    return found[0] if found.shape[-2:] == size else None


def _ridge(a: Tensor, u: Tensor) -> tuple[Callable[[Tensor], Tensor], Tensor, float]:
    """The map that foretells a (C, n) from u (K, n), given others (K, m), the mean of a (C, 1), and its freedom.

    With S the covariance of the features, that is the trace of S (S + ridge I)^-1: K of features that all vary in their
    own way, fewer where some repeat others or are constant.
    """
    mean_a, mean_u = a.mean(1, keepdim=True), u.mean(1, keepdim=True)
    scale = (u - mean_u).square().mean(1, keepdim=True).add(CONSTANT).sqrt()
    standard = (u - mean_u) / scale
    system = standard @ standard.T / u.shape[1] + RIDGE * torch.eye(len(u), dtype=u.dtype, device=u.device)
    inverse = torch.linalg.inv(system)
    weight = (inverse @ standard @ (a - mean_a).T / u.shape[1]).T
    freedom = len(u) - RIDGE * float(inverse.trace())
    return lambda other: mean_a + weight @ ((other - mean_u) / scale), mean_a, freedom
