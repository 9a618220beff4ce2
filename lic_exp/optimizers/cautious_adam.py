"""Cautious Adam: AdamW that leaves alone for a step what its moments would move against the gradient."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lic_exp.capabilities import signed_as
from lic_exp.optimizers import factories
from lic_exp.option_types import AtLeastOne, Decay, NonNegativeFloat, PositiveFloat
from lic_exp.private_compiler import compiler_not_loaded


@signed_as("cautious_adam")
class CautiousAdam(torch.optim.AdamW):
    """Cautious AdamW (Liang et al., 2024), arXiv 2411.16085.

    With AdamW's update U of a weight W of d numbers, and the weight's gradient G:

        K = [U G > 0],    W <- (1 - lr weight_decay) W - lr min(d / sum(K), max_rescale) K U

    Moments see every gradient. Where all signs agree this is AdamW, on the CPU to the last bit.

    As with AdamW, a step can be left out on the device, and recorded (`trainer.compile=graphs`).
    """

    def __init__(
        self,
        params: list[dict[str, Any]],
        *,
        lr: PositiveFloat,
        betas: list[Decay],
        eps: PositiveFloat,
        weight_decay: NonNegativeFloat,
        max_rescale: AtLeastOne,
    ) -> None:
        # By another name, since AdamW is not to decay what it is given.
        groups = [{"decay": weight_decay, "max_rescale": max_rescale, **group} for group in params]
        how: dict[str, Any] = {
            "betas": factories.pair(betas),
            "eps": eps,
            "weight_decay": 0.0,
            **factories.kernel(params),
        }
        with compiler_not_loaded():
            super().__init__(groups, lr=lr, **how)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        stepped = [
            (group, weight, weight.clone(), self._steps_of(weight))
            for group in self.param_groups
            for weight in group["params"]
            if weight.grad is not None
        ]
        self._become_updates(stepped)
        for group, weight, value, steps in stepped:
            update = cautious(weight, weight.grad, group["max_rescale"])
            made = self.state[weight]["step"] > steps
            shrunk = torch.where(made, value * (1 - group["lr"] * group["decay"]), value)
            weight.copy_(shrunk.add_(update))
        return loss

    def _steps_of(self, weight: Tensor) -> Tensor | int:
        """Steps that were made of a weight, without those left out on the device: a scalar there."""
        state = self.state[weight]
        return state["step"].clone() if state else 0

    def _become_updates(self, stepped: list[tuple[dict[str, Any], Tensor, Tensor, Tensor | int]]) -> None:
        """AdamW's step from zero, whichever kernel makes it, is its update; it stays zero where it is left out."""
        try:
            for _, weight, _, _ in stepped:
                weight.zero_()
            super().step()
        except BaseException:  # which ends this step, and not the weights
            for _, weight, value, _ in stepped:
                weight.copy_(value)
            raise


def cautious(update: Tensor, gradient: Tensor, max_rescale: float) -> Tensor:
    """An update of a weight, of its shape, where it descends, and 0 elsewhere; as much longer as numbers are left out.

    The factor is at most max_rescale.
    """
    kept = update.sign() * gradient < 0  # signs, since a product of small numbers may be 0
    factor = (kept.numel() / kept.sum()).clamp(max=max_rescale)
    return torch.where(kept, update, 0) * factor
