"""Orthonormal DCT-II of images, and the low-pass truncation of Eq. 3-5 of the paper.

Arithmetic is in full float32 (float64 for float64 input), also under autocast and where TF32 is allowed; results
have the input's dtype.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from lic_exp.ops.precision import exact_float32

MaskShape = Literal["soft", "hard"]


def dct2(x: Tensor) -> Tensor:
    """F = P_H x P_W^T over the last two axes of x (..., H, W), a floating-point tensor; energy is kept (Eq. 3)."""
    rows, columns = _bases(x)
    with exact_float32():
        return (rows @ x.to(rows.dtype) @ columns.T).to(x.dtype)


def idct2(X: Tensor) -> Tensor:
    """The inverse of `dct2`: P_H^T X P_W over the last two axes of X (..., H, W)."""
    rows, columns = _bases(X)
    with exact_float32():
        return (rows.T @ X.to(rows.dtype) @ columns).to(X.dtype)


def truncate(x: Tensor, tau: float, mask: MaskShape) -> Tensor:
    """x~ = P_H^T (F * M) P_W with F = dct2(x), over the last two axes of x (..., H, W); Eq. 3-5.

    Equal to the dense computation, but only the rows u < tau H of P_H and v < tau W of P_W take part, since M is
    zero elsewhere. Not clamped: an image in [0, 1] may leave it slightly. ValueError where tau is not above 0.
    """
    kept = _kept(x.shape[-2:], tau, mask, _working_dtype(x), x.device)
    with exact_float32():
        return _filter(x.to(kept.mask.dtype), kept).to(x.dtype)


def radial_frequency(height: int, width: int) -> Tensor:
    """rho(u, v) = sqrt((u/H)^2 + (v/W)^2) in [0, sqrt 2), float64 (H, W) on the CPU; Eq. 4."""
    u = torch.arange(height, dtype=torch.float64, device="cpu")[:, None] / height
    v = torch.arange(width, dtype=torch.float64, device="cpu") / width
    return torch.sqrt(u.square() + v.square())


def soft_mask(rho: Tensor, tau: float) -> Tensor:
    """M = max(0, (tau - rho) / tau), in [0, 1]; Eq. 4. At tau = 1 it is 1 - rho, not the identity."""
    return (1 - rho / tau).clamp(min=0)


def hard_mask(rho: Tensor, tau: float) -> Tensor:
    """M = 1 where rho < tau, else 0. Strict, so that both masks keep the same coefficients."""
    return (rho < tau).to(rho.dtype)


MASKS: dict[MaskShape, Callable[[Tensor, float], Tensor]] = {"soft": soft_mask, "hard": hard_mask}


def frequency_mask(height: int, width: int, tau: float, mask: MaskShape) -> Tensor:
    """The mask M(u, v) of `truncate`, float64 (H, W) on the CPU; any tau > 0, also above sqrt 2 and infinite."""
    if not tau > 0:
        raise ValueError(
            f"tau is {tau}, but a spectral cut-off must be above 0 (1 is the highest frequency of an axis)"
        )
    if mask not in MASKS:
        raise ValueError(f"mask is {mask!r}, but must be one of {', '.join(MASKS)}")
    return MASKS[mask](radial_frequency(height, width), tau)


@lru_cache(maxsize=64)
def dct_matrix(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """P (size, size), P[k, n] = c_k cos(pi (2n + 1) k / 2 size) with orthonormal rows k; shared, never to be changed.

    Built in float64 and then cast: at size 256 the cosine's argument reaches 800, where float32 is 3e-5 off.
    """
    with torch.inference_mode(False):  # an inference tensor in the cache could not serve a later backward
        n = torch.arange(size, dtype=torch.float64, device="cpu")
        matrix = torch.cos(math.pi / (2 * size) * (2 * n + 1) * n[:, None]) * math.sqrt(2 / size)
        matrix[0] /= math.sqrt(2)
        return matrix.to(dtype).to(device)


class _Kept(NamedTuple):
    """What a truncation needs: rows (h, H) of P_H, columns (w, W) of P_W, mask (h, w)."""

    rows: Tensor
    columns: Tensor
    mask: Tensor


@lru_cache(maxsize=16)
def _kept(size: torch.Size, tau: float, mask: MaskShape, dtype: torch.dtype, device: torch.device) -> _Kept:
    height, width = size
    with torch.inference_mode(False):
        full_mask = frequency_mask(height, width, tau, mask)
        # ceil(tau H), counted in the mask's own arithmetic so that rounding cannot drop a coefficient it keeps.
        h, w = (sum(k / side < tau for k in range(side)) for side in size)
        return _Kept(
            dct_matrix(height, dtype, device)[:h],
            dct_matrix(width, dtype, device)[:w],
            # A blocking copy would drain the accelerator's queue at every step of a per-step schedule.
            full_mask[:h, :w].to(dtype).contiguous().to(device, non_blocking=True),
        )


def _filter(x: Tensor, kept: _Kept) -> Tensor:
    """P_H^T (P_H x P_W^T * M) P_W by whichever axis first costs fewer multiplications, and last on the way back."""
    rows, columns, mask = kept
    (h, height), (w, width) = rows.shape, columns.shape
    # On equal cost height first: its batched products run over contiguous rows, about twice as fast on a CPU.
    if h * width * (height + w) <= w * height * (width + h):
        spectrum = (rows @ x @ columns.T).mul_(mask)
        return rows.T @ (spectrum @ columns)
    spectrum = (rows @ (x @ columns.T)).mul_(mask)
    return (rows.T @ spectrum) @ columns


def _bases(x: Tensor) -> tuple[Tensor, Tensor]:
    height, width = x.shape[-2:]
    dtype = _working_dtype(x)
    return dct_matrix(height, dtype, x.device), dct_matrix(width, dtype, x.device)


def _working_dtype(x: Tensor) -> torch.dtype:
    if not x.is_floating_point():
        raise TypeError(f"the DCT needs a floating-point tensor, not {x.dtype}; scale images to [0, 1] first")
    return torch.promote_types(x.dtype, torch.float32)
