"""Whether a codec in training codes to the bits that it estimates, by which alone it is trained and judged."""

import logging
import math
from copy import deepcopy

import torch
from torch import Tensor

from lic_exp.models.base import Codec
from lic_exp.models.coding_error import CodingError

log = logging.getLogger("lic_exp.training")

MOST = 0.05
"""The gap from which on it is said."""

PER_STRING = 64
"""Bits by which a string may be longer than its symbols: the coder's last state."""


def has_quantiles(codec: Codec) -> bool:
    """Whether its coding tables hang on parameters that learn otherwise than the density does."""
    return any(name.endswith("quantiles") for name, _ in codec.named_parameters())


@torch.no_grad()
def coding_gap(codec: Codec, x: Tensor, **at: float) -> float | None:
    """Real bits of an image x (1, 3, H, W), as `pad` gives it, over estimated ones, less 1; it is encoded alone.

    As the codec would be kept: with `Codec.weights_for_coding`. A copy is coded with, so that the codec, its tables and
    random states stay as they are. Warns of a gap above MOST, as far as it is not of PER_STRING, and of a codec that
    cannot code, of which it is None, as where there are no finite bits. at: the quality of a variable-rate codec.
    """
    estimated = math.fsum(float(bits.double().sum()) for bits in codec.forward(x, **at).bits.values())
    if not math.isfinite(estimated) or estimated <= 0:
        return None
    kept = deepcopy(codec).eval()
    kept.load_state_dict(codec.weights_for_coding())
    try:
        compressed = kept.compress(x, **at)
    except NotImplementedError:
        return None
    except CodingError as error:
        log.warning("the first validation image cannot be coded: %s", error)
        return None
    real = sum(compressed.bits())
    gap = real / estimated - 1
    if real - PER_STRING * len(compressed.strings) > (1 + MOST) * estimated:
        log.warning(
            "the first validation image takes %d bits where %.0f bits are estimated, %+.1f %%: its coding tables "
            "do not fit what is coded (docs/entropy_bottleneck.md)",
            *(real, estimated, 100 * gap),
        )
    return gap
