"""The options that make the network."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Ends = Literal["weighted_3x3", "1x1"]


@dataclass(frozen=True)
class DHICConfig:
    """What the network is built from; lists are by scale, coarse to fine. See `lic_exp.models.dhic.codec.DHIC`.

    Raises ValueError for blocks after the finest latent, which nothing would use.
    """

    widths: Sequence[int]
    latent_channels: Sequence[int]
    stem_depth: int
    encoder_depths: Sequence[int]
    entropy_depths: Sequence[int]
    entropy_depths_after: Sequence[int]
    decoder_depths: Sequence[int]
    decoder_depths_after: Sequence[int]
    merge_depth: int
    ffn_ratio: int
    ends: Ends
    scale_power: int

    def __post_init__(self) -> None:
        if self.entropy_depths_after[-1]:
            raise ValueError(
                f"entropy_depths_after is {self.entropy_depths_after}, but must end in 0: nothing would use "
                "those blocks"
            )
