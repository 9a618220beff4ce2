"""From a fine latent to a prediction of the next coarser one: features at half the size, then a 1x1 convolution."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lic_exp.ops.haar import haar2

RIDGE = 1e-3
"""Weight of the ridge in least squares, relative to the features' mean energy: fewer positions than features fit."""


def low_band(fine: Tensor) -> Tensor:
    """The low-low Haar band (B, C, h, w), twice the mean of each 2 x 2 block."""
    return haar2(fine)[:, : fine.shape[1]]


def average_pool(fine: Tensor) -> Tensor:
    """The mean of each 2 x 2 block (B, C, h, w); at an odd end of those pixels that are there."""
    return F.avg_pool2d(fine, 2, ceil_mode=True)


def patches(fine: Tensor) -> Tensor:
    """What a 3x3 convolution of stride 2 sees at each of its positions, (B, 9C, h, w), zeros outside."""
    height, width = ((side + 1) // 2 for side in fine.shape[-2:])
    seen: Tensor = F.unfold(fine, 3, padding=1, stride=2).unflatten(2, (height, width))
    return seen


FEATURES: dict[str, Callable[[Tensor], Tensor]] = {
    "haar": haar2,
    "low_band": low_band,
    "average_pool": average_pool,
    "strided_conv": patches,
}
FACTOR = {"haar": 4, "low_band": 1, "average_pool": 1, "strided_conv": 9}
"""Features per channel."""


class Aligner(nn.Module):
    """Predicts a coarse latent (B, C, h, w) from a fine one (B, C', H, W) with h = ceil(H / 2), w = ceil(W / 2).

        fine --- features, k C' channels at half the size --- 1x1 conv --- predicted

    alignment: which features, by `FEATURES`; a 3x3 convolution of stride 2 is a 1x1 one on its patches.
    conv: "trained", "unit_norm" (every row divided by its norm) and "adversarial" have parameters to train;
        "frozen_random" keeps what "trained" starts from, "frozen_orthogonal" has orthonormal rows (or columns, where
        there are more rows); "least_squares" fits every batch anew, with a ridge, and has no parameters.
    bias: whether the convolution adds a constant per channel.
    The random state is left as it was found, so that a codec trains with the same noise with and without an aligner.
    """

    def __init__(self, fine_channels: int, coarse_channels: int, *, alignment: str, conv: str, bias: bool) -> None:
        super().__init__()
        self.features = FEATURES[alignment]
        self.conv, self.has_bias = conv, bias
        self.weight: nn.Parameter | None = None
        self.bias: nn.Parameter | None = None
        if conv == "least_squares":
            return
        inputs = FACTOR[alignment] * fine_channels
        with torch.random.fork_rng(devices=[]):
            self._initialise(inputs, coarse_channels)
        self.requires_grad_(not conv.startswith("frozen"))

    def _initialise(self, inputs: int, outputs: int) -> None:
        """As torch's own convolution: uniform within 1 / sqrt(inputs)."""
        limit = 1 / math.sqrt(inputs)
        self.weight = nn.Parameter(torch.empty(outputs, inputs).uniform_(-limit, limit))
        if self.conv == "frozen_orthogonal":
            nn.init.orthogonal_(self.weight)
        if self.has_bias:
            self.bias = nn.Parameter(torch.empty(outputs).uniform_(-limit, limit))

    def forward(self, fine: Tensor, coarse: Tensor, *, detach: bool = False) -> Tensor:
        """The prediction (B, C, h, w) from the fine latent; coarse (B, C, h, w) is what least squares fits.

        detach: let no gradient into the convolution.
        """
        features = self.features(fine)
        if self.weight is None:
            weight, bias = self._fit(features, coarse)
        else:
            weight, bias = self._applied(self.weight), self.bias
        if detach:
            weight, bias = weight.detach(), None if bias is None else bias.detach()
        # One matrix product over all images and positions, which costs less than a convolution of this size.
        positions = features.movedim(1, -1)
        predicted = F.linear(positions.flatten(0, 2), weight.to(features.dtype), _like(bias, features))
        return predicted.reshape(*positions.shape[:3], -1).movedim(-1, 1)

    def norm(self) -> Tensor | None:
        """L2 norm of the convolution's weights as they are applied; None where there are none between batches."""
        return None if self.weight is None else torch.linalg.vector_norm(self._applied(self.weight))

    def _applied(self, weight: Tensor) -> Tensor:
        return F.normalize(weight, dim=1) if self.conv == "unit_norm" else weight

    def _fit(self, features: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor | None]:
        """Ridge regression of coarse (B, C, h, w) on features (B, K, h, w) over images and positions."""
        u, a = (x.transpose(0, 1).flatten(1) for x in (features, coarse))
        u_mean, a_mean = u.mean(1, keepdim=True), a.mean(1, keepdim=True)
        if self.has_bias:
            u, a = u - u_mean, a - a_mean
        gram = u @ u.T / u.shape[1]
        ridge = RIDGE * gram.diagonal().mean() + torch.finfo(u.dtype).eps
        system = gram + ridge * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
        # `solve` would wait for the device to see whether it was singular; then the weights are not finite.
        weight = torch.linalg.solve_ex(system, u @ a.T / u.shape[1]).result.T
        return weight, (a_mean - weight @ u_mean).squeeze(1) if self.has_bias else None


def _like(bias: Tensor | None, features: Tensor) -> Tensor | None:
    return None if bias is None else bias.to(features.dtype)
