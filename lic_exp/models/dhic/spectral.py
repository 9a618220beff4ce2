"""Ends that start as a spectral transform: the lowest colour x 8x8-DCT atoms instead of random projections."""

import torch
from torch import Tensor, nn

from lic_exp.models.dhic.paths import FINEST_STRIDE, PIXELS
from lic_exp.ops.dct import dct_matrix

OPPONENT = ((1.0, 1.0, 1.0), (1.0, 0.0, -1.0), (-1.0, 2.0, -1.0))
"""Directions of colour: luma, orange against blue, green against magenta. Orthogonal; made unit vectors below."""


def atoms() -> Tensor:
    """Orthonormal rows (192, 192) over channels as pixel-unshuffle 8 orders them, lowest frequency first; float64.

    A chroma atom ranks with luma atoms of twice its frequency, about where natural images have as much energy.
    """
    P = dct_matrix(FINEST_STRIDE, torch.float64, torch.device("cpu"))
    colours = torch.nn.functional.normalize(torch.tensor(OPPONENT, dtype=torch.float64, device="cpu"))
    products = torch.einsum("kc,ui,vj->kuvcij", colours, P, P).reshape(PIXELS, PIXELS)
    u = torch.arange(FINEST_STRIDE, dtype=torch.float64, device="cpu")
    radius = torch.sqrt(u[:, None] ** 2 + u**2)
    ranks = torch.stack((radius, 2 * radius + 1, 2 * radius + 1)).flatten()
    return products[ranks.argsort(stable=True)]


@torch.no_grad()
def start_as_transform(analysis: nn.Conv2d, synthesis: nn.Conv2d) -> None:
    """Set the centre taps of a projection from pixels (192 -> C) and of one back (C -> 192) to the first atoms.

    Other taps become zero; channels beyond the atoms keep their values. Biases, where there are any, take mid-grey as
    the origin. Both layers train on from there.
    """
    rows = atoms()[: analysis.out_channels]
    count = len(rows)
    _set_centre(analysis.weight[:count], rows)
    _set_centre(synthesis.weight[:, :count], rows.T)
    if analysis.bias is not None and synthesis.bias is not None:
        analysis.bias[:count] = (-0.5 * rows.sum(1)).to(analysis.bias)
        synthesis.bias.fill_(0.5)


def _set_centre(kernel: Tensor, matrix: Tensor) -> None:
    """Change a kernel (out, in, side, side) in place. The weighted kernel's factor is 1 at its centre."""
    centre = kernel.shape[-1] // 2
    kernel.zero_()
    kernel[..., centre, centre] = matrix.to(kernel)
