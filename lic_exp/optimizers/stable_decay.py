"""Warm-up, a constant rate, and a decay at the end: the schedule of a trunk that branches are taken from."""

import math
from typing import Literal

import torch

from lic_exp.capabilities import signed_as
from lic_exp.conditions import Above
from lic_exp.optimizers.schedules import Schedule
from lic_exp.option_types import NonNegativeFloat, NonNegativeInt, Share
from lic_exp.progress import Progress
from lic_exp.requirements import Forbids, declares


@signed_as("stable_decay")
@declares(
    Forbids(
        {"unit": "share", "decay_from": 0},
        "{here}decay_from=0 leaves nothing of the constant rate: scheduler=cosine decays throughout",
    ),
    Forbids(
        {"unit": "share", "decay_from": Above(1)},
        "{here}decay_from={decay_from:g} is no share of the training: it must be in (0, 1], and 1 never decays",
    ),
)
class StableDecay(Schedule):
    """The configured rate up to `decay_from`, then lr (final_factor + (1 - final_factor) f(p)), with p from 0 to 1:

    f = 1 - p ("linear") or 1 - sqrt(p) ("one_minus_sqrt"; Haegele et al., 2024, where it is called a cool-down). With
    the warm-up before it, the schedule is known as WSD (warmup-stable-decay; Hu et al., 2024).

    decay_from: "share" of the training, or "step". One at or past the end never decays: such a run is a trunk, and
        others branch off from its checkpoints with a decay of their own (`parent_step`).

    Raises ValueError for a step that is no whole number.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        *,
        decay_from: NonNegativeFloat,
        unit: Literal["share", "step"],
        shape: Literal["linear", "one_minus_sqrt"],
        final_factor: Share,
        warmup_steps: NonNegativeInt,
    ) -> None:
        super().__init__(optimizer, warmup_steps=warmup_steps)
        if unit == "step" and decay_from % 1:
            raise ValueError(f"decay_from={decay_from}: with unit=step it must be a whole number")
        self.decay_from, self.unit, self.shape, self.final_factor = decay_from, unit, shape, final_factor

    def scheduled(self, base_lr: float, progress: Progress) -> float:
        now = progress.share if self.unit == "share" else progress.step
        if now <= self.decay_from:
            return base_lr
        end = 1.0 if self.unit == "share" else progress.step / progress.share
        position = (now - self.decay_from) / (end - self.decay_from)
        left = 1 - position if self.shape == "linear" else 1 - math.sqrt(position)
        return base_lr * (self.final_factor + (1 - self.final_factor) * left)
