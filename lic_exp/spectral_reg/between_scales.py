"""What every term between adjacent latents does: when it is on, of which latents, who watches it, what it tells."""

import logging
import math
from collections.abc import Hashable
from typing import ClassVar, Literal

import torch
from torch import Tensor

from lic_exp.conditions import Not
from lic_exp.models.base import Codec, CodecOutput
from lic_exp.ops.ranks import mean, whole_batch
from lic_exp.requirements import Forbids, OnsetOptions, declares
from lic_exp.spectral_reg import scales as scaling
from lic_exp.spectral_reg.base import Progress, SpectralRegularizer
from lic_exp.spectral_reg.guard import GradientRatio, Guard, respond
from lic_exp.spectral_reg.schedules import Onset
from lic_exp.tracking import names

log = logging.getLogger("lic_exp.spectral_reg")

Pairs = dict[int, tuple[Tensor, Tensor]]
"""{l: (z_{l-1}, z_l)}: latents (B, C, h, w) and (B, C', H, W) with h = ceil(H / 2), w = ceil(W / 2)."""


@declares(
    Forbids(
        {"gradient_cap": Not(None), "gradient_every_steps": None},
        "gradient_cap needs the ratio to be measured: give gradient_every_steps",
    ),
    Forbids(
        {"gradient_every_steps": Not(None)},
        "{here}gradient_every_steps={gradient_every_steps}: a compiled codec hides the gradient at its latents; set "
        "{here}gradient_every_steps=null, or trainer.compile=false",
        beside={"trainer.compile": (True, "graphs")},
    ),
    Forbids(
        {"start": None},
        "{here}start=null: give the epoch, step or share from which on the term is part of the loss",
        alone=True,
    ),
    OnsetOptions(start="start", ramp="ramp", unit="unit", weight="delta"),
)
class BetweenScales(SpectralRegularizer):
    """A number of each pair of adjacent latents, summed and weighed into the loss, from a start on.

    delta: weight; 0 reports everything and adds no gradient. direction: 1 adds the sum to the loss, -1 subtracts it.
    lowest: the least that a pair can add to the loss, over delta; -inf where there is no bound.
    view, same_resolution: which latents, `scales.select`.
    start, ramp, unit: `schedules.Onset`. A start of None leaves it to `two_stage.TwoStage`.
    gradient_cap: bound of |g_term| / |g_loss| at the latents, `guard.GradientRatio`; measured every
        gradient_every_steps steps, with the cap or without. None measures nothing, as in a compiled codec, where
        the latents cannot be told from what is computed of them.
    guard_std_factor, guard_std_floor: `guard.Guard`, asked every guard_every_steps steps and after every validation. A
        negative loss is warned of once, unless a bounded term can have made it so.
    on_breach: "stop" the run as diverged, or "switch_off" the term for the rest of it.

    With accumulation each part of a batch is compared by itself. Several ranks' parts are compared together: each
    gathers the latents of all, and computes the same. All arithmetic is float32, also under autocast.
    """

    total_name: ClassVar[str]
    """What the sum is called in the log; `names.of_pair` has a pair's own."""
    off: Tensor

    def __init__(
        self,
        *,
        delta: float,
        direction: float,
        lowest: float,
        view: str,
        same_resolution: str,
        start: float | None,
        ramp: float,
        unit: Literal["epoch", "step", "share"],
        gradient_cap: float | None,
        gradient_every_steps: int | None,
        guard_std_factor: float,
        guard_std_floor: float,
        guard_every_steps: int,
        on_breach: Literal["stop", "switch_off"],
    ) -> None:
        super().__init__()
        self.delta, self.direction, self.lowest = delta, direction, lowest
        self.view, self.same_resolution = view, same_resolution
        self.start, self.ramp, self.unit = start, ramp, unit
        self.onset = None if start is None else Onset(start, ramp, unit)
        self.gradient_every_steps, self.guard_every_steps = gradient_every_steps, guard_every_steps
        self.on_breach = on_breach
        self.guard_options = {"factor": guard_std_factor, "floor": guard_std_floor}
        self.gradients = GradientRatio(gradient_cap)
        self.register_buffer("off", torch.zeros(()))
        self.guard: Guard | None = None
        self.factor: float | None = None
        self.weight: Tensor | None = None
        self.step = 0
        self.seen: scaling.LastBatch | None = None
        self._warned = False

    def prepare(self, pairs: Pairs) -> None:
        """Make what these pairs of the codec need. Raises ValueError where they cannot be worked on."""
        raise NotImplementedError

    def measure(self, pairs: Pairs) -> dict[int, Tensor]:
        """What is weighed of each pair, a scalar with a gradient; nothing else changes."""
        raise NotImplementedError

    def partner(self, output: CodecOutput) -> Tensor | None:
        """What the coarsest latent is paired with, (1, C, 1, 1); None where it is paired with nothing."""
        return None

    def follow(self, pairs: Pairs, seen: scaling.LastBatch) -> None:
        """Learn from a training batch, before the start as well as after."""

    def start_at(self, start: float) -> None:
        """Begin there, in `unit`, instead of at an own start."""
        self.onset = Onset(start, self.ramp, self.unit)

    def attach(self, codec: Codec) -> None:
        """Prepare for the codec's pairs of scales. Raises ValueError where its latents are no pyramid."""
        output = codec.sample_output()
        scales = scaling.select(output, self.view, self.same_resolution)
        scaling.check_pyramid(scales)
        self.guard = Guard(len(scales), **self.guard_options)
        if codec.facts.nested_latents:
            log.warning("the scales of %s are nested samples of one latent: %s", type(codec).__name__, scaling.NESTED)
        self.prepare(scaling.pairs(scales, self.first_partner(output, type(codec).__name__)))

    def first_partner(self, output: CodecOutput, codec: str) -> Tensor | None:
        """As `partner`, of a codec of this name, whose log is told where it cannot be as asked."""
        return None

    def set_progress(self, progress: Progress) -> None:
        """Find whether the term is on, and with which part of its weight."""
        if self.onset is None:
            raise RuntimeError("start=null: an inter-scale term that stands alone needs a start")
        self.step = progress.step
        self.factor = self.onset.factor(getattr(progress, self.unit))
        self._follow_weight()

    def penalty(self, output: CodecOutput) -> Tensor | None:
        """What is measured of the pairs, summed, times direction, delta and ramp; a scalar, None before the start."""
        if not self.training:
            return None
        if self.guard is None:
            raise RuntimeError("attach(codec) must come before the first batch")
        with torch.autocast(output.x_hat.device.type, enabled=False):
            own, bias = scaling.select(output, self.view, self.same_resolution), self.partner(output)
            scales = [whole_batch(scale) for scale in own]
            pairs = scaling.pairs(scales, bias)
            seen = self.seen = scaling.LastBatch(scales, bias)
            if self.step % self.guard_every_steps == 0:
                self.guard.watch(seen.deviations(), active=self.factor is not None)
            if self.factor is None:
                self.follow(pairs, seen)
                return None
            with torch.set_grad_enabled(self.delta > 0 and torch.is_grad_enabled()):
                values = self.measure(pairs)
                total = torch.stack(list(values.values())).sum()
            seen.values = {pair: value.detach() for pair, value in values.items()}
            self.follow(pairs, seen)
            return self._weight_beside(total) * total

    def _weight_beside(self, total: Tensor) -> Tensor:
        """The term's weight as a tensor that stays where it is, so that a recorded step finds the one of its step."""
        if self.weight is None or self.weight.device != total.device or self.weight.dtype != total.dtype:
            self.weight = total.new_zeros(())
            self._follow_weight()
        return self.weight

    def _follow_weight(self) -> None:
        if self.weight is not None and self.factor is not None:
            self.weight.fill_(self.direction * self.delta * self.factor)

    def capture_key(self) -> Hashable | None:
        looked_at = [self.guard_every_steps, *self.acted_every_steps()]
        if self.gradient_every_steps is not None:
            looked_at.append(self.gradient_every_steps)
        return None if any(self.step % every == 0 for every in looked_at) else (self.factor is not None,)

    def acted_every_steps(self) -> list[int]:
        """How often `follow` does more than at other steps."""
        return []

    def weigh(self, penalty: Tensor, output: CodecOutput, terms: dict[str, Tensor]) -> Tensor:
        """Cap the penalty by its gradient, ask the guard, and add the adversarial predictor's loss.

        Raises DivergedError where the guard says so and on_breach is "stop".
        """
        seen = self.seen
        assert seen is not None
        loss = terms["loss"]
        if self.gradient_every_steps is not None and self.step % self.gradient_every_steps == 0:
            self.gradients.measure(penalty, loss, scaling.gradient_inputs(output, self.view))
        penalty = penalty * self.gradients.factor * (1 - self.off)
        whole = mean(loss.detach())
        if self.delta > 0 and self.step % self.guard_every_steps == 0:
            self._ask_guard(seen, whole + penalty.detach())
            penalty = penalty * (1 - self.off)
        seen.share = penalty.detach() / whole
        if seen.predictor_loss is not None:
            # A value of 0 with a gradient: the loss stays what the codec is trained on.
            penalty = penalty + (seen.predictor_loss - seen.predictor_loss.detach())
            seen.predictor_loss = None  # or its graph, and the streams that it was made on, would outlive the step
        return penalty

    def _ask_guard(self, seen: scaling.LastBatch, loss: Tensor) -> None:
        assert self.guard is not None
        if self.off:
            return
        deviations = seen.deviations()
        total, *values = torch.cat((loss.reshape(1).double(), deviations.double())).tolist()
        # A loss that is not finite is for the step to judge, by `trainer.on_nonfinite`.
        self._respond(self.guard.breach(values) if math.isfinite(total) else None, self.step)
        # A bounded term may make a small loss negative by that much, and one without a bound must not at all.
        lowest = 0.0 if math.isinf(self.lowest) else self.delta * self.lowest * len(seen.values)
        if total < lowest and not self._warned:
            self._warned = True
            log.warning(
                "the loss is negative at step %d (%.4g), which no rate and distortion can make: the inter-scale term "
                "outweighs them; its latents and %s are watched",
                *(self.step, total, names.VAL_RD_LOSS),
            )

    def after_validation(self, now: float, best: float, step: int) -> None:
        if self.guard is not None and self.factor is not None and self.delta > 0 and not self.off:
            self._respond(self.guard.bad_run(now, best), step)

    def _respond(self, reason: str | None, step: int) -> None:
        if reason is not None:
            respond(reason, step, stop=self.on_breach == "stop")
            self.off.fill_(1)

    @torch.no_grad()
    def scalars(self) -> dict[str, float]:
        """The term, its parts and how the latents do; what costs anything is computed here, when a log is due."""
        found = {names.SPECTRAL_PHASE: float(names.PHASES["baseline" if self.factor is None else "phase2_inter"])}
        seen = self.seen
        if seen is None:
            return found
        values = seen.values or self.measure(scaling.pairs(seen.scales, seen.bias))
        weight = self.direction * self.delta * (self.factor or 0.0)
        found |= {names.of_pair(self.total_name, pair): float(value) for pair, value in values.items()}
        found[self.total_name] = float(sum(values.values()))
        found[names.INTER_WEIGHT] = weight * float(self.gradients.factor * (1 - self.off))
        found[names.INTER_SHARE] = 0.0 if seen.share is None else float(seen.share)
        if self.gradient_every_steps is not None:
            found[names.INTER_GRADIENT_RATIO] = float(self.gradients.ratio)
        return found | dict(scaling.health(seen.scales))
