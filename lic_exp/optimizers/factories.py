"""torch's optimizers, with options in the form that a config can state and check.

Which of torch's kernels runs is fixed here, since they round differently and torch would choose by version: foreach on
the CPU, fused on CUDA, where it can drop a step that is not finite without the host looking at it.
"""

from typing import Any

import torch

from lic_exp.capabilities import signed_as
from lic_exp.option_types import Decay, NonNegativeFloat, PositiveFloat
from lic_exp.private_compiler import compiler_not_loaded
from lic_exp.requirements import Forbids, declares


@signed_as("adam")
def adam(
    params: list[dict[str, Any]],
    *,
    lr: PositiveFloat,
    betas: list[Decay],
    eps: PositiveFloat,
    weight_decay: NonNegativeFloat,
) -> torch.optim.Adam:
    """Adam (Kingma and Ba, 2015); weight decay is an L2 term in the gradient."""
    with compiler_not_loaded():
        return torch.optim.Adam(params, lr=lr, betas=pair(betas), eps=eps, weight_decay=weight_decay, **kernel(params))


@signed_as("adamw")
def adamw(
    params: list[dict[str, Any]],
    *,
    lr: PositiveFloat,
    betas: list[Decay],
    eps: PositiveFloat,
    weight_decay: NonNegativeFloat,
) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter, 2019); weights shrink by 1 - lr weight_decay per step."""
    with compiler_not_loaded():
        return torch.optim.AdamW(params, lr=lr, betas=pair(betas), eps=eps, weight_decay=weight_decay, **kernel(params))


@signed_as("sgd")
@declares(
    Forbids(
        {"nesterov": True, "momentum": 0},
        "nesterov needs momentum > 0, got momentum=0; set nesterov=false for plain gradient descent",
    )
)
def sgd(
    params: list[dict[str, Any]],
    *,
    lr: PositiveFloat,
    momentum: Decay,
    nesterov: bool,
    weight_decay: NonNegativeFloat,
) -> torch.optim.SGD:
    """Gradient descent with momentum."""
    with compiler_not_loaded():
        return torch.optim.SGD(
            params, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay, **kernel(params)
        )


def kernel(params: list[dict[str, Any]]) -> dict[str, bool]:
    """The keyword that selects torch's implementation for these groups."""
    on_gpu = all(parameter.is_cuda for group in params for parameter in group["params"])
    return {"fused": True} if on_gpu else {"foreach": True}


def pair(betas: list[float]) -> tuple[float, float]:
    """The two decays of Adam's moments. Raises ValueError for any other number of them."""
    if len(betas) != 2:
        raise ValueError(f"betas must be two decays in [0, 1), got {list(betas)}")
    return betas[0], betas[1]
