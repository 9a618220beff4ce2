"""Radial bands of the DCT, and what several signals of one size have in common in each of them."""

import math
from functools import lru_cache

import torch
from torch import Tensor

from lic_exp.ops.dct import dct2, radial_frequency

LUMA_CHROMA = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
"""Rows: Y, Cb and Cr of R, G and B by BT.601, full range, without the offset of Cb and Cr."""


def band_edges(count: int) -> list[float]:
    """The count + 1 edges of equally wide bands of rho / sqrt 2, which is in [0, 1)."""
    return [edge / count for edge in range(count + 1)]


def band_products(signals: Tensor, count: int) -> Tensor:
    """Inner products of every two of N signals in each band, luma and chroma apart: (2, count, N, N), float64.

    signals: (N, 3, H, W), RGB. Coefficient (u, v) of the orthonormal DCT is in the band that rho(u, v) / sqrt 2 falls
    in (`lic_exp.ops.dct.radial_frequency`); that of (0, 0) is in none, so that a constant has no part. The products of
    Cb and of Cr are added up.
    """
    colours = torch.tensor(LUMA_CHROMA, dtype=torch.float64, device=signals.device)
    spectra = dct2(torch.einsum("dc,nchw->ndhw", colours, signals.double())).flatten(2)
    bands = _bands(*signals.shape[-2:], count).to(signals.device)
    products = spectra.new_zeros(2, count, len(signals), len(signals))
    for band in range(count):
        inside = spectra[..., bands == band]
        for kind, planes in enumerate((inside[:, :1], inside[:, 1:])):
            rows = planes.flatten(1)
            products[kind, band] = rows @ rows.T
    return products


@lru_cache(maxsize=16)
def _bands(height: int, width: int, count: int) -> Tensor:
    """The band (H W,) of every coefficient, -1 for (0, 0)."""
    with torch.inference_mode(False):
        # So that rounding does not decide what lies on an edge, as every (k, k) of a square may.
        bands = (radial_frequency(height, width) * (count / math.sqrt(2)) + 1e-9).floor().long().clamp(max=count - 1)
        bands[0, 0] = -1
        return bands.flatten()
