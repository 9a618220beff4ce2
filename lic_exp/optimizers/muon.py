"""Muon: momentum made orthogonal for matrices, AdamW for everything else, in one optimizer."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from lic_exp.capabilities import signed_as
from lic_exp.optimizers.factories import pair
from lic_exp.optimizers.matrices import MatrixOptimizer
from lic_exp.option_types import Decay, NonNegativeFloat, PositiveFloat, PositiveInt

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATION_DTYPE = torch.float32
"""bfloat16 is customary for language models; a codec's matrices are small, and float32 gives the same bits anywhere."""


@signed_as("muon")
class Muon(MatrixOptimizer):
    """Muon (Jordan et al., 2024) with the step size of Liu et al., "Muon is scalable for LLM training" (2025).

    For a matrix W (n, m) with gradient G, momentum mu and lr:

        M <- mu M + (1 - mu) G,    U = (1 - mu) G + mu M if nesterov else M
        W <- (1 - lr weight_decay) W - 0.2 sqrt(max(n, m)) lr NewtonSchulz(U)

    The factor 0.2 sqrt(max(n, m)) makes the root mean square of an update about 0.2 lr for every shape, near that of
    AdamW in mid-training (AdamW's first steps are lr). The rest follows AdamW at `adam_lr`.
    """

    kind: ClassVar[str] = "muon"

    def __init__(
        self,
        params: list[dict[str, Any]],
        *,
        lr: PositiveFloat,
        adam_lr: PositiveFloat,
        momentum: Decay,
        nesterov: bool,
        ns_steps: PositiveInt,
        weight_decay: NonNegativeFloat,
        betas: list[Decay],
        eps: PositiveFloat,
    ) -> None:
        defaults = {
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_steps": ns_steps,
            "weight_decay": weight_decay,
            "betas": pair(betas),
            "eps": eps,
        }
        super().__init__(params, defaults, lr=lr, adam_lr=adam_lr)

    def step_matrices(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        for parameter in parameters:
            gradient, state = parameter.grad, self.state[parameter]
            assert gradient is not None
            if not state:
                state["momentum_buffer"] = torch.zeros_like(gradient)
            momentum = state["momentum_buffer"].lerp_(gradient, 1 - group["momentum"])
            update = gradient.lerp(momentum, group["momentum"]) if group["nesterov"] else momentum
            direction = orthogonalize(update.flatten(1), group["ns_steps"])
            scale = 0.2 * max(direction.shape) ** 0.5
            parameter.mul_(1 - group["lr"] * group["weight_decay"])
            parameter.add_(direction.view_as(parameter), alpha=-group["lr"] * scale)


def orthogonalize(matrix: Tensor, steps: int) -> Tensor:
    """Bring the singular values of (n, m) near 1: `steps` quintic Newton-Schulz iterations, singular vectors kept.

    With the coefficients of Jordan et al. five steps end in about [0.7, 1.2] rather than at 1, which serves as well.
    A zero matrix stays zero.
    """
    a, b, c = COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    wide = (matrix.T if tall else matrix).to(ITERATION_DTYPE)
    wide = wide / wide.norm().clamp(min=1e-7)
    for _ in range(steps):
        gram = wide @ wide.T
        wide = a * wide + (b * gram + c * gram @ gram) @ wide
    result: Tensor = wide.T if tall else wide
    return result.to(matrix.dtype)
