"""The parts of a run that differ in batches, rates or optimizer, and where a step stands in them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lic_exp.data.loading import TrainLoader
from lic_exp.optimizers.groups import Optimizers
from lic_exp.optimizers.schedules import Schedule
from lic_exp.progress import Progress


@dataclass(frozen=True)
class Setup:
    """What a stage trains with."""

    optimizers: Optimizers
    schedule: Schedule
    loader: TrainLoader


@dataclass(frozen=True)
class Stage:
    """A part of the run: `steps` steps with what `build` makes when the stage begins.

    reset_optimizer: begin with fresh moments instead of the former stage's.
    """

    steps: int
    build: Callable[[], Setup]
    reset_optimizer: bool = False


class Course:
    """The stages one after the other, of which one is current.

    index: of the current stage. first_epoch: of the current stage, counted from the beginning of the run.
    """

    def __init__(self, stages: Sequence[Stage]) -> None:
        self.stages = stages
        self.max_steps = sum(stage.steps for stage in stages)
        self.resume(0, 0)

    def resume(self, index: int, first_epoch: int) -> None:
        """Build stage `index` as if nothing came before it."""
        self.index, self.first_epoch = index, first_epoch
        self.setup = self.stages[index].build()

    def advance(self) -> None:
        """Build the next stage; its optimizer goes on with the current moments unless it is to be reset."""
        former, steps = self.setup, self.stages[self.index].steps
        self.resume(self.index + 1, self.first_epoch + math.ceil(steps / former.loader.steps_per_epoch))
        if not self.stages[self.index].reset_optimizer:
            self.setup.optimizers.take_moments_of(former.optimizers)

    @property
    def first_step(self) -> int:
        """Of the current stage."""
        return sum(stage.steps for stage in self.stages[: self.index])

    @property
    def end_step(self) -> int:
        """The first step after the current stage."""
        return self.first_step + self.stages[self.index].steps

    def batch(self, step: int) -> int:
        """Which batch of the current stage's loader a step gets; every stage begins with a whole epoch."""
        return self.first_epoch * self.setup.loader.steps_per_epoch + step - self.first_step

    def progress(self, step: int) -> Progress:
        """Where the whole run stands; epochs are counted on from stage to stage."""
        epochs = (step - self.first_step) // self.setup.loader.steps_per_epoch
        return Progress(step, self.first_epoch + epochs, step / self.max_steps)

    def stage_progress(self, step: int) -> Progress:
        """The same seen from the stage's beginning, which is what its learning-rate schedule counts from."""
        done = step - self.first_step
        return Progress(done, self.progress(step).epoch - self.first_epoch, done / self.stages[self.index].steps)
