"""A step of every stage that is thrown away, so that what does not work or fit fails before hours of training."""

import contextlib
import math
from collections.abc import Callable

from lic_exp.progress import Progress
from lic_exp.training.rng import rng_state, set_rng_state
from lic_exp.training.stages import Course, Setup
from lic_exp.training.stepper import Stepper

BEGINNING = Progress(0, 0, 0.0)
END = Progress(2**62, 2**62, math.nextafter(1.0, 0.0))
"""The last step, past whatever a regularizer counts in steps or epochs."""


def tried_losses(course: Course, stepper_of: Callable[[Setup], Stepper]) -> list[float]:
    """The loss of each stage's first batch, forward and backward. Random states are put back; gradients are dropped.

    Where a regularizer shows the beginning of training smaller, also that of the whole batch, as in the end: it takes
    the most memory.
    """
    before = rng_state()
    losses = []
    for stage in course.stages:
        setup = stage.build()
        with contextlib.closing(setup.loader.batches(0)) as batches:
            stepper, batch = stepper_of(setup), next(batches)
            losses.append(stepper.try_out(batch, BEGINNING).item())
            if stepper.draws.size != tuple(batch.x.shape[-2:]):
                losses.append(stepper.try_out(batch, END).item())
    set_rng_state(before)
    return losses
