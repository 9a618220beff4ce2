"""Criteria that balance rate and distortion: which of the two has how much of the gradient is learnt in training.

Zhang, Duan, Huang and Zhu, "Balanced Rate-Distortion Optimization in Learned Image Compression", CVPR 2025 (arXiv
2502.20161), in the form that learns weights along the trajectory; its rule is FAMO's (Liu, Feng, Stone and Liu,
NeurIPS 2023). Both losses fall by about the same part of themselves, where otherwise the larger one leads.
"""

from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from lic_exp.capabilities import CriterionFacts, signed_as
from lic_exp.conditions import AtLeast
from lic_exp.models.base import CodecOutput
from lic_exp.ops.ranks import means
from lic_exp.option_types import Neutral, NonNegativeFloat, PositiveFloat, PositiveInt, Share
from lic_exp.requirements import Forbids, declares
from lic_exp.tracking.names import DISTORTION_PART, DISTORTION_SHARE, RATE_PART
from lic_exp.training.criterion import MSE, LooksAgain
from lic_exp.training.variable_rate import VariableRate

DECAYS = 0.9, 0.999
"""Of Adam's moments, which torch has by default."""
EPS = 1e-8


class LossShares(nn.Module):
    """The shares z = softmax(w) of n losses L_i in what is minimised, which follow from how these fall.

        loss = sum_i z_i log(L_i + 1) / c,    c = sum_i z_i / (L_i + 1) without a gradient

    so that its gradient is a mean of the losses' own, with the weights a_i = z_i / (L_i + 1) / c, whose sum is 1.
    After the update, which leaves L'_i of the same images, w follows its gradient

        J^T (log(L + 1) - log(L' + 1)) + decay w,    J = d softmax / dw = diag(z) - z z^T

    by a step of Adam: what fell more gets less. w begins at 0. All that is known of it stands in buffers, in float64,
    and is changed where it is without a look at a value, so that a step can be recorded.

    lr: Adam's learning rate. decay: what draws w to 0.
    """

    w: Tensor
    first_moment: Tensor
    second_moment: Tensor
    updates: Tensor

    def __init__(self, losses: int, *, lr: float, decay: float) -> None:
        super().__init__()
        self.lr, self.decay = lr, decay
        for name in ("w", "first_moment", "second_moment"):
            self.register_buffer(name, torch.zeros(losses, dtype=torch.float64))
        self.register_buffer("updates", torch.zeros((), dtype=torch.float64))

    def forward(self, losses: Tensor) -> Tensor:
        """What is minimised, a scalar, of the losses (n,), none below 0."""
        shares = self.shares().to(losses.dtype)
        scale = (shares / (losses.detach() + 1)).sum()
        return (shares * losses.log1p()).sum() / scale

    def shares(self) -> Tensor:
        """z, (n,) float64."""
        return self.w.softmax(0)

    @torch.no_grad()
    def follow(self, before: Tensor, after: Tensor, updated: Tensor) -> None:
        """Take in what an update has made of the losses (n,).

        updated: a bool scalar on their device; where it is false, or a loss is not finite, all stays as it is.
        """
        shares, fell = self.shares(), before.double().log1p() - after.double().log1p()
        gradient = shares * (fell - (shares * fell).sum()) + self.decay * self.w
        updates = self.updates + 1
        first = DECAYS[0] * self.first_moment + (1 - DECAYS[0]) * gradient
        second = DECAYS[1] * self.second_moment + (1 - DECAYS[1]) * gradient.square()
        size = (second / (1 - DECAYS[1] ** updates)).sqrt() + EPS
        w = self.w - self.lr * first / (1 - DECAYS[0] ** updates) / size
        moved = updated & gradient.isfinite().all()
        for own, new in (
            (self.w, w),
            (self.first_moment, first),
            (self.second_moment, second),
            (self.updates, updates),
        ):
            own.copy_(torch.where(moved, new, own))


class Balancing(LooksAgain):
    """What the two criteria share: they report DISTORTION_PART and RATE_PART, D and R of this rank's batch.

    The loss of several ranks is that of the whole batch, for c is: each adds the others' values to its own D and R,
    and the mean of the ranks' gradients is then the gradient of the whole.
    """

    loss_shares: LossShares

    def weighed(self, terms: dict[str, Tensor]) -> dict[str, Tensor]:
        parts = {name: terms[name] for name in (DISTORTION_PART, RATE_PART)}
        with torch.autocast(terms["loss"].device.type, enabled=False):
            own, whole = (torch.stack(list(some.values())) for some in (parts, means(parts)))
            loss = self.loss_shares(own + (whole - own).detach())
        share = self.loss_shares.shares()[0].to(loss.dtype)
        return {**terms, "loss": loss, DISTORTION_SHARE: share}

    def after_update(self, before: dict[str, Tensor], after: dict[str, Tensor], updated: Tensor) -> None:
        first, then = (torch.stack([terms[DISTORTION_PART], terms[RATE_PART]]) for terms in (before, after))
        self.loss_shares.follow(first, then, updated)


@signed_as("balanced_mse")
@declares(
    Forbids(
        {},
        "the two losses are balanced over a whole batch, and trainer.accumulate={trainer.accumulate} computes it in "
        "parts, one after the other: set trainer.accumulate=1, and a smaller data.batch_size where memory is short, or "
        "choose criterion=mse",
        beside={"trainer.accumulate": AtLeast(2)},
    )
)
class BalancedMSE(Balancing, MSE):
    """`MSE` whose two terms are balanced: D = lmbda 255^2 MSE and R in bits per pixel, as `LossShares` has it.

    share_lr, share_decay: of the shares' own Adam, `LossShares`. Validation measures what `MSE` does.
    """

    facts = CriterionFacts(second_look=True)

    def __init__(self, *, lmbda: PositiveFloat, share_lr: NonNegativeFloat, share_decay: NonNegativeFloat) -> None:
        super().__init__(lmbda=lmbda)
        self.loss_shares = LossShares(2, lr=share_lr, decay=share_decay)

    def forward(self, output: CodecOutput, target: Tensor) -> dict[str, Tensor]:
        """As `MSE`'s, with D and R; "loss" is their sum until they are `weighed`."""
        terms = super().forward(output, target)
        return {**terms, DISTORTION_PART: self.lmbda * self.total(terms), RATE_PART: terms["bpp_loss"]}


@signed_as("balanced")
@declares(
    Forbids(
        {},
        "the two losses are balanced over a whole batch, and trainer.accumulate={trainer.accumulate} computes it in "
        "parts, one after the other: set trainer.accumulate=1, and a smaller data.batch_size where memory is short, or "
        "choose criterion=variable_rate",
        beside={"trainer.accumulate": AtLeast(2)},
    )
)
class Balanced(Balancing, VariableRate):
    """`VariableRate` whose two terms are balanced, as `LossShares` has it.

    They are D, the mean over images b of w_b lmbda_b 255^2 MSE_b, and R, that of w_b bpp_b; the shares are the same
    for all images. `balance` says how rates weigh, which is another matter. Validation measures what `VariableRate`
    does.

    share_lr, share_decay: of the shares' own Adam, `LossShares`.
    """

    facts = CriterionFacts(variable_rate=True, second_look=True)

    def __init__(
        self,
        *,
        lmbda_min: PositiveFloat,
        lmbda_max: PositiveFloat,
        drawn_qualities: Literal["continuous", "whole"],
        balance: Annotated[Share, Neutral(0.0)],
        validation_rates: PositiveInt,
        share_lr: NonNegativeFloat,
        share_decay: NonNegativeFloat,
    ) -> None:
        super().__init__(
            lmbda_min=lmbda_min,
            lmbda_max=lmbda_max,
            drawn_qualities=drawn_qualities,
            balance=balance,
            validation_rates=validation_rates,
        )
        self.loss_shares = LossShares(2, lr=share_lr, decay=share_decay)

    def summed(self, rate: Tensor, distortion: Tensor, shares: Tensor | None = None) -> dict[str, Tensor]:
        """With D and R; "loss" is their sum until they are `weighed`."""
        of_both = super().summed(rate, distortion, shares)
        if shares is not None:
            rate, distortion = (shares * rate).mean(), (shares * distortion).mean()
        return {**of_both, DISTORTION_PART: distortion, RATE_PART: rate}
