"""The options that make the graph, and what only several of them together can get wrong."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import nn

from lic_exp.models.hpcm.layers import partial_block
from lic_exp.models.hpcm.partition import LATENT_MULTIPLE

STRIDE = 16
"""Pixels per position of y, along a side."""

Layout = Literal["branch", "staged"]


@dataclass(frozen=True)
class HPCMConfig:
    """What a codec is built from; see `lic_exp.models.hpcm.codec.HPCM`.

    Raises ValueError where widths do not divide as blocks and attention need it.
    """

    M: int
    N: int
    widths: Sequence[int]
    analysis_depths: Sequence[int]
    synthesis_depths: Sequence[int]
    pixel_kernel: int
    hyper_width: int
    hyper_depths: Sequence[int]
    partial_ratio: int
    adaptor_depths: Sequence[int]
    prior_s1_s2_depths: Sequence[int]
    prior_s3_depths: Sequence[int]
    attention_heads: int | None
    attention_windows: Sequence[int]
    layout: Layout

    def __post_init__(self) -> None:
        narrowest = min(*self.widths, self.M, self.hyper_width)
        if narrowest < self.partial_ratio:
            raise ValueError(f"partial_ratio is {self.partial_ratio}, but of {narrowest} channels that leaves none")
        if self.attention_heads and 2 * self.M % self.attention_heads:
            raise ValueError(f"attention_heads is {self.attention_heads}, but must divide 2 M = {2 * self.M}")

    def blocks(self, width: int, depth: int) -> list[nn.Module]:
        """So many blocks of a transform."""
        return [partial_block(width, self.partial_ratio) for _ in range(depth)]

    @property
    def factor(self) -> int:
        """What sides must be a multiple of [pixels]: the steps tile s1, and windows their scale."""
        windows = self.attention_windows if self.attention_heads else ()
        return STRIDE * math.lcm(
            LATENT_MULTIPLE, *(size * side for size, side in zip((4, 2, 1), windows, strict=False))
        )
