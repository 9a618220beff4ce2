"""What happens to the symbols of a step: they are estimated, coded to bytes, or decoded from them."""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lic_exp.models.compressai_coding import StepwiseDecoder, Tables, check_moments, encode
from lic_exp.models.hpcm.cdf_tables import lines
from lic_exp.models.hpcm.partition import PARTS, chosen
from lic_exp.models.portable import near_lines


class Step(Protocol):
    """Called with every step in coding order.

    scale: 0, 1, 2 for s1, s2, s3. mask (8, 1, h, w): the positions of the step. scales, means (B, M, h, w): of its
    symbols. Returns values (B, M, h, w), those of the step at its positions and any others elsewhere.
    """

    def __call__(self, scale: int, mask: Tensor, scales: Tensor, means: Tensor) -> Tensor: ...


class Quantise:
    """Rounds the latent (at s1, s2 and s3) to the means plus whole numbers; the gradient passes to the latent."""

    def __init__(self, latents: Sequence[Tensor]) -> None:
        self.latents = latents

    def __call__(self, scale: int, mask: Tensor, scales: Tensor, means: Tensor) -> Tensor:
        return rounded(self.latents[scale], means)


class Encode:
    """Quantises like `Quantise` and collects the symbols of all steps; one image."""

    def __init__(self, latents: Sequence[Tensor], boundaries: Tensor) -> None:
        self.latents, self.boundaries = latents, boundaries
        self.symbols: list[Tensor] = []
        self.indexes: list[Tensor] = []

    def __call__(self, scale: int, mask: Tensor, scales: Tensor, means: Tensor) -> Tensor:
        symbols = (self.latents[scale] - means).round()
        self.symbols.append(packed(symbols, mask, scale).flatten())
        self.indexes.append(_indexes(scales, mask, scale, self.boundaries, self).flatten())
        return symbols + means

    def string(self, tables: Tables) -> bytes:
        return encode(torch.cat(self.symbols), torch.cat(self.indexes), tables)


class Decode:
    """Reads the symbols of one image step by step."""

    def __init__(self, decoder: StepwiseDecoder, boundaries: Tensor) -> None:
        self.decoder, self.boundaries = decoder, boundaries

    def __call__(self, scale: int, mask: Tensor, scales: Tensor, means: Tensor) -> Tensor:
        symbols = self.decoder.decode(_indexes(scales, mask, scale, self.boundaries, self)).to(means.dtype)
        # The other groups get symbols of positions that are not theirs: nobody takes what is outside the mask.
        values: Tensor = symbols.repeat(1, PARTS[scale], 1, 1) + means
        return values


def packed(x: Tensor, mask: Tensor, scale: int) -> Tensor:
    """What of x (B, M, h, w) is in a step's positions, (B, M / parts, h, w): one group's channels everywhere."""
    own: Tensor = chosen(mask, x, 0).unflatten(1, (PARTS[scale], -1)).sum(1)
    return own


def _indexes(scales: Tensor, mask: Tensor, scale: int, boundaries: Tensor, walk: Step) -> Tensor:
    """The table rows that a step's symbols are coded by. Raises CodingError for scales that are not finite."""
    own = packed(scales, mask, scale).contiguous()
    check_moments(own, "scales")
    lists = near_lines()
    if lists is not None:
        return lists.rows(own, lines(), walk)
    return torch.bucketize(own, boundaries.to(scales))


def rounded(y: Tensor, means: Tensor) -> Tensor:
    """round(y - means) + means, whose gradient is y's: those of the means cancel."""
    y_hat: Tensor = _Rounded.apply(y, means)
    return y_hat


class _Rounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor, means: Tensor) -> Tensor:
        return (y - means).round() + means

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None
