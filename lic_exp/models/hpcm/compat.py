"""Which mode weights were made for, and what the first releases do not hold."""

import logging
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

log = logging.getLogger("lic_exp.models")

CORRECTED = "corrected"
"""Key that marks weights of compat: false. The released models' keys leave no room for the opposite mark."""

FALSE = "set model.compat=false"
TRUE = "set model.compat=true"

GAINS = "adaptive_params_list."


def check_mode(weights: Mapping[str, Any], compat: bool) -> None:
    """Raise ValueError where weights were made for the other mode."""
    if (CORRECTED in weights) != compat:
        return
    if compat:
        raise ValueError(f"these weights are of the corrected mode (they have {CORRECTED}): {FALSE}")
    raise ValueError(
        f"these weights are not of the corrected mode (they lack {CORRECTED}): as those of the released HPCM, and "
        f"all that compat: true has trained, they would mean other pictures here: {TRUE}"
    )


def with_gains(weights: dict[str, Tensor], parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Fill gains of the context model that the first releases do not hold, and say so. They were 1 and fixed."""
    missing = [name for name in parameters if name.startswith(GAINS) and name not in weights]
    if not missing or not weights:
        return weights
    log.warning("the weights lack %s: filled with 1, which they were in the first releases", ", ".join(missing))
    return weights | {name: torch.ones_like(parameters[name]) for name in missing}
