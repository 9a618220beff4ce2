"""Coding tables of generalised Gaussians: cumulative frequencies of 16 bits, one row per scale."""

import math
from itertools import pairwise

import torch
from torch import Tensor

from lic_exp.models.compressai_coding import Tables, check_ranges, quantized_tables
from lic_exp.models.hpcm.likelihood import SCALE_FLOOR, distribution, survival
from lic_exp.models.near_lines import log_scales

LEVELS, LARGEST_SCALE = 60, 64.0
QUANTILE = 5.42691097558631
"""-t at which the lower tail of scale 1 is 5e-7: a row's range is its scale times this, rounded up, either way."""


def scale_table() -> Tensor:
    """The scales (60,) float32 that y is coded by, geometric from 0.12 to 64."""
    return torch.linspace(math.log(SCALE_FLOOR), math.log(LARGEST_SCALE), LEVELS, device="cpu").exp()


def boundaries(table: Tensor, compat: bool) -> Tensor:
    """Where coding goes from one row to the next (59,).

    Between two scales in the logarithm; under compat at the smaller one, so that a scale is always rounded up.
    """
    return table[:-1] if compat else (table[:-1] * table[1:]).sqrt()


def lines() -> list[float]:
    """Logarithms of `boundaries` (59)."""
    logarithms = log_scales(SCALE_FLOOR, LARGEST_SCALE, LEVELS)
    return [(below + above) / 2 for below, above in pairwise(logarithms)]


def coding_tables(scales: Tensor, compat: bool) -> Tables:
    """The tables of scales (n,), float32 or wider, on the CPU.

    compat: as the released models make them, in float32; all rows but the widest leave out their upper tail. Raises
    ValueError for scales that are not positive numbers or too large.
    """
    scales = scales.detach().cpu().to(torch.float32 if compat else torch.float64)
    if not (scales.isfinite() & (scales > 0)).all():
        worst = scales[~(scales > 0) | ~scales.isfinite()][0].item()
        raise ValueError(f"a scale of {worst:g} has no coding table: scales must be positive numbers")
    centers = (scales * QUANTILE).ceil()
    check_ranges(2 * centers + 1, f"a scale of {scales.max().item():g}")
    lengths = (2 * centers + 1).int()
    symbols = torch.arange(int(lengths.max())) - centers[:, None]
    upper, lower = (symbols + 0.5) / scales[:, None], (symbols - 0.5) / scales[:, None]
    if compat:
        masses = distribution(upper) - distribution(lower)
        tails = distribution(lower[:, :1]) + (1 - distribution(upper[:, -1:]))
    else:
        inner = symbols.abs()
        masses = survival((inner - 0.5) / scales[:, None]) - survival((inner + 0.5) / scales[:, None])
        tails = 2 * survival((centers + 0.5) / scales)[:, None]
    return quantized_tables(masses, lengths, tails[:, 0], -centers)


def existing(tables: Tables) -> Tables:
    """The same. Raises ValueError where they have never been made."""
    if tables.cdf.numel() == 0:
        raise ValueError("there are no coding tables yet: call the codec's update() first")
    return tables
