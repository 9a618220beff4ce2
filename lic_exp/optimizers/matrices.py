"""What optimizers of matrices share: which weights are matrices, and AdamW for all others."""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim.adamw import adamw

from lic_exp.private_compiler import compiler_not_loaded

REST = "adam"


class MatrixOptimizer(torch.optim.Optimizer):
    """A step of its own for matrices, AdamW at `adam_lr` for everything else, in one optimizer.

    Each group given is divided into a matrix group and a rest group, marked by `group["kind"]`; a group's own `lr`
    holds for both. State dicts and schedules work as for any torch optimizer. A step cannot be left out on the device:
    on a GPU the host looks first whether it is finite, and `trainer.compile=graphs` records nothing.

    defaults: the options of all groups, `betas`, `eps` and `weight_decay` of AdamW among them.
    """

    kind: ClassVar[str]
    """What marks the matrix groups."""

    def __init__(self, params: list[dict[str, Any]], defaults: dict[str, Any], *, lr: float, adam_lr: float) -> None:
        with compiler_not_loaded():
            super().__init__([part for group in params for part in _divided(group, self.kind, lr, adam_lr)], defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if group["kind"] == self.kind:
                self.step_matrices(parameters, group)
            else:
                self._step_rest(parameters, group)
        return loss

    def step_matrices(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        """Update parameters, (out, in) or (out, in, kh, kw), by their gradients, which they all have."""
        raise NotImplementedError

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
    """Whether a parameter is a linear map, (out, in) or (out, in, kh, kw), that is stepped as one.

    Everything else goes to AdamW: biases and gains, also where shaped (1, C, 1, 1); depthwise kernels (C, 1, kh, kw),
    whose rows act on different channels and share no input; and 3-d stacks of tiny per-channel matrices, as in
    factorized entropy models.
    """
    return parameter.ndim in (2, 4) and min(parameter.shape[:2]) > 1


def _divided(group: dict[str, Any], kind: str, lr: float, adam_lr: float) -> list[dict[str, Any]]:
    """The matrix group and the rest group of one given group, matrices first; an empty one is left out."""
    members: dict[str, list[Tensor]] = {kind: [], REST: []}
    for parameter in group["params"]:
        members[kind if is_matrix(parameter) else REST].append(parameter)
    rates = ((kind, lr), (REST, adam_lr))
    return [{"lr": own_lr, **group, "params": members[part], "kind": part} for part, own_lr in rates if members[part]]
