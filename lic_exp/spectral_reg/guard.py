"""Notices that a term runs away, and keeps it in proportion."""

import logging
import math
from typing import Any

import torch
from torch import Tensor, nn

from lic_exp.divergence import DivergedError
from lic_exp.ops.ranks import total, world
from lic_exp.tracking import names

log = logging.getLogger("lic_exp.spectral_reg")


WORSE, IN_A_ROW = 2.0, 2
"""A validation above so many times the best one is bad, and so many of them, one after the other, are too many."""


class Guard(nn.Module):
    """Compares each latent's deviation with the one it had before the term began, and validations with the best.

    A negative loss says nothing: Eq. 6 makes one of a codec that still works.
    factor: a deviation may grow so many times. floor: a reference below it counts as this much, since a latent of
    an untrained codec may grow from almost nothing [units of the latent].
    The references, and how many validations in a row were bad, are in the state dict. Looking at them makes the host
    wait for the device: `breach` is for now and then.
    """

    reference: Tensor
    bad_validations: Tensor

    def __init__(self, scales: int, *, factor: float, floor: float) -> None:
        super().__init__()
        self.factor, self.floor = factor, floor
        self.register_buffer("reference", torch.zeros(scales))
        self.register_buffer("bad_validations", torch.zeros((), dtype=torch.long))
        self.register_load_state_dict_pre_hook(_complete)

    def watch(self, deviations: Tensor, *, active: bool) -> None:
        """Take the deviations (scales,) for references while the term is not active, or where there are none yet.

        None is taken that is not finite.
        """
        kept = (self.reference > 0) & active | ~deviations.isfinite()
        self.reference.copy_(torch.where(kept, self.reference, deviations))

    def breach(self, deviations: list[float]) -> str | None:
        """Which latent's deviation has gone too far, in words, or None."""
        for scale, (now, before) in enumerate(zip(deviations, self.reference.tolist(), strict=True), 1):
            if not math.isfinite(now):
                return f"the deviation of latent {scale} is {now}"
            if now > self.factor * max(before, self.floor):
                grown = f"was {before:.4g} before the term began and may grow to {self.factor:g} times that"
                floored = f" (at least {self.floor:g})" if before < self.floor else ""
                return f"the deviation of latent {scale} is {now:.4g}; it {grown}{floored}"
        return None

    def bad_run(self, now: float, best: float) -> str | None:
        """What to say of a validation and those before it, the best of which was `best`, or None."""
        self.bad_validations.copy_((self.bad_validations + 1) * (now > WORSE * best))
        if int(self.bad_validations) < IN_A_ROW:
            return None
        return (
            f"{names.VAL_RD_LOSS} is {now:.4g}, and has been above {WORSE:g} times its best, {best:.4g}, in "
            f"{int(self.bad_validations)} validations in a row"
        )


def _complete(module: nn.Module, state: dict[str, Any], prefix: str, *_: object) -> None:
    """Checkpoints of earlier versions do not say how many validations were bad."""
    state.setdefault(f"{prefix}bad_validations", torch.zeros((), dtype=torch.long))


def respond(reason: str, step: int, *, stop: bool) -> None:
    """Say what has gone too far. Raises DivergedError where the run shall stop."""
    if stop:
        raise DivergedError(f"diverged at step {step} by the inter-scale term: {reason}", step)
    log.warning("the inter-scale term is switched off at step %d: %s", step, reason)


class GradientRatio(nn.Module):
    """|g_term| / |g_loss| at the latents, and the factor that keeps it at or below `cap`; held between measurements.

    cap: None measures only. With a cap the factor is 0 until the first measurement. Both numbers are buffers, so a
    resumed run goes on with them.
    """

    ratio: Tensor
    factor: Tensor

    def __init__(self, cap: float | None) -> None:
        super().__init__()
        self.cap = cap
        self.register_buffer("ratio", torch.zeros(()))
        self.register_buffer("factor", torch.tensor(1.0 if cap is None else 0.0))

    def measure(self, term: Tensor, loss: Tensor, latents: list[Tensor]) -> None:
        """Compare the gradients of two scalars, whose graphs stay. A ratio that is not finite is not taken."""
        of_term, of_loss = (gradient_norm(scalar, latents) for scalar in (term, loss))
        ratio = of_term / of_loss
        self.ratio.copy_(torch.where(ratio.isfinite(), ratio, self.ratio))
        if self.cap is not None:
            self.factor.copy_((self.cap / self.ratio).clamp(max=1))


def gradient_norm(scalar: Tensor, inputs: list[Tensor]) -> Tensor:
    """L2 norm, in float32, of a scalar's gradient with respect to all inputs at once; 0 where none leads to it.

    The inputs are those of all ranks, where there are several, and the norm is `world()` times as large.
    """
    reached = [x for x in inputs if x.requires_grad]
    if not scalar.requires_grad or not reached:
        return scalar.new_zeros((), dtype=torch.float32)
    gradients = torch.autograd.grad(scalar, reached, retain_graph=True, allow_unused=True)
    present = [gradient.float() for gradient in gradients if gradient is not None]
    norm = torch.nn.utils.get_total_norm(present) if present else scalar.new_zeros((), dtype=torch.float32)
    return norm if world() == 1 else total(norm.square()).sqrt()
