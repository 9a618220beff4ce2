"""The criterion of codecs that serve a range of rates: every image of a batch has a lmbda of its own."""

import math
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from lic_exp.capabilities import CriterionFacts, signed_as
from lic_exp.conditions import AtLeast, Option
from lic_exp.evaluation.rates import RateRange
from lic_exp.metrics import mse, psnr_from_mse
from lic_exp.models.base import Codec, CodecOutput, VariableRateCodec
from lic_exp.option_types import Neutral, PositiveFloat, PositiveInt, Share
from lic_exp.requirements import Forbids, ForbidsEach, declares
from lic_exp.training.criterion import MSE, check_same_shape, image_rates, latent_rates


@signed_as("variable_rate")
@declares(
    Forbids(
        {"lmbda_min": AtLeast(Option("lmbda_max"))},
        "{here}lmbda_min={lmbda_min:g} must be less than {here}lmbda_max={lmbda_max:g}",
    ),
    ForbidsEach(
        ("lmbda_min", "lmbda_max"),
        AtLeast(1.0),
        "{here}{key}={value:g} looks like a weight of MSE on [0, 1] (one lmbda is stored here, CompressAI's: the "
        "weight of 255^2 MSE); write {here}{key}={value/65025:.6g}, which is {value:g} / 255^2",
    ),
    Forbids(
        {},
        "this criterion draws a rate per image, which this model cannot be told: choose a variable-rate model, or "
        "criterion=mse with the one {here}lmbda",
        codec={"variable_rate": False},
    ),
)
class VariableRate(nn.Module):
    """loss = mean over images b of w_b (bpp_b + lmbda_b 255^2 MSE_b), with MSE over [0, 1].

    w_b is 1, or with a `balance` in proportion to lmbda_b^-balance, with a mean of 1 over what is drawn.

    lmbda_min, lmbda_max: what the codec's qualities 0 and max_quality stand for, in CompressAI's unit.
    drawn_qualities: what training draws, for each image alone: any quality, or whole ones only. Both are uniform in
        log lmbda.
    balance: how far low rates are weighed up. At 0 the high ones, whose losses are many times as large, have most of
        the gradient; at 0.5 all have about as much of it, for the loss of photos grows about as the root of lmbda.
        Means that are reported and validation are not weighed.
    validation_rates: how many rates, evenly spaced in log lmbda from lmbda_min to lmbda_max, `val/rd_loss` is the
        geometric mean of; each costs a pass over the validation images.
    """

    facts = CriterionFacts(variable_rate=True)

    def __init__(
        self,
        *,
        lmbda_min: PositiveFloat,
        lmbda_max: PositiveFloat,
        drawn_qualities: Literal["continuous", "whole"],
        balance: Annotated[Share, Neutral(0.0)],
        validation_rates: PositiveInt,
    ) -> None:
        super().__init__()
        self.lmbda_min = lmbda_min
        self.lmbda_max = lmbda_max
        self.drawn_qualities = drawn_qualities
        self.balance = balance
        self.validation_rates = validation_rates

    def range_of(self, codec: Codec) -> RateRange:
        """What the codec's qualities stand for."""
        return RateRange(self.lmbda_min, self.lmbda_max, variable(codec).max_quality)

    def at(self, lmbda: float) -> MSE:
        """The criterion of one rate."""
        return MSE(lmbda=lmbda)

    def drawn(self, shares: Tensor, max_quality: float) -> tuple[Tensor, Tensor]:
        """A quality and its lmbda for each image, (B,) float32, of random numbers (B,) float64 in [0, 1)."""
        whole = self.drawn_qualities == "whole"
        quality = ((int(max_quality) + 1) * shares).floor() if whole else max_quality * shares
        quality = quality.float()
        lmbda = self.lmbda_min * (self.lmbda_max / self.lmbda_min) ** (quality.double() / max_quality)
        return quality, lmbda.float()

    def forward(self, output: CodecOutput, target: Tensor, lmbda: Tensor | None = None) -> dict[str, Tensor]:
        """Scalars: `loss`, and means over the batch: `bpp_loss`, `mse_loss`, `psnr` [dB] of it, `<latent>_bpp`.

        target (B, 3, H, W) in [0, 1]; lmbda (B,), None is lmbda_max for all. Raises ValueError where x_hat has another
        shape than target.
        """
        check_same_shape(output, target)
        with torch.autocast(target.device.type, enabled=False):
            rates = latent_rates(output.bits, target)
            bpp_loss = torch.stack(list(rates.values())).sum()
            errors = mse(output.x_hat.float(), target.float())
            weights = torch.full_like(errors, self.lmbda_max) if lmbda is None else lmbda
            distortions = weights * 255**2 * errors
            if self.balance:
                sums = self.summed(image_rates(output.bits, target), distortions, self._shares(weights))
            else:  # rates weigh alike, so that their mean over images may come before the sum
                sums = self.summed(bpp_loss, distortions.mean())
            mse_loss = errors.mean()
        psnr = psnr_from_mse(mse_loss.detach())
        # The compiler of torch 2.6 breaks a graph at a union of dictionaries.
        return {**sums, "bpp_loss": bpp_loss, "mse_loss": mse_loss, "psnr": psnr, **rates}

    def summed(self, rate: Tensor, distortion: Tensor, shares: Tensor | None = None) -> dict[str, Tensor]:
        """The "loss", and what else is told of R and lmbda D: scalars, or each image's (B,) with the weights w (B,)."""
        both = rate + distortion
        return {"loss": both if shares is None else (shares * both).mean()}

    def _shares(self, lmbda: Tensor) -> Tensor:
        """The weights w (B,): (lmbda / middle)^-balance, over its mean sinh(a) / a for a uniform log lmbda."""
        a = self.balance * math.log(self.lmbda_max / self.lmbda_min) / 2
        middle = math.sqrt(self.lmbda_min * self.lmbda_max)
        return a / math.sinh(a) * (lmbda / middle) ** -self.balance


def variable(codec: Codec) -> VariableRateCodec:
    """The codec as one that can be told a quality. Raises TypeError where it cannot."""
    if not isinstance(codec, VariableRateCodec):
        raise TypeError(f"{type(codec).__name__} serves one rate: a criterion with a range needs a VariableRateCodec")
    return codec
