"""Inter-scale regularization (Eq. 6): adjacent latents are rewarded for being far apart, or kept from it."""

import logging
from typing import Literal

import torch
from torch import Tensor, nn

from lic_exp.capabilities import RegularizerNeeds, signed_as
from lic_exp.conditions import Not
from lic_exp.models.base import CodecOutput
from lic_exp.option_types import NonNegativeFloat, PositiveFloat, PositiveInt
from lic_exp.requirements import Forbids, NoWeights, Unused, declares
from lic_exp.spectral_reg import scales as scaling
from lic_exp.spectral_reg.alignment import Aligner
from lic_exp.spectral_reg.between_scales import BetweenScales, Pairs
from lic_exp.spectral_reg.distances import METRICS, bounded, largest
from lic_exp.tracking import names

log = logging.getLogger("lic_exp.spectral_reg")

SIGNS = {"subtract": -1.0, "add": 1.0}

NORMALISED = ("cos", "cos2", "cross_correlation", "normalised_l2")
"""Metrics that centre every channel and divide by its deviation: bounded by themselves."""

LEARNED = ("trained", "unit_norm", "adversarial")
FROZEN = ("frozen_random", "frozen_orthogonal")


@signed_as("inter_scale")
@declares(
    Forbids(
        {"bound": "ratio", "metric": NORMALISED},
        "bound=ratio divides a distance by the size of what it compares; metric={metric} has done so already",
    ),
    Forbids(
        {"bound": "hinge", "bound_at": None},
        "bound=hinge needs bound_at, the distance from which on there is no reward",
    ),
    Forbids(
        {"bound": Not("hinge"), "bound_at": Not(None)},
        "bound_at={bound_at} is the hinge's: choose bound=hinge, or set bound_at=null",
    ),
    Forbids({"detach": "conv", "conv": FROZEN}, "conv={conv} gets no gradient anyway: set detach=none"),
    Forbids(
        {"detach": "conv", "conv": "adversarial"},
        "conv=adversarial learns from a loss of its own, never from the codec's: set detach=none",
    ),
    Forbids(
        {"detach": "latents", "conv": Not(LEARNED)},
        "detach=latents leaves conv={conv} nothing to learn: set delta=0 to report without a gradient",
    ),
    Forbids(
        {"conv": "adversarial", "sign": "add"},
        "conv=adversarial with sign=add: both sides would minimise the distance, which is conv=trained",
    ),
    Forbids(
        {"conv": "frozen_orthogonal", "conv_bias": True}, "conv=frozen_orthogonal has no bias: set conv_bias=false"
    ),
    Forbids(
        {"metric": NORMALISED, "conv_bias": True},
        "metric={metric} centres what the bias adds: set conv_bias=false",
    ),
    # What is constant over an image, as the learned bias is, these metrics take away.
    Unused("top", {"metric": NORMALISED}),
    Unused("unit", {"start": 0, "ramp": 0}),
    Unused("unit", {"start": 0, "delta": 0}),
    Unused("ramp", {"delta": 0}),
    Unused("guard_std_factor", {"delta": 0}),
    Unused("guard_std_floor", {"delta": 0}),
    Unused("on_breach", {"delta": 0}),
    NoWeights({"conv": Not(LEARNED)}),
    NoWeights({"detach": "conv"}),
)
class InterScale(BetweenScales):
    """A distance between each latent and a prediction of it from the next finer one, subtracted from the loss.

        z_l --- Haar, 4 C_l channels at half the size --- 1x1 conv --- predicted --+
                                                                                   d --- sum over l --- * -delta
        z_{l-1} (for l = 1 the codec's learned bias) ------------------------------+

    With the paper's choices this is Eq. 6, which is unbounded below: through the convolution, whose weights are in no
    other term, and through the latents, whose growth costs few bits. docs/inter_scale.md says which choices are
    sound. What the paper leaves open (mean or sum, which latent, bias and training of the convolution) is an option.

    Options that are not told of here are those of `between_scales.BetweenScales`.

    sign: "subtract" (paper) or "add" (control).
    metric, bound, bound_at: `distances`. bound_at is the hinge's.
    detach: what gets no gradient of the term: the "coarse" side, the "fine" one, both ("latents"), the "conv", "none".
    alignment, conv, conv_bias: `alignment.Aligner`. With "adversarial" the convolution minimises the metric by a loss
        of its own, of value 0, while the codec gets the term.
    top: whether the coarsest latent is compared with the codec's learned "bias", where there is one, or with "none".
    """

    needs = RegularizerNeeds(latents=2)
    total_name = names.INTER_DISTANCE

    def __init__(
        self,
        *,
        delta: NonNegativeFloat,
        sign: Literal["subtract", "add"],
        metric: Literal["l2_mean", "l2_sum", "l1", "cos", "cos2", "cross_correlation", "normalised_l2"],
        bound: Literal["none", "hinge", "log1p", "ratio"],
        bound_at: PositiveFloat | None,
        detach: Literal["none", "coarse", "fine", "latents", "conv"],
        view: Literal["descaled", "scaled", "mean", "innovation"],
        same_resolution: Literal["last", "concatenate"],
        alignment: Literal["haar", "low_band", "average_pool", "strided_conv"],
        conv: Literal["trained", "unit_norm", "frozen_random", "frozen_orthogonal", "least_squares", "adversarial"],
        conv_bias: bool,
        top: Literal["bias", "none"],
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
        super().__init__(
            delta=delta,
            direction=SIGNS[sign],
            lowest=-largest(metric, bound, bound_at),
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
        self.metric, self.centred = METRICS[metric], metric in NORMALISED
        self.distance = bounded(self.metric, bound, bound_at)
        self.detach, self.top = detach, top
        self.alignment, self.conv, self.conv_bias = alignment, conv, conv_bias
        self.aligners = nn.ModuleDict()

    def prepare(self, pairs: Pairs) -> None:
        """Make one aligner per pair."""
        for pair, (coarse, fine) in pairs.items():
            self.aligners[str(pair)] = Aligner(
                fine.shape[1], coarse.shape[1], alignment=self.alignment, conv=self.conv, bias=self.conv_bias
            )
        if self.detach == "conv":
            self.aligners.requires_grad_(False)

    def first_partner(self, output: CodecOutput, codec: str) -> Tensor | None:
        if self.top == "none":
            return None
        bias = scaling.learned_bias(output)
        if bias is None:
            log.warning("%s has no learned bias, so its coarsest latent is compared with nothing", codec)
        elif self.centred:
            log.warning("the learned bias is constant over an image, which this metric takes away: it is left out")
            return None
        return bias

    def partner(self, output: CodecOutput) -> Tensor | None:
        return scaling.learned_bias(output) if "1" in self.aligners else None

    def measure(self, pairs: Pairs) -> dict[int, Tensor]:
        """The bounded distance of each pair."""
        found = {}
        for pair, (z_coarse, z_fine) in pairs.items():
            coarse = z_coarse.detach() if self.detach in ("coarse", "latents") else z_coarse
            fine = z_fine.detach() if self.detach in ("fine", "latents") else z_fine
            predicted = self._aligner(pair)(fine, coarse, detach=self.detach == "conv" or self.conv == "adversarial")
            found[pair] = self.distance(coarse, predicted)
        return found

    def follow(self, pairs: Pairs, seen: scaling.LastBatch) -> None:
        """From the start on, what the adversarial convolution minimises: the metric, which a bound would flatten."""
        if self.conv != "adversarial" or self.factor is None:
            return
        fixed = {pair: (coarse.detach(), fine.detach()) for pair, (coarse, fine) in pairs.items()}
        losses = [self.metric(coarse, self._aligner(pair)(fine, coarse)) for pair, (coarse, fine) in fixed.items()]
        seen.predictor_loss = torch.stack(losses).sum()

    @torch.no_grad()
    def scalars(self) -> dict[str, float]:
        found = super().scalars()
        norms = {int(pair): self._aligner(int(pair)).norm() for pair in self.aligners if self.seen is not None}
        return found | {names.inter_conv_norm(pair): float(norm) for pair, norm in norms.items() if norm is not None}

    def _aligner(self, pair: int) -> Aligner:
        aligner = self.aligners[str(pair)]
        assert isinstance(aligner, Aligner)
        return aligner
