"""The options that make the network, and which weights are of which."""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Literal

Ends = Literal["weighted_3x3", "1x1"]

CLEAN = "deviation_by_step"
"""Key that marks weights whose prior divides v by s. The released model's keys leave no room for the opposite mark."""


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
    rdoq: float

    def __post_init__(self) -> None:
        if self.entropy_depths_after[-1]:
            raise ValueError(
                f"entropy_depths_after is {self.entropy_depths_after}, but must end in 0: nothing would use "
                "those blocks"
            )


def check_scaling(weights: Container[str], *, compat: bool) -> None:
    """Raise ValueError where weights with these keys were made for the other way of scaling the prior's deviation."""
    if (CLEAN in weights) != compat:
        return
    if compat:
        raise ValueError(f"these weights divide the prior's deviation by s (they have {CLEAN}): set model.compat=false")
    raise ValueError(
        f"these weights divide the prior's deviation by s^2 (they lack {CLEAN}), as the released DHIC and all that "
        "was trained with compat: true do: set model.compat=true"
    )
