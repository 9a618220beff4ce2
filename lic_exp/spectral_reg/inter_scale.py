"""Inter-scale regularization (Eq. 6): adjacent latents are rewarded for being far apart, or kept from it."""

import logging
import math
from typing import Literal

import torch
from torch import Tensor, nn

from lic_exp.capabilities import RegularizerNeeds, signed_as
from lic_exp.conditions import Not
from lic_exp.models.base import Codec, CodecOutput
from lic_exp.option_types import NonNegativeFloat, PositiveFloat, PositiveInt
from lic_exp.requirements import Forbids, NoWeights, OnsetOptions, Unused, declares
from lic_exp.spectral_reg import scales as scaling
from lic_exp.spectral_reg.alignment import Aligner
from lic_exp.spectral_reg.base import Progress, SpectralRegularizer
from lic_exp.spectral_reg.distances import METRICS, bounded, largest
from lic_exp.spectral_reg.guard import GradientRatio, Guard, respond
from lic_exp.spectral_reg.schedules import Onset
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
    Forbids(
        {"gradient_cap": Not(None), "gradient_every_steps": None},
        "gradient_cap needs the ratio to be measured: give gradient_every_steps",
    ),
    Forbids(
        {"gradient_every_steps": Not(None)},
        "{here}gradient_every_steps={gradient_every_steps}: a compiled codec hides the gradient at its latents; set "
        "{here}gradient_every_steps=null, or trainer.compile=false",
        beside={"trainer.compile": True},
    ),
    Forbids(
        {"start": None},
        "{here}start=null: give the epoch, step or share from which on the term is part of the loss",
        alone=True,
    ),
    OnsetOptions(start="start", ramp="ramp", unit="unit"),
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
class InterScale(SpectralRegularizer):
    """A distance between each latent and a prediction of it from the next finer one, subtracted from the loss.

        z_l --- Haar, 4 C_l channels at half the size --- 1x1 conv --- predicted --+
                                                                                   d --- sum over l --- * -delta
        z_{l-1} (for l = 1 the codec's learned bias) ------------------------------+

    With the paper's choices this is Eq. 6, which is unbounded below: through the convolution, whose weights are in no
    other term, and through the latents, whose growth costs few bits. docs/inter_scale.md says which choices are
    sound. What the paper leaves open (mean or sum, which latent, bias and training of the convolution) is an option.

    delta: weight; 0 reports everything and adds no gradient. sign: "subtract" (paper) or "add" (control).
    metric, bound, bound_at: `distances`. bound_at is the hinge's.
    detach: what gets no gradient of the term: the "coarse" side, the "fine" one, both ("latents"), the "conv", "none".
    view, same_resolution: which latents, `scales.select`.
    alignment, conv, conv_bias: `alignment.Aligner`. With "adversarial" the convolution minimises the metric by a loss
        of its own, of value 0, while the codec gets the term.
    top: whether the coarsest latent is compared with the codec's learned "bias", where there is one, or with "none".
    start, ramp, unit: `schedules.Onset`. A start of None leaves it to `two_stage.TwoStage`.
    gradient_cap: bound of |g_term| / |g_loss| at the latents, `guard.GradientRatio`; measured every
        gradient_every_steps steps, with the cap or without. None measures nothing, as in a compiled codec, where
        the latents cannot be told from what is computed of them.
    guard_std_factor, guard_std_floor: `guard.Guard`, asked every guard_every_steps steps, when the loss must not be
        negative either, unless a bounded term can have made it so.
    on_breach: "stop" the run as diverged, or "switch_off" the term for the rest of it.

    With accumulation each part of a batch is compared by itself. All arithmetic is float32, also under autocast.
    """

    needs = RegularizerNeeds(latents=2)
    off: Tensor

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
        super().__init__()
        self.delta, self.sign = delta, SIGNS[sign]
        self.metric, self.centred = METRICS[metric], metric in NORMALISED
        self.distance, self.largest = bounded(self.metric, bound, bound_at), largest(metric, bound, bound_at)
        self.detach, self.view, self.same_resolution, self.top = detach, view, same_resolution, top
        self.alignment, self.conv, self.conv_bias = alignment, conv, conv_bias
        self.start, self.ramp, self.unit = start, ramp, unit
        self.onset = None if start is None else Onset(start, ramp, unit)
        self.gradient_every_steps, self.guard_every_steps = gradient_every_steps, guard_every_steps
        self.on_breach = on_breach
        self.guard_options = {"factor": guard_std_factor, "floor": guard_std_floor}
        self.gradients = GradientRatio(gradient_cap)
        self.register_buffer("off", torch.zeros(()))
        self.aligners = nn.ModuleDict()
        self.guard: Guard | None = None
        self.factor: float | None = None
        self.step = 0
        self._seen: scaling.LastBatch | None = None

    def start_at(self, start: float) -> None:
        """Begin there, in `unit`, instead of at an own start."""
        self.onset = Onset(start, self.ramp, self.unit)

    def attach(self, codec: Codec) -> None:
        """Make one aligner per pair of adjacent scales. Raises ValueError where the codec's latents are no pyramid."""
        output = codec.sample_output()
        scales = scaling.select(output, self.view, self.same_resolution)
        scaling.check_pyramid(scales)
        self.guard = Guard(len(scales), **self.guard_options)
        name = type(codec).__name__
        if codec.facts.nested_latents:
            log.warning("the scales of %s are nested samples of one latent: %s", name, scaling.NESTED)
        for pair, (coarse, fine) in scaling.pairs(scales, self._partner(output, name)).items():
            self.aligners[str(pair)] = Aligner(
                fine.shape[1], coarse.shape[1], alignment=self.alignment, conv=self.conv, bias=self.conv_bias
            )
        if self.detach == "conv":
            self.aligners.requires_grad_(False)

    def _partner(self, output: CodecOutput, codec: str) -> Tensor | None:
        """What the coarsest latent is compared with; the log says so where it cannot be as asked."""
        if self.top == "none":
            return None
        bias = scaling.learned_bias(output)
        if bias is None:
            log.warning("%s has no learned bias, so its coarsest latent is compared with nothing", codec)
        elif self.centred:
            log.warning("the learned bias is constant over an image, which this metric takes away: it is left out")
            return None
        return bias

    def set_progress(self, progress: Progress) -> None:
        """Find whether the term is on, and with which part of its weight."""
        if self.onset is None:
            raise RuntimeError("start=null: an inter-scale term that stands alone needs a start")
        self.step = progress.step
        self.factor = self.onset.factor(getattr(progress, self.unit))

    def penalty(self, output: CodecOutput) -> Tensor | None:
        """The batch's distances summed over the pairs, times sign, delta and ramp; a scalar, None before the start."""
        if not self.training:
            return None
        if self.guard is None:
            raise RuntimeError("attach(codec) must come before the first batch")
        with torch.autocast(output.x_hat.device.type, enabled=False):
            scales = scaling.select(output, self.view, self.same_resolution)
            bias = scaling.learned_bias(output) if "1" in self.aligners else None
            pairs = scaling.pairs(scales, bias)
            seen = self._seen = scaling.LastBatch(scales, bias)
            if self.step % self.guard_every_steps == 0:
                self.guard.watch(seen.deviations(), active=self.factor is not None)
            if self.factor is None:
                return None
            with torch.set_grad_enabled(self.delta > 0 and torch.is_grad_enabled()):
                distances = self._distances(pairs)
                total = torch.stack(list(distances.values())).sum()
            seen.distances = {pair: distance.detach() for pair, distance in distances.items()}
            if self.conv == "adversarial":
                seen.predictor_loss = self._predictor_loss(pairs)
            return self.sign * self.delta * self.factor * total

    def _distances(self, pairs: dict[int, tuple[Tensor, Tensor]]) -> dict[int, Tensor]:
        """The bounded distance of each pair."""
        found = {}
        for pair, (z_coarse, z_fine) in pairs.items():
            coarse = z_coarse.detach() if self.detach in ("coarse", "latents") else z_coarse
            fine = z_fine.detach() if self.detach in ("fine", "latents") else z_fine
            predicted = self._aligner(pair)(fine, coarse, detach=self.detach == "conv" or self.conv == "adversarial")
            found[pair] = self.distance(coarse, predicted)
        return found

    def _predictor_loss(self, pairs: dict[int, tuple[Tensor, Tensor]]) -> Tensor:
        """What the adversarial convolution minimises: the metric itself, which a bound would flatten for it."""
        fixed = {pair: (coarse.detach(), fine.detach()) for pair, (coarse, fine) in pairs.items()}
        losses = [self.metric(coarse, self._aligner(pair)(fine, coarse)) for pair, (coarse, fine) in fixed.items()]
        return torch.stack(losses).sum()

    def weigh(self, penalty: Tensor, output: CodecOutput, terms: dict[str, Tensor]) -> Tensor:
        """Cap the penalty by its gradient, ask the guard, and add the adversarial predictor's loss.

        Raises DivergedError where the guard says so and on_breach is "stop".
        """
        seen = self._seen
        assert seen is not None
        loss = terms["loss"]
        if self.gradient_every_steps is not None and self.step % self.gradient_every_steps == 0:
            self.gradients.measure(penalty, loss, scaling.gradient_inputs(output, self.view))
        penalty = penalty * self.gradients.factor * (1 - self.off)
        if self.delta > 0 and self.step % self.guard_every_steps == 0:
            self._ask_guard(seen.deviations(), (loss + penalty).detach())
            penalty = penalty * (1 - self.off)
        seen.share = penalty.detach() / loss.detach()
        if seen.predictor_loss is not None:
            # A value of 0 with a gradient: the loss stays what the codec is trained on.
            penalty = penalty + (seen.predictor_loss - seen.predictor_loss.detach())
        return penalty

    def _ask_guard(self, deviations: Tensor, loss: Tensor) -> None:
        assert self.guard is not None
        # A bounded term may make a small loss negative by that much, and one without a bound must not at all.
        lowest = 0.0 if math.isinf(self.largest) else -self.delta * self.largest * len(self.aligners)
        reason = None if self.off else self.guard.breach(deviations, loss, lowest=lowest)
        if reason is not None:
            respond(reason, self.step, stop=self.on_breach == "stop")
            self.off.fill_(1)

    @torch.no_grad()
    def scalars(self) -> dict[str, float]:
        """The term, its parts and how the latents do; what costs anything is computed here, when a log is due."""
        found = {names.SPECTRAL_PHASE: float(names.PHASES["baseline" if self.factor is None else "phase2_inter"])}
        seen = self._seen
        if seen is None:
            return found
        distances = seen.distances or self._distances(scaling.pairs(seen.scales, seen.bias))
        weight = self.sign * self.delta * (self.factor or 0.0)
        found |= {names.inter_distance(pair): float(distance) for pair, distance in distances.items()}
        found[names.INTER_DISTANCE] = float(sum(distances.values()))
        found[names.INTER_WEIGHT] = weight * float(self.gradients.factor * (1 - self.off))
        found[names.INTER_SHARE] = 0.0 if seen.share is None else float(seen.share)
        if self.gradient_every_steps is not None:
            found[names.INTER_GRADIENT_RATIO] = float(self.gradients.ratio)
        norms = {pair: self._aligner(pair).norm() for pair in distances}
        found |= {names.inter_conv_norm(pair): float(norm) for pair, norm in norms.items() if norm is not None}
        return found | dict(scaling.health(seen.scales))

    def _aligner(self, pair: int) -> Aligner:
        aligner = self.aligners[str(pair)]
        assert isinstance(aligner, Aligner)
        return aligner
