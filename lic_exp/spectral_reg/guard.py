"""Notices that a term runs away, and keeps it in proportion."""

import logging

import torch
from torch import Tensor, nn

from lic_exp.divergence import DivergedError

log = logging.getLogger("lic_exp.spectral_reg")


class Guard(nn.Module):
    """Compares each latent's standard deviation with the one it had before the term began.

    factor: a deviation may grow so many times. floor: a reference below it counts as this much, since a latent of
    an untrained codec may grow from almost nothing [units of the latent].
    The references are in the state dict. Looking at them makes the host wait for the device: `breach` is for now
    and then.
    """

    reference: Tensor

    def __init__(self, scales: int, *, factor: float, floor: float) -> None:
        super().__init__()
        self.factor, self.floor = factor, floor
        self.register_buffer("reference", torch.zeros(scales))

    def watch(self, deviations: Tensor, *, active: bool) -> None:
        """Take the deviations (scales,) for references while the term is not active, or where there are none yet."""
        kept = (self.reference > 0) & active
        self.reference.copy_(torch.where(kept, self.reference, deviations))

    def breach(self, deviations: Tensor, loss: Tensor, *, lowest: float) -> str | None:
        """What has gone too far, in words, or None; lowest is the least that a sound loss can be."""
        values = torch.cat((loss.reshape(1).double(), deviations.double(), self.reference.double())).tolist()
        total, count = values[0], len(deviations)
        if total < lowest:
            return f"the loss is negative ({total:.4g}), which no rate and distortion can make"
        for scale, (now, before) in enumerate(zip(values[1 : count + 1], values[count + 1 :], strict=True), 1):
            if now > self.factor * max(before, self.floor):
                grown = f"was {before:.4g} before the term began and may grow to {self.factor:g} times that"
                floored = f" (at least {self.floor:g})" if before < self.floor else ""
                return f"the deviation of latent {scale} is {now:.4g}; it {grown}{floored}"
        return None


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
    """L2 norm, in float32, of a scalar's gradient with respect to all inputs at once; 0 where none leads to it."""
    reached = [x for x in inputs if x.requires_grad]
    if not scalar.requires_grad or not reached:
        return scalar.new_zeros((), dtype=torch.float32)
    gradients = torch.autograd.grad(scalar, reached, retain_graph=True, allow_unused=True)
    present = [gradient.float() for gradient in gradients if gradient is not None]
    return torch.nn.utils.get_total_norm(present) if present else scalar.new_zeros((), dtype=torch.float32)
