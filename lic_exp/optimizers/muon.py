"""Muon: momentum made orthogonal for matrices, AdamW for everything else, in one optimizer."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim.adamw import adamw

from lic_exp.capabilities import signed_as
from lic_exp.optimizers.factories import pair
from lic_exp.option_types import Decay, NonNegativeFloat, PositiveFloat, PositiveInt
from lic_exp.private_compiler import compiler_not_loaded

MATRIX, REST = "muon", "adam"
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATION_DTYPE = torch.float32
"""bfloat16 is customary for language models; a codec's matrices are small, and float32 gives the same bits anywhere."""


@signed_as("muon")
class Muon(torch.optim.Optimizer):
    """Muon (Jordan et al., 2024) with the step size of Liu et al., "Muon is scalable for LLM training" (2025).

    For a matrix W (n, m) with gradient G, momentum mu and lr:

        M <- mu M + (1 - mu) G,    U = (1 - mu) G + mu M if nesterov else M
        W <- (1 - lr weight_decay) W - 0.2 sqrt(max(n, m)) lr NewtonSchulz(U)

    The factor 0.2 sqrt(max(n, m)) makes the root mean square of an update about 0.2 lr for every shape, near that of
    AdamW in mid-training (AdamW's first steps are lr). The rest follows AdamW at `adam_lr`.

    Each group given is divided into a matrix group and a rest group, marked by `group["kind"]`; a group's own `lr`
    holds for both. State dicts and schedules work as for any torch optimizer.
    """

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
        with compiler_not_loaded():
            super().__init__([kind for group in params for kind in _kinds(group, lr, adam_lr)], defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if group["kind"] == MATRIX:
                self._step_matrices(parameters, group)
            else:
                self._step_rest(parameters, group)
        return loss

    def _step_matrices(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
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

    def _step_rest(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        for parameter in parameters:
            if not self.state[parameter]:
                self.state[parameter].update(
                    step=torch.zeros(()), exp_avg=torch.zeros_like(parameter), exp_avg_sq=torch.zeros_like(parameter)
                )
        states = [self.state[parameter] for parameter in parameters]
        adamw(
            parameters,
            [parameter.grad for parameter in parameters if parameter.grad is not None],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            foreach=True,
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
        )


def is_matrix(parameter: Tensor) -> bool:
    """Whether a parameter is a linear map, (out, in) or (out, in, kh, kw), that Muon may orthogonalise.

    Everything else goes to AdamW: biases and gains, also where shaped (1, C, 1, 1); depthwise kernels (C, 1, kh, kw),
    whose rows act on different channels and share no input; and 3-d stacks of tiny per-channel matrices, as in
    factorized entropy models.
    """
    return parameter.ndim in (2, 4) and min(parameter.shape[:2]) > 1


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


def _kinds(group: dict[str, Any], lr: float, adam_lr: float) -> list[dict[str, Any]]:
    """The matrix group and the rest group of one given group, matrices first; an empty one is left out."""
    members: dict[str, list[Tensor]] = {MATRIX: [], REST: []}
    for parameter in group["params"]:
        members[MATRIX if is_matrix(parameter) else REST].append(parameter)
    kinds = ((MATRIX, lr), (REST, adam_lr))
    return [{"lr": own_lr, **group, "params": members[kind], "kind": kind} for kind, own_lr in kinds if members[kind]]
