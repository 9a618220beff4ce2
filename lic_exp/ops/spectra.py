"""Where in the spectrum the energy of a feature map lies."""

import torch
from torch import Tensor

from lic_exp.ops.dct import dct2


def energy_distribution(x: Tensor) -> Tensor:
    """Share (H, W) of the energy of x (B, C, H, W) at each DCT coefficient, over all images and channels; sums to 1.

    The mean of every channel over images and positions is left out: it is no structure. All zero where nothing else
    is there.
    """
    centred = x - x.mean(dim=(0, 2, 3), keepdim=True)
    energy = dct2(centred).square().sum(dim=(0, 1))
    return energy / energy.sum().clamp(min=torch.finfo(energy.dtype).tiny)


def spectral_overlap(coarse: Tensor, fine: Tensor) -> Tensor:
    """Overlap in [0, 1] of two scales of one image: 0 where they occupy disjoint frequencies, 1 where the same.

    coarse (B, C, h, w), fine (B, C', H, W) with h <= H, w <= W cover the same field, so coefficient (u, v) of either
    is the same frequency of the image. The overlap is the Bhattacharyya coefficient sum sqrt(p q) of their
    distributions of energy: scale and sign of the latents, and which channel holds what, do not matter.
    """
    p, q = energy_distribution(coarse), energy_distribution(fine)
    return (p * q[: p.shape[0], : p.shape[1]]).sqrt().sum()
