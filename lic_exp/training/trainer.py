"""The loop. It knows steps, epochs, parameter groups and numbers to log, not what the numbers mean."""

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch

from lic_exp.data.batches import Batch
from lic_exp.divergence import DivergedError
from lic_exp.models.base import Codec
from lic_exp.ops.ranks import agreed, said_by_first, world
from lic_exp.progress import Progress
from lic_exp.sections import CHECKPOINT, DATA, LOG, VALIDATION, Section
from lic_exp.tracking import names
from lic_exp.training.checkpoint import Checkpoints
from lic_exp.training.clock import Clock
from lic_exp.training.data_parallel import DataParallel
from lic_exp.training.ema import EMA
from lic_exp.training.finite import FiniteWeights
from lic_exp.training.objective import Objective
from lic_exp.training.options import TrainerOptions
from lic_exp.training.pixel_count import PixelCount
from lic_exp.training.preempted import Preempted
from lic_exp.training.rank_equality import check_ranks_equal
from lic_exp.training.rehearsal import tried_losses
from lic_exp.training.reporter import Reporter
from lic_exp.training.rng import rng_state, set_rng_state
from lic_exp.training.skipping import RolledBack, SkippedSteps
from lic_exp.training.stages import Course, Setup, Stage
from lic_exp.training.stepper import Done, NonFiniteError, StepOptions, Stepper, step_metrics


class Trainer:
    """Fetch, forward and backward, clip, check, step; log, validate and checkpoint when due.

    validate: gives the metrics of the held-out images for a codec.
    monitor: the name among them that selects the best checkpoint and drives the schedule; lower is better.
    seed: what the images of a step are given at random follows from.
    should_stop: asked at every step boundary; a reason ends the run there, after a checkpoint.

    Of several ranks each has one. They stop, skip and validate together, and are compared now and then.
    """

    def __init__(
        self,
        objective: Objective,
        stages: Sequence[Stage],
        validate: Callable[[Codec], dict[str, float]],
        monitor: str,
        checkpoints: Checkpoints,
        reporter: Reporter,
        step_options: StepOptions,
        options: TrainerOptions,
        device: torch.device,
        seed: int,
        should_stop: Callable[[], str | None] = lambda: None,
    ) -> None:
        self.objective, self.device, self.seed = objective, device, seed
        self.validate, self.monitor = validate, monitor
        self.checkpoints, self.reporter = checkpoints, reporter
        self.step_options, self.options, self.should_stop = step_options, options, should_stop
        self.step, self.dropped_before, self.best = 0, 0, float("inf")
        self.skips = SkippedSteps(options.on_nonfinite, options.nonfinite_budget)
        self.ema = EMA(objective.codec, options.ema_decay) if options.ema_decay is not None else None
        self.weights = FiniteWeights({"objective": objective, "average": self.ema})
        self.pixels = PixelCount()
        self.course = Course(stages)
        self.max_steps = self.course.max_steps
        self.parallel = DataParallel(objective, self.setup.optimizers.split, device)
        self.stepper = self._new_stepper(self.setup)

    @property
    def setup(self) -> Setup:
        """What the current stage trains with."""
        return self.course.setup

    @property
    def skipped(self) -> set[int]:
        """Steps whose updates were left out."""
        return self.skips.steps

    @property
    def dropped(self) -> int:
        """How many updates fp16's loss scaler has dropped. Waits for the device."""
        return self.dropped_before + int(self.stepper.dropped)

    def _new_stepper(self, setup: Setup) -> Stepper:
        given = setup.optimizers, self.step_options, self.device, self.seed, self._uncaptured
        return Stepper(self.objective, *given, self.parallel, self.pixels)

    def _uncaptured(self, step: int) -> None:
        """Nobody tries again: neither a later stage nor after a rollback."""
        self.step_options = replace(self.step_options, compile=True)
        self.reporter.uncaptured(step)

    def rehearse(self) -> None:
        """A step of every stage without its update, so that what does not work or fit fails now and not in days.

        Random states are put back; gradients are dropped. Raises DivergedError where nothing finite can come of it.
        """
        self.weights.check(self.step)
        self.objective.train()
        bad = [loss for loss in tried_losses(self.course, self._new_stepper) if not math.isfinite(loss)]
        if bad and self.options.on_nonfinite == "fail":
            raise DivergedError(f"the loss of a step that was tried beforehand is {bad[0]}", self.step)

    def fit(self) -> None:
        """Train from `self.step` to the last step.

        Raises DivergedError before an update that would spoil the weights, or where they are spoilt: seen before the
        first step and at every validation and checkpoint; Preempted when asked to stop; CheckpointError where there
        are no best weights of this run in the end; RanksDifferError where the ranks are not equal.
        """
        self.objective.train()
        with self._marking_divergence():
            self.weights.check(self.step)
        check_ranks_equal(self.state_dict, self.step)
        if self.options.on_nonfinite == "rollback" and said_by_first(not self.checkpoints.steps()):
            self.save()
        while self.step < self.max_steps:
            if self.step == self.course.end_step:
                self.dropped_before = self.dropped
                self.course.advance()
                self.stepper = self._new_stepper(self.setup)
            # Ends before the stage does only after a rollback, which starts the batches anew.
            with contextlib.suppress(RolledBack), self._marking_divergence():
                self._run_stage()
        self.checkpoints.check_best()

    @contextlib.contextmanager
    def _marking_divergence(self) -> Iterator[None]:
        """Leaves a mark among the metrics where training ends by diverging, beside the reason that is raised."""
        try:
            yield
        except DivergedError:
            epoch = self.course.progress(self.step).epoch
            self.reporter.log({names.TRAIN_DIVERGED: 1.0}, step=self.step, epoch=epoch)
            raise

    def _run_stage(self) -> None:
        """Steps of the current stage from `self.step` on."""
        course = self.course
        with contextlib.closing(self.setup.loader.batches(course.batch(self.step))) as batches:
            clock = Clock(self.step)
            while self.step < course.end_step:
                self._stop_if_asked()
                batch, progress = self._next(batches), course.progress(self.step)
                self.setup.schedule.before_step(course.stage_progress(self.step))
                done = None if self.step in self.skipped else self._attempt(batch, progress)
                self.step += 1
                if self._due(self.options.log_every_steps):
                    self._check_pending()
                    made = None if self.step - 1 in self.skipped else done
                    self._log(made, progress.epoch, clock.steps_per_s(self.step) * len(batch.x) * world())
                if self._due(self.options.validate_every_steps):
                    with clock.paused():
                        self._validate(progress.epoch)
                if self._due(self.options.checkpoint_every_steps):
                    self._check_pending()
                    self.save()
                elif self.step % self.options.compare_ranks_every_steps == 0:
                    check_ranks_equal(self.state_dict, self.step)
                self.reporter.advance(self.step)
            self._check_pending()

    @Section(DATA)
    def _next(self, batches: Iterator[Batch]) -> Batch:
        """The next batch. A cluster's SIGTERM ends the loader's workers too, which is then no failure of theirs."""
        try:
            return next(batches)
        except Exception:
            if world() > 1 and self.should_stop():  # after this step, which the other ranks wait in
                return self.setup.loader.batch(self.course.batch(self.step))
            self._stop_if_asked()
            raise

    def _due(self, every_steps: int) -> bool:
        return self.step % every_steps == 0 or self.step == self.max_steps

    def _attempt(self, batch: Batch, progress: Progress) -> Done | None:
        """The step, or None where it was skipped."""
        try:
            done = self.stepper.step(batch, progress)
        except NonFiniteError as error:
            self._skip(error)
            return None
        if self.ema is not None:
            self.ema.update(self.objective.codec, done.updated)
        return done

    @Section(LOG)
    def _check_pending(self) -> None:
        for error in self.stepper.take_pending():
            self._skip(error)

    def _skip(self, error: NonFiniteError) -> None:
        """Accept a skipped update within the budget, going back to the last checkpoint if so configured; or raise."""
        self.skips.accept(error)
        if self.options.on_nonfinite == "skip":
            self.weights.check(error.step, "which no skipping mends")
        if self.options.on_nonfinite == "rollback":
            skipped = self.skipped
            self.resume()
            self.skips.steps |= skipped
            raise RolledBack

    def _stop_if_asked(self) -> None:
        if reason := agreed(self.should_stop()):
            self._check_pending()
            self.save()
            raise Preempted(f"{reason}: stopped after step {self.step} of {self.max_steps}; its checkpoint is written")

    @Section(LOG)
    def _log(self, done: Done | None, epoch: int, images_per_s: float) -> None:
        left_out = float(len(self.skipped) + self.dropped)
        own = {names.TRAIN_IMAGES_PER_S: images_per_s, names.TRAIN_SKIPPED_STEPS: left_out} | self.pixels.scalars()
        metrics = step_metrics(done, self.setup.optimizers) | own | self.objective.scalars()
        self.reporter.log(metrics, step=self.step, epoch=epoch)

    @Section(VALIDATION)
    def _validate(self, epoch: int) -> None:
        metrics = self.validate(self._judged())
        self.reporter.log(metrics, step=self.step, epoch=epoch)
        monitored = metrics[self.monitor]
        if not math.isfinite(monitored):
            self._check_pending()  # an update that is not finite is the better reason
            raise DivergedError(
                f"{self.monitor} is {monitored} in the validation after step {self.step}: the weights are spoilt",
                self.step,
            )
        self.weights.check(self.step)
        self.objective.after_validation(monitored, self.best, self.step)
        self.setup.schedule.after_validation(monitored)
        if monitored < self.best:
            self.best = monitored
            self.checkpoints.save_best({"step": self.step, "codec": self._judged().weights_for_coding()})

    def _judged(self) -> Codec:
        return self.ema.codec if self.ema is not None and self.options.eval_weights == "ema" else self.objective.codec

    @Section(CHECKPOINT)
    def save(self) -> None:
        """Write a checkpoint of this step boundary. Raises DivergedError, and writes none, where weights are spoilt."""
        self.weights.check(self.step)
        check_ranks_equal(self.state_dict, self.step)
        self.checkpoints.save_step(self.step, self.state_dict())

    def resume(self) -> bool:
        """Go on from the newest checkpoint that can be read; False where there is none."""
        if (state := self.checkpoints.load_newest()) is None:
            return False
        self.load_state_dict(state)
        self.reporter.rewind(state["recorded"])
        return True

    def state_dict(self) -> dict[str, Any]:
        """All that the rest of the run depends on; plain containers and tensors only."""
        return {
            "step": self.step,
            "best": self.best,
            "stage": self.course.index,
            "first_epoch": self.course.first_epoch,
            "skipped": sorted(self.skipped),
            "dropped": self.dropped,
            "recorded": self.reporter.position(),
            "pixels": self.pixels.state_dict(),
            **self.objective.trained(),
            "ema": None if self.ema is None else self.ema.state_dict(),
            "optimizers": self.setup.optimizers.state_dict(),
            "schedule": self.setup.schedule.state_dict(),
            "scaler": self.stepper.scaler.state_dict(),
            "rng": rng_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Stand where `state_dict` was taken. Raises what its parts raise where they were built otherwise."""
        self.course.resume(state["stage"], state["first_epoch"])
        self.step, self.best, self.skips.steps = state["step"], state["best"], set(state["skipped"])
        self.dropped_before = state.get("dropped", 0)  # which the checkpoints of earlier versions do not say
        self.pixels.load_state_dict(state.get("pixels"))
        self.objective.load_trained(state)
        if self.ema is not None:
            self.ema.load_state_dict(state["ema"])
        self.setup.optimizers.load_state_dict(state["optimizers"])
        self.setup.schedule.load_state_dict(state["schedule"])
        self.stepper = self._new_stepper(self.setup)
        self.stepper.scaler.load_state_dict(state["scaler"])
        set_rng_state(state["rng"])
