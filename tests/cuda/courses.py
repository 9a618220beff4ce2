"""Short trainings of shipped codecs on a GPU, step by step, to be compared with each other."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
import training_parts as parts
from torch import Tensor

import lic_exp
from lic_exp.data.batches import Batch
from lic_exp.optimizers import factories
from lic_exp.optimizers.cautious_adam import CautiousAdam
from lic_exp.optimizers.groups import Optimizers
from lic_exp.progress import Progress
from lic_exp.training.criterion import MSE
from lic_exp.training.objective import Objective
from lic_exp.training.stepper import Stepper

LR = 2.0**-10
"""The same in float32, in which recorded steps are told it."""
STEPS = 12

adam = partial(factories.adam, lr=LR, betas=[0.9, 0.999], eps=1e-8, weight_decay=0.0)
sgd = partial(factories.sgd, lr=LR, momentum=0.9, nesterov=True, weight_decay=0.0)
cautious = partial(CautiousAdam, lr=LR, betas=[0.9, 0.999], eps=1e-8, weight_decay=2.0**-6, max_rescale=10.0)


@dataclass
class Course:
    """What a training was and became. uncaptured: steps from which on nothing was recorded. skipped: by the gate."""

    losses: list[float] = field(default_factory=list)
    start: Tensor = field(default_factory=lambda: torch.empty(0))
    end: Tensor = field(default_factory=lambda: torch.empty(0))
    uncaptured: list[int] = field(default_factory=list)
    skipped: list[int] = field(default_factory=list)
    recorded: list[int] = field(default_factory=list)


def shipped(name: str, term: str = "none", criterion: Any = None, **options: Any) -> Objective:
    """A shipped codec with its usual criterion and a regularizer, on the GPU."""
    codec = lic_exp.create_model(name)
    regularizer = lic_exp.create_regularizer(term, **options)
    if regularizer is not None:
        regularizer.attach(codec)
    usual = parts.variable_rate() if codec.facts.variable_rate else MSE(lmbda=0.01)
    of = Objective(codec, criterion or usual, {"spectral_reg": regularizer} if regularizer else {})
    return of.to("cuda").train()


def image(step: int, side: int, batch: int = 2) -> Tensor:
    """What a step is given (batch, 3, side, side); another for every step."""
    coarse = torch.rand(batch, 3, 9, 9, generator=torch.Generator().manual_seed(step))
    return torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic").clamp(0, 1).to("cuda")


def made(
    of: Objective,
    how: bool | str,
    *,
    steps: int = STEPS,
    side: int | None = None,
    factory: Callable[..., Any] = adam,
    bad: tuple[int, ...] = (),
    new_stage_at: int | None = None,
    slower_at: int | None = None,
    **stepping: Any,
) -> Course:
    """Train. bad: steps whose images have a NaN. new_stage_at, slower_at: steps before which moments go to another
    optimizer, and the learning rate is halved.
    """
    course = Course(start=_weights(of))
    side = side or max(64, of.codec.facts.downsampling_factor)
    optimizers = parts.optimizers(of, factory, lr=LR, aux_lr=LR)
    stepper = _stepper(of, optimizers, how, course, stepping)
    for step in range(steps):
        if step == new_stage_at:
            course.recorded.append(_recordings(stepper))
            former, optimizers = optimizers, parts.optimizers(of, factory, lr=LR, aux_lr=LR)
            optimizers.take_moments_of(former)
            stepper = _stepper(of, optimizers, how, course, stepping)
        if step == slower_at:
            for group in optimizers.net.param_groups:
                group["lr"] /= 2
        x = image(step, side)
        if step in bad:
            x[0, 0, 0, 0] = torch.nan
        done = stepper.step(Batch(x, ["one", "two"]), Progress(step, step, step / steps))
        course.losses.append(float(done.terms["loss"]))
        course.skipped += [error.step for error in stepper.take_pending()]
    course.recorded.append(_recordings(stepper))
    course.end = _weights(of)
    return course


def assert_alike(one: Course, other: Course, share: float = 0.02) -> None:
    """Both went the same way: losses alike, and weights further apart by no more than this share of the way."""
    torch.testing.assert_close(
        torch.tensor(one.losses), torch.tensor(other.losses), rtol=2e-3, atol=1e-4, equal_nan=True
    )
    assert one.skipped == other.skipped
    assert torch.equal(one.start, other.start)
    way, apart = (one.end - one.start).norm(), (one.end - other.end).norm()
    assert way > 0
    assert apart <= share * way, f"{float(apart / way):.3g} of the way apart"


def _stepper(of: Objective, optimizers: Optimizers, how: bool | str, course: Course, stepping: Any) -> Stepper:
    options = parts.step_options(compile=how, **stepping)
    return Stepper(of, optimizers, options, torch.device("cuda"), parts.SEED, course.uncaptured.append)


def _recordings(stepper: Stepper) -> int:
    return len(stepper.captures.recorded) if stepper.captures else 0


def _weights(of: Objective) -> Tensor:
    return torch.cat([weight.detach().double().flatten() for weight in of.parameters()]).cpu()
