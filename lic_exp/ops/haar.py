"""Orthonormal Haar wavelet transform of one level: half the size, four times the channels.

A side of odd length is extended by repeating its last row or column (half-sample symmetric, PyWavelets' `symmetric`),
so that every size has a transform; the energy is kept exactly where both sides are even.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def haar2(x: Tensor) -> Tensor:
    """Bands (B, 4C, ceil(H/2), ceil(W/2)) of x (B, C, H, W): low-low, vertical, horizontal, diagonal detail.

    With a, b above c, d in each 2 x 2 block the bands are (a+b+c+d)/2, (a+b-c-d)/2, (a-b+c-d)/2, (a-b-c+d)/2, each of
    C channels. Needs additions only, so it is as exact as x's dtype.
    """
    height, width = x.shape[-2:]
    if height % 2 or width % 2:
        x = F.pad(x, (0, width % 2, 0, height % 2), mode="replicate")
    upper, lower = x[..., 0::2, :], x[..., 1::2, :]
    total, difference = (upper + lower) / 2, (upper - lower) / 2
    bands = (
        total[..., 0::2] + total[..., 1::2],
        difference[..., 0::2] + difference[..., 1::2],
        total[..., 0::2] - total[..., 1::2],
        difference[..., 0::2] - difference[..., 1::2],
    )
    return torch.cat(bands, dim=1)


def ihaar2(bands: Tensor, height: int, width: int) -> Tensor:
    """The x (B, C, H, W) of which `haar2` made bands (B, 4C, ceil(H/2), ceil(W/2)).

    Raises ValueError where the bands are not those of that size.
    """
    if bands.shape[-2:] != ((height + 1) // 2, (width + 1) // 2) or bands.shape[1] % 4:
        raise ValueError(f"bands {tuple(bands.shape)} are no Haar transform of {height} x {width} pixels")
    mean, vertical, horizontal, diagonal = bands.chunk(4, dim=1)
    upper = _interleave(mean + vertical + horizontal + diagonal, mean + vertical - horizontal - diagonal, -1)
    lower = _interleave(mean - vertical + horizontal - diagonal, mean - vertical - horizontal + diagonal, -1)
    return _interleave(upper, lower, -2)[..., :height, :width] / 2


def _interleave(first: Tensor, second: Tensor, axis: int) -> Tensor:
    """first[0], second[0], first[1], ... along an axis given from the end."""
    stacked = torch.stack((first, second), dim=first.dim() + axis + 1)
    return stacked.flatten(first.dim() + axis, first.dim() + axis + 1)
