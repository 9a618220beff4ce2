"""A step of every stage that is thrown away, so that what does not work or fit fails before hours of training."""

import contextlib
from collections.abc import Callable

from lic_exp.training.rng import rng_state, set_rng_state
from lic_exp.training.stages import Course, Setup
from lic_exp.training.stepper import Stepper


def tried_losses(course: Course, stepper_of: Callable[[Setup], Stepper]) -> list[float]:
    """The loss of each stage's first batch, forward and backward. Random states are put back; gradients are dropped."""
    before = rng_state()
    losses = []
    for stage in course.stages:
        setup = stage.build()
        with contextlib.closing(setup.loader.batches(0)) as batches:
            losses.append(stepper_of(setup).try_out(next(batches)).item())
    set_rng_state(before)
    return losses
