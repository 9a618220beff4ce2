"""SOAP: Adam in the eigenbases of Shampoo for matrices, AdamW for everything else, in one optimizer."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from lic_exp.capabilities import signed_as
from lic_exp.ops.precision import exact_float32
from lic_exp.optimizers.factories import pair
from lic_exp.optimizers.matrices import MatrixOptimizer
from lic_exp.option_types import Decay, NonNegativeFloat, PositiveFloat, PositiveInt

SIDES = ("left", "right")
"""Of a matrix: its rows' side, 0, and its columns' side, 1."""


@signed_as("soap")
class SOAP(MatrixOptimizer):
    """SOAP (Vyas et al., 2024), arXiv 2409.11321.

    For a matrix W (n, m) with gradient G, decays b1, b2 and b_s, and bases Q_L (n, n), Q_R (m, m):

        M <- b1 M + (1 - b1) G,    V <- b2 V + (1 - b2) (Q_L^T G Q_R)^2
        W <- W - lr sqrt(1 - b2^t) / (1 - b1^t) Q_L [Q_L^T M Q_R / (sqrt(V) + eps)] Q_R^T
        W <- (1 - lr weight_decay) W
        L <- b_s L + (1 - b_s) G G^T,    R <- b_s R + (1 - b_s) G^T G

    A kernel is the matrix (out, in kh kw). The first gradient of a matrix makes L and R and, as their eigenvectors,
    the bases, and moves nothing; t counts the steps after it. Every `precondition_every_steps` of these the bases
    come closer to the eigenvectors of that time: one power iteration and a QR decomposition, columns in the order of
    estimated eigenvalues, and V in the same order. A side longer than `max_precondition_dim` keeps Q = 1, without L
    or R. All in the weights' own precision, without TF32. The rest follows AdamW at `adam_lr`.

    Where the first L or R has an eigenvalue more than once, as 0 for the longer side of a matrix, rounding chooses its
    eigenvectors: what differs by rounding alone, such as a training on another number of ranks, takes another course.
    """

    kind: ClassVar[str] = "soap"

    def __init__(
        self,
        params: list[dict[str, Any]],
        *,
        lr: PositiveFloat,
        adam_lr: PositiveFloat,
        betas: list[Decay],
        shampoo_beta: Decay,
        eps: PositiveFloat,
        weight_decay: NonNegativeFloat,
        precondition_every_steps: PositiveInt,
        max_precondition_dim: PositiveInt,
    ) -> None:
        defaults = {
            "betas": pair(betas),
            "shampoo_beta": shampoo_beta,
            "eps": eps,
            "weight_decay": weight_decay,
            "precondition_every_steps": precondition_every_steps,
            "max_precondition_dim": max_precondition_dim,
        }
        super().__init__(params, defaults, lr=lr, adam_lr=adam_lr)

    def step_matrices(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        with exact_float32():
            for parameter in parameters:
                assert parameter.grad is not None
                gradient, state = parameter.grad.flatten(1), self.state[parameter]
                if state:
                    _update(parameter, gradient, state, group)
                    _average(gradient, state, group)
                    if state["step"] % group["precondition_every_steps"] == 0:
                        _renew_bases(state)
                else:
                    _begin(gradient, state, group)


def _begin(gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
    """Moments of zeros, the statistics of a first gradient (n, m), and their eigenvectors."""
    state.update(step=0, exp_avg=gradient.new_zeros(gradient.shape), exp_avg_sq=gradient.new_zeros(gradient.shape))
    for side, size in zip(SIDES, gradient.shape, strict=True):
        if size <= group["max_precondition_dim"]:
            state[side] = gradient.new_zeros(size, size)
    _average(gradient, state, group)
    for side in SIDES:
        if side in state:
            state[f"{side}_basis"] = eigenvectors(state[side])


def _update(parameter: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
    """Adam's step of a parameter in the bases of its state. gradient: (n, m)."""
    (first, second), lr = group["betas"], group["lr"]
    state["step"] += 1
    state["exp_avg"].lerp_(gradient, 1 - first)
    state["exp_avg_sq"].lerp_(_rotated(gradient, state).square(), 1 - second)
    direction = _rotated(state["exp_avg"], state) / state["exp_avg_sq"].sqrt().add_(group["eps"])
    correction = (1 - second ** state["step"]) ** 0.5 / (1 - first ** state["step"])
    parameter.add_(_rotated_back(direction, state).view_as(parameter), alpha=-lr * correction)
    parameter.mul_(1 - lr * group["weight_decay"])


def _average(gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
    for side, rows in zip(SIDES, (gradient, gradient.T), strict=True):
        if side in state:
            state[side].lerp_(rows @ rows.T, 1 - group["shampoo_beta"])


def _renew_bases(state: dict[str, Any]) -> None:
    """One power iteration from the present bases, made orthogonal; V follows the order of the columns."""
    for axis, side in enumerate(SIDES):
        if side in state:
            basis = state[f"{side}_basis"]
            product = state[side] @ basis
            order = torch.argsort((basis * product).sum(0), descending=True, stable=True)
            state["exp_avg_sq"] = state["exp_avg_sq"].index_select(axis, order)
            state[f"{side}_basis"] = torch.linalg.qr(product.index_select(1, order)).Q.contiguous()


def eigenvectors(matrix: Tensor) -> Tensor:
    """Those of a symmetric matrix (n, n) as columns, the largest eigenvalue's first."""
    try:
        vectors: Tensor = torch.linalg.eigh(matrix).eigenvectors
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]  # one that is ill-conditioned may need more digits
        vectors = torch.linalg.eigh(matrix.double()).eigenvectors.to(matrix.dtype)
    return vectors.flip(1).contiguous()


def _rotated(matrix: Tensor, state: dict[str, Any]) -> Tensor:
    """Q_L^T A Q_R."""
    if "left" in state:
        matrix = state["left_basis"].T @ matrix
    return matrix @ state["right_basis"] if "right" in state else matrix


def _rotated_back(matrix: Tensor, state: dict[str, Any]) -> Tensor:
    """Q_L A Q_R^T."""
    if "left" in state:
        matrix = state["left_basis"] @ matrix
    return matrix @ state["right_basis"].T if "right" in state else matrix
