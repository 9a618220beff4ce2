"""Inter-scale regularization by predictability: what a finer latent tells of the coarser one costs."""

from typing import Literal

import torch
from torch import Tensor, nn

from lic_exp.capabilities import RegularizerNeeds, signed_as
from lic_exp.option_types import Decay, NonNegativeFloat, PositiveFloat, PositiveInt
from lic_exp.requirements import NoWeights, Unused, declares
from lic_exp.spectral_reg import scales as scaling
from lic_exp.spectral_reg.alignment import FACTOR, FEATURES
from lic_exp.spectral_reg.between_scales import BetweenScales, Pairs
from lic_exp.spectral_reg.running_ridge import RunningRidge
from lic_exp.tracking import names

DIRECTIONS = {"subtract": 1.0, "add": -1.0}
"""Of predictability in the loss, where `sign` is that of its opposite, the distance, as in `inter_scale`."""


@signed_as("inter_predict")
@declares(
    Unused("unit", {"start": 0, "ramp": 0}),
    Unused("unit", {"start": 0, "delta": 0}),
    Unused("ramp", {"delta": 0}),
    Unused("guard_std_factor", {"delta": 0}),
    Unused("guard_std_floor", {"delta": 0}),
    Unused("on_breach", {"delta": 0}),
    NoWeights(),
)
class InterPredict(BetweenScales):
    """The part P of each latent that a linear map of the next finer one foretells, times delta, added to the loss.

        z_l --- Haar, K = 4 C_l features u at half the size --- W --- predicted --+
                                                                                  P --- sum over l --- * delta
        z_{l-1}, channels a ------------------------------------------------------+

        e = a - mean a - W (u - mean u),    P = mean over channels of max(0, 1 - sum e^2 / sum (a - mean a)^2)

    W is a `running_ridge.RunningRidge` of the batches before this one and gets no gradient; a and u do. P is in
    [0, 1]: about 0 for independent latents and 1 where the coarse one is a linear map of the finer one, whichever.
    Options that are not told of here are those of `between_scales.BetweenScales`.

    sign: "subtract" the distance 1 - P from the loss, which is to add P, or "add" it (control: redundancy is paid for).
    form: "share" is P; "nats" is -1/2 ln(1 - P) per channel, the information of a Gaussian channel, whose gradient does
        not vanish where P is 1.
    alignment: features, `alignment.FEATURES`. max_features: more than so many for a pair are refused.
    decay, ridge: `running_ridge.RunningRidge`. refit_every_steps: how often W is made anew; every batch counts.
    """

    needs = RegularizerNeeds(latents=2)
    total_name = names.INTER_PREDICT

    def __init__(
        self,
        *,
        delta: NonNegativeFloat,
        sign: Literal["subtract", "add"],
        form: Literal["share", "nats"],
        view: Literal["descaled", "scaled", "mean", "innovation"],
        same_resolution: Literal["last", "concatenate"],
        alignment: Literal["haar", "low_band", "average_pool", "strided_conv"],
        decay: Decay,
        ridge: PositiveFloat,
        refit_every_steps: PositiveInt,
        max_features: PositiveInt,
        start: NonNegativeFloat | None,
        ramp: NonNegativeFloat,
        unit: Literal["epoch", "step", "share"],
        gradient_cap: PositiveFloat | None,
        gradient_every_steps: PositiveInt | None,
        guard_std_factor: PositiveFloat,
        guard_std_floor: PositiveFloat,
        guard_every_steps: PositiveInt,
        on_breach: Literal["stop", "switch_off"],
    ) -> None:
        rewarded = -1.0 if form == "share" else -float("inf")
        super().__init__(
            delta=delta,
            direction=DIRECTIONS[sign],
            lowest=0.0 if sign == "subtract" else rewarded,
            view=view,
            same_resolution=same_resolution,
            start=start,
            ramp=ramp,
            unit=unit,
            gradient_cap=gradient_cap,
            gradient_every_steps=gradient_every_steps,
            guard_std_factor=guard_std_factor,
            guard_std_floor=guard_std_floor,
            guard_every_steps=guard_every_steps,
            on_breach=on_breach,
        )
        self.form, self.alignment, self.features = form, alignment, FEATURES[alignment]
        self.ridge_options = {"decay": decay, "ridge": ridge}
        self.refit_every_steps, self.max_features = refit_every_steps, max_features
        self.predictors = nn.ModuleDict()

    def prepare(self, pairs: Pairs) -> None:
        """Make one map per pair. Raises ValueError where one has more than max_features features."""
        for pair, (coarse, fine) in pairs.items():
            count = FACTOR[self.alignment] * fine.shape[1]
            if count > self.max_features:
                raise ValueError(
                    f"max_features={self.max_features}: latent {pair} has {count} features by "
                    f"alignment={self.alignment}, and a fit costs {count**3 / 3e9:.2g} billion multiplications; allow "
                    "them, with a larger refit_every_steps, or choose alignment=low_band, which has a quarter of haar's"
                )
            self.predictors[str(pair)] = RunningRidge(count, coarse.shape[1], dtype=coarse.dtype, **self.ridge_options)

    def measure(self, pairs: Pairs) -> dict[int, Tensor]:
        """What is foretold of each pair's coarser latent, by what was learnt of the batches before."""
        found = {}
        for pair, (coarse, fine) in pairs.items():
            rest = self._predictor(pair).left_over(coarse, self.features(fine))
            found[pair] = (1 - rest).mean() if self.form == "share" else -rest.log().mean() / 2
        return found

    @torch.no_grad()
    def follow(self, pairs: Pairs, seen: scaling.LastBatch) -> None:
        """Learn from the batch for those to come, once it was judged by what had been learnt before it."""
        seen.values = seen.values or self.measure(pairs)
        for pair, (coarse, fine) in pairs.items():
            predictor = self._predictor(pair)
            predictor.learn(coarse, self.features(fine))
            if self.step % self.refit_every_steps == 0:
                predictor.fit()

    def acted_every_steps(self) -> list[int]:
        return [self.refit_every_steps]

    def _predictor(self, pair: int) -> RunningRidge:
        predictor = self.predictors[str(pair)]
        assert isinstance(predictor, RunningRidge)
        return predictor
