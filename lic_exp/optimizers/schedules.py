"""Learning rates over a training run: lr = the group's configured lr x warm-up x the schedule's own factor.

A schedule governs every group of the net optimizer; the quantiles' optimizer keeps its rate.
"""

import math
from itertools import pairwise
from typing import Any, Literal

import torch

from lic_exp.capabilities import signed_as
from lic_exp.option_types import NonNegativeFloat, NonNegativeInt, PositiveFloat, Reduction, Share
from lic_exp.progress import Progress


class Schedule:
    """Sets the learning rates before every step.

    Build it on a freshly built optimizer: a loaded state replaces the configured rates by scheduled ones.
    Warm-up is linear, from lr / warmup_steps in the first step to lr in the last of them; 0 is none.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, *, warmup_steps: NonNegativeInt) -> None:
        self.optimizer = optimizer
        self.base_lrs = [float(group["lr"]) for group in optimizer.param_groups]
        self.warmup_steps = warmup_steps

    def before_step(self, progress: Progress) -> None:
        """Set every group's lr for the step that follows `progress.step` done ones."""
        warmup = min(1.0, (progress.step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
        for group, base_lr in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = warmup * self.scheduled(base_lr, progress)

    def scheduled(self, base_lr: float, progress: Progress) -> float:
        """The rate, without warm-up, of a group whose configured rate is `base_lr`."""
        raise NotImplementedError

    def after_validation(self, rd_loss: float) -> None:
        """Told `val/rd_loss` after every validation."""

    def state_dict(self) -> dict[str, Any]:
        return {"base_lrs": list(self.base_lrs)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume. Raises ValueError where the configured rates are not those of the saved run."""
        if state["base_lrs"] != self.base_lrs:
            raise ValueError(
                f"the schedule was saved with learning rates {state['base_lrs']} but stands on {self.base_lrs}; "
                "resume with the config that wrote the checkpoint, and build the schedule before the optimizer's "
                "state is loaded"
            )


@signed_as("constant")
class Constant(Schedule):
    """The configured rate throughout."""

    def scheduled(self, base_lr: float, progress: Progress) -> float:
        return base_lr


@signed_as("multistep")
class MultiStep(Schedule):
    """Times `gamma` at each milestone, counted in epochs or steps done or in the share of the training.

    gamma: one factor for all milestones, or one for each.

    Raises ValueError for milestones that do not rise, that are no whole epochs or steps, or no shares inside (0, 1),
    and for another number of factors.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        *,
        milestones: list[PositiveFloat],
        gamma: Reduction | list[Reduction],
        unit: Literal["epoch", "step", "share"],
        warmup_steps: NonNegativeInt,
    ) -> None:
        super().__init__(optimizer, warmup_steps=warmup_steps)
        _check_milestones(milestones, unit)
        self.milestones = list(milestones)
        self.gammas = list(gamma) if isinstance(gamma, list) else len(milestones) * [gamma]
        if len(self.gammas) != len(milestones):
            raise ValueError(f"gamma is {gamma} for {len(milestones)} milestones: give one factor, or as many")
        self.unit = unit

    def scheduled(self, base_lr: float, progress: Progress) -> float:
        done = {"epoch": progress.epoch, "step": progress.step, "share": progress.share}[self.unit]
        return base_lr * math.prod(
            factor for factor, milestone in zip(self.gammas, self.milestones, strict=True) if milestone <= done
        )


@signed_as("cosine")
class Cosine(Schedule):
    """Half a cosine over the whole training (Loshchilov and Hutter, 2017), from lr down to final_factor lr:

    lr (final_factor + (1 - final_factor) (1 + cos(pi share)) / 2).
    """

    def __init__(self, optimizer: torch.optim.Optimizer, *, final_factor: Share, warmup_steps: NonNegativeInt) -> None:
        super().__init__(optimizer, warmup_steps=warmup_steps)
        self.final_factor = final_factor

    def scheduled(self, base_lr: float, progress: Progress) -> float:
        left = (1 + math.cos(math.pi * progress.share)) / 2
        return base_lr * (self.final_factor + (1 - self.final_factor) * left)


@signed_as("plateau")
class Plateau(Schedule):
    """Times `factor` after more than `patience` validations in a row without a better `val/rd_loss`.

    Better means below (1 - threshold) best. No group falls below `min_lr`, nor rises to it. The rule is that of
    torch's ReduceLROnPlateau, which cannot be used itself: it keeps its rates in the optimizer, where warm-up is set.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        *,
        factor: Reduction,
        patience: NonNegativeInt,
        threshold: Share,
        min_lr: NonNegativeFloat,
        warmup_steps: NonNegativeInt,
    ) -> None:
        super().__init__(optimizer, warmup_steps=warmup_steps)
        self.factor = factor
        self.patience = patience
        self.threshold = threshold
        self.min_lr = min_lr
        self.best = math.inf
        self.without_better = 0
        self.reductions = 0

    def scheduled(self, base_lr: float, progress: Progress) -> float:
        return max(base_lr * self.factor**self.reductions, min(base_lr, self.min_lr))

    def after_validation(self, rd_loss: float) -> None:
        if rd_loss < self.best * (1 - self.threshold):
            self.best, self.without_better = rd_loss, 0
        else:
            self.without_better += 1
        if self.without_better > self.patience:
            self.reductions, self.without_better = self.reductions + 1, 0

    def state_dict(self) -> dict[str, Any]:
        counts = {"best": self.best, "without_better": self.without_better, "reductions": self.reductions}
        return super().state_dict() | counts

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.best, self.without_better = state["best"], state["without_better"]
        self.reductions = state["reductions"]


def _check_milestones(milestones: list[float], unit: str) -> None:
    if any(later <= earlier for earlier, later in pairwise(milestones)):
        raise ValueError(f"milestones must rise, got {list(milestones)}")
    if unit == "share" and any(not 0 < milestone < 1 for milestone in milestones):
        raise ValueError(f"milestones with unit=share must lie inside (0, 1), got {list(milestones)}")
    if unit != "share" and any(milestone != int(milestone) or milestone < 1 for milestone in milestones):
        raise ValueError(f"milestones with unit={unit} must be whole and >= 1, got {list(milestones)}")
