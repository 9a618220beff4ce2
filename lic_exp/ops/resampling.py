"""Images at another size: separable linear resampling, as one matrix for each axis.

x' = A_h x A_w^T with A (M, N) from N samples to M. Every row of A sums to 1, so that a constant stays what it is.
Arithmetic is in full float32 (float64 for float64 input), also under autocast and where TF32 is allowed; results have
the input's dtype, and are not clamped.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

from lic_exp.ops.dct import dct_matrix
from lic_exp.ops.precision import exact_float32

Resampling = Literal["dct", "area", "lanczos"]
LOBES = 3
"""Of Lanczos' kernel on each side."""


def resample(x: Tensor, size: tuple[int, int], method: Resampling) -> Tensor:
    """Images x (..., H, W) of floating-point numbers at another size (height, width); x itself where it has that.

    "dct": the lowest coefficients of the orthonormal DCT-II of each axis, or zeros above them, times sqrt(M / N):
        band-limited, and exact there and back for an image with nothing above the band.
    "area": means over equal parts of the image, with pixels on a border counted in proportion.
    "lanczos": Lanczos' kernel of three lobes, as wide as the coarser grid asks for; as Pillow's.
    """
    if x.shape[-2:] == size:
        return x
    if not x.is_floating_point():
        raise TypeError(f"resampling needs a floating-point tensor, not {x.dtype}; scale images to [0, 1] first")
    dtype = torch.promote_types(x.dtype, torch.float32)
    rows, columns = (
        resampling_matrix(old, new, method, dtype, x.device) for old, new in zip(x.shape[-2:], size, strict=True)
    )
    with exact_float32():
        return (rows @ x.to(dtype) @ columns.T).to(x.dtype)


@lru_cache(maxsize=32)
def resampling_matrix(
    samples: int, wanted: int, method: Resampling, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """A (wanted, samples) of `resample`, built in float64; shared, never to be changed.

    Raises ValueError for a size below 1 or another method.
    """
    if min(samples, wanted) < 1:
        raise ValueError(f"from {samples} to {wanted} samples: sizes must be at least 1")
    if method not in MATRICES:
        raise ValueError(f"method is {method!r}, but must be one of {', '.join(MATRICES)}")
    with torch.inference_mode(False):  # an inference tensor in the cache could not serve a later backward
        return MATRICES[method](samples, wanted).to(dtype).to(device)


def _dct(samples: int, wanted: int) -> Tensor:
    kept = min(samples, wanted)
    cpu = torch.device("cpu")
    there = dct_matrix(samples, torch.float64, cpu)[:kept]
    back = dct_matrix(wanted, torch.float64, cpu)[:kept]
    return math.sqrt(wanted / samples) * (back.T @ there)


def _area(samples: int, wanted: int) -> Tensor:
    """Row m: the part of each sample's unit of length that lies in [m, m + 1) N / M, over N / M."""
    width = samples / wanted
    first = torch.arange(wanted, dtype=torch.float64)[:, None] * width
    n = torch.arange(samples, dtype=torch.float64)
    shared = torch.minimum(first + width, n + 1) - torch.maximum(first, n)
    return _summing_to_one(shared.clamp(min=0))


def _lanczos(samples: int, wanted: int) -> Tensor:
    """Row m: L((n + 1/2 - c) / s) over its sum, with c the centre of m among the samples and s = max(N / M, 1)."""
    width = samples / wanted
    spread = max(width, 1.0)
    centre = (torch.arange(wanted, dtype=torch.float64)[:, None] + 0.5) * width
    t = (torch.arange(samples, dtype=torch.float64) + 0.5 - centre) / spread
    return _summing_to_one(torch.where(t.abs() < LOBES, torch.sinc(t) * torch.sinc(t / LOBES), 0.0))


def _summing_to_one(weights: Tensor) -> Tensor:
    return weights / weights.sum(1, keepdim=True)


MATRICES: dict[Resampling, Callable[[int, int], Tensor]] = {"dct": _dct, "area": _area, "lanczos": _lanczos}
