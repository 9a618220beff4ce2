"""The loop. It knows steps, epochs, parameter groups and numbers to log, not what the numbers mean."""

import contextlib
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch

from lic_exp.data.loading import Batch, TrainLoader
from lic_exp.divergence import DivergedError
from lic_exp.models.base import Codec
from lic_exp.optimizers.groups import Optimizers
from lic_exp.optimizers.schedules import Schedule
from lic_exp.progress import Progress
from lic_exp.training.checkpoint import Checkpoints, load_checkpoint
from lic_exp.training.ema import EMA
from lic_exp.training.objective import Objective
from lic_exp.training.rng import rng_state, set_rng_state
from lic_exp.training.stepper import Done, NonFiniteError, StepOptions, Stepper

log = logging.getLogger("lic_exp.training")


class Preempted(Exception):  # noqa: N818 (a state, not an error)
    """Training stopped at a step boundary because it was asked to, and its checkpoint is written."""


class Reporter(Protocol):
    """Where the loop's numbers go."""

    def log(self, metrics: dict[str, float], *, step: int, epoch: int) -> None:
        """Record metrics of the step that has just been done."""

    def advance(self, step: int) -> None:
        """Show that `step` steps are done; called every step."""

    def position(self) -> int:
        """How much has been recorded, to be given to `rewind` on resume."""

    def rewind(self, position: int) -> None:
        """Drop what was recorded after `position`."""


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


@dataclass(frozen=True)
class Options:
    """How often the loop does what [steps], and what it does when a number is not finite.

    on_nonfinite: "fail"; "skip" the update; "rollback" to the last checkpoint and skip it there.
    nonfinite_budget: how many updates may be skipped in the whole run.
    ema_decay: of the averaged weights, None for none. judged_weights: which give validation, best and evaluation.
    """

    log_every_steps: int
    validate_every_steps: int
    checkpoint_every_steps: int
    on_nonfinite: Literal["fail", "skip", "rollback"]
    nonfinite_budget: int
    ema_decay: float | None
    judged_weights: Literal["raw", "ema"]


class Trainer:
    """Fetch, forward and backward, clip, check, step; log, validate and checkpoint when due.

    validate: gives the metrics of the held-out images for a codec.
    monitor: the name among them that selects the best checkpoint and drives the schedule; lower is better.
    should_stop: asked at every step boundary; a reason ends the run there, after a checkpoint.
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
        options: Options,
        device: torch.device,
        should_stop: Callable[[], str | None] = lambda: None,
    ) -> None:
        self.objective = objective
        self.stages = stages
        self.validate = validate
        self.monitor = monitor
        self.checkpoints = checkpoints
        self.reporter = reporter
        self.step_options = step_options
        self.options = options
        self.device = device
        self.should_stop = should_stop
        self.step = 0
        self.best = float("inf")
        self.skipped: set[int] = set()
        self.ema = EMA(objective.codec, options.ema_decay) if options.ema_decay is not None else None
        self.max_steps = sum(stage.steps for stage in stages)
        self.stage_index = self.first_epoch = 0
        self._enter(0)

    def _enter(self, index: int, former: Setup | None = None) -> None:
        """Begin stage `index`; the optimizer goes on with the former stage's moments unless it is to be reset."""
        stage = self.stages[index]
        if former is not None:
            self.first_epoch += math.ceil(self.stages[self.stage_index].steps / former.loader.steps_per_epoch)
        self.stage_index = index
        self.setup = stage.build()
        if former is not None and not stage.reset_optimizer:
            self.setup.optimizers.take_moments_of(former.optimizers)
        self.stepper = Stepper(self.objective, self.setup.optimizers, self.step_options, self.device)

    def rehearse(self) -> None:
        """A step of every stage without its update, so that what does not work or fit fails now and not in days.

        Random states are put back; gradients are dropped.
        """
        before = rng_state()
        self.objective.train()
        for stage in self.stages:
            setup = stage.build()
            with contextlib.closing(setup.loader.batches(0)) as batches:
                Stepper(self.objective, setup.optimizers, self.step_options, self.device).try_out(next(batches))
        set_rng_state(before)

    def fit(self) -> None:
        """Train from `self.step` to the last step.

        Raises DivergedError before an update that would spoil the weights, and Preempted when asked to stop.
        """
        self.objective.train()
        if self.options.on_nonfinite == "rollback" and not self.checkpoints.steps():
            self.save()
        while self.step < self.max_steps:
            if self.step == self._stage_end():
                self._enter(self.stage_index + 1, self.setup)
            # Ends before the stage does only after a rollback, which starts the batches anew.
            with contextlib.suppress(_RolledBack), self._marking_divergence():
                self._run_stage()

    @contextlib.contextmanager
    def _marking_divergence(self) -> Iterator[None]:
        """Leaves a mark among the metrics where training ends by diverging, beside the reason that is raised."""
        try:
            yield
        except DivergedError:
            self.reporter.log({"train/diverged": 1.0}, step=self.step, epoch=self._progress().epoch)
            raise

    def _stage_start(self) -> int:
        return sum(stage.steps for stage in self.stages[: self.stage_index])

    def _stage_end(self) -> int:
        return self._stage_start() + self.stages[self.stage_index].steps

    def _run_stage(self) -> None:
        """Steps of the current stage from `self.step` on."""
        loader = self.setup.loader
        first_batch = self.first_epoch * loader.steps_per_epoch + self.step - self._stage_start()
        with contextlib.closing(loader.batches(first_batch)) as batches:
            clock = _Clock(self.step)
            while self.step < self._stage_end():
                self._stop_if_asked()
                batch, progress = self._next(batches), self._progress()
                self.setup.schedule.before_step(self._stage_progress(progress))
                done = None if self.step in self.skipped else self._attempt(batch, progress)
                self.step += 1
                if self._due(self.options.log_every_steps):
                    self._check_pending()
                    made = None if self.step - 1 in self.skipped else done
                    self._log(made, progress.epoch, clock.steps_per_s(self.step) * len(batch.x))
                if self._due(self.options.validate_every_steps):
                    self._validate(progress.epoch)
                    clock = _Clock(self.step)
                if self._due(self.options.checkpoint_every_steps):
                    self._check_pending()
                    self.save()
                self.reporter.advance(self.step)
            self._check_pending()

    def _next(self, batches: Iterator[Batch]) -> Batch:
        """The next batch. A cluster's SIGTERM ends the loader's workers too, which is then no failure of theirs."""
        try:
            return next(batches)
        except Exception:
            self._stop_if_asked()
            raise

    def _due(self, every_steps: int) -> bool:
        return self.step % every_steps == 0 or self.step == self.max_steps

    def _progress(self) -> Progress:
        """Where the whole run stands; epochs are counted on from stage to stage."""
        epochs = (self.step - self._stage_start()) // self.setup.loader.steps_per_epoch
        return Progress(self.step, self.first_epoch + epochs, self.step / self.max_steps)

    def _stage_progress(self, progress: Progress) -> Progress:
        """The same seen from the stage's beginning, which is what its learning-rate schedule counts from."""
        step = self.step - self._stage_start()
        return Progress(step, progress.epoch - self.first_epoch, step / self.stages[self.stage_index].steps)

    def _attempt(self, batch: Batch, progress: Progress) -> Done | None:
        """The step, or None where it was skipped."""
        try:
            done = self.stepper.step(batch, progress)
        except NonFiniteError as error:
            self._skip(error)
            return None
        if self.ema is not None:
            self.ema.update_parameters(self.objective.codec)
        return done

    def _check_pending(self) -> None:
        for error in self.stepper.take_pending():
            self._skip(error)

    def _skip(self, error: NonFiniteError) -> None:
        """Accept a skipped update within the budget, going back to the last checkpoint if so configured; or raise."""
        skipped = self.skipped | {error.step}
        if self.options.on_nonfinite == "fail":
            raise error
        if len(skipped) > self.options.nonfinite_budget:
            budget = f"more than trainer.nonfinite_budget={self.options.nonfinite_budget} updates were skipped"
            raise NonFiniteError(f"{budget}; the last: {error}", error.step) from error
        log.warning("%s; skipped (%d of at most %d)", error, len(skipped), self.options.nonfinite_budget)
        self.skipped = skipped
        if self.options.on_nonfinite == "rollback":
            self.resume()
            self.skipped |= skipped
            raise _RolledBack

    def _stop_if_asked(self) -> None:
        reason = self.should_stop()
        if reason:
            self._check_pending()
            self.save()
            raise Preempted(f"{reason}: stopped after step {self.step} of {self.max_steps}; its checkpoint is written")

    def _log(self, done: Done | None, epoch: int, images_per_s: float) -> None:
        metrics: dict[str, float] = {}
        if done is not None:
            metrics |= {f"train/{name}": float(value) for name, value in done.terms.items()}
            metrics |= {f"train/grad_norm{_suffix(group)}": float(norm) for group, norm in done.norms.items()}
        metrics["train/lr"] = self.setup.optimizers.net.param_groups[0]["lr"]
        metrics["train/images_per_s"] = images_per_s
        metrics["train/skipped_steps"] = float(len(self.skipped))
        self.reporter.log(metrics | self.objective.scalars(), step=self.step, epoch=epoch)

    def _validate(self, epoch: int) -> None:
        metrics = self.validate(self._judged())
        self.reporter.log(metrics, step=self.step, epoch=epoch)
        monitored = metrics[self.monitor]
        self.setup.schedule.after_validation(monitored)
        if monitored < self.best:
            self.best = monitored
            self.checkpoints.save_best({"step": self.step, "codec": self._judged().state_dict()})

    def _judged(self) -> Codec:
        return self.ema.codec if self.ema is not None and self.options.judged_weights == "ema" else self.objective.codec

    def save(self) -> None:
        """Write a checkpoint of this step boundary."""
        self.checkpoints.save_step(self.step, self.state_dict())

    def resume(self) -> bool:
        """Go on from the newest checkpoint that can be read; False where there is none."""
        state = self.checkpoints.load_newest()
        if state is None:
            return False
        self.load_state_dict(state)
        self.reporter.rewind(state["recorded"])
        return True

    def extend(self, parent: Checkpoints) -> None:
        """Go on from the last step of another run, whose best weights stay the best until they are beaten."""
        state = parent.load_newest()
        if state is None or state["step"] >= self.max_steps:
            done = "no checkpoint" if state is None else f"{state['step']} steps done"
            raise ValueError(f"run {parent.identity} has {done}; an extension to {self.max_steps} steps needs fewer")
        self.load_state_dict(state)
        best = load_checkpoint(parent.best)
        self.checkpoints.save_best({"step": best["step"], "codec": best["codec"]})

    def state_dict(self) -> dict[str, Any]:
        """All that the rest of the run depends on; plain containers and tensors only."""
        return {
            "step": self.step,
            "best": self.best,
            "stage": self.stage_index,
            "first_epoch": self.first_epoch,
            "skipped": sorted(self.skipped),
            "recorded": self.reporter.position(),
            "codec": self.objective.codec.state_dict(),
            "ema": None if self.ema is None else self.ema.state_dict(),
            "regularizers": self.objective.regularizers.state_dict(),
            "optimizers": self.setup.optimizers.state_dict(),
            "schedule": self.setup.schedule.state_dict(),
            "scaler": self.stepper.scaler.state_dict(),
            "rng": rng_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Stand where `state_dict` was taken. Raises what its parts raise where they were built otherwise."""
        self._enter(state["stage"])
        self.step, self.best = state["step"], state["best"]
        self.first_epoch, self.skipped = state["first_epoch"], set(state["skipped"])
        self.objective.codec.load_state_dict(state["codec"])
        if self.ema is not None:
            self.ema.load_state_dict(state["ema"])
        self.objective.regularizers.load_state_dict(state["regularizers"])
        self.setup.optimizers.load_state_dict(state["optimizers"])
        self.setup.schedule.load_state_dict(state["schedule"])
        self.stepper.scaler.load_state_dict(state["scaler"])
        set_rng_state(state["rng"])


class _RolledBack(Exception):  # noqa: N818 (control flow)
    """The state is an earlier checkpoint's."""


class _Clock:
    """Steps per second since it was made."""

    def __init__(self, step: int) -> None:
        self._step, self._time = step, time.perf_counter()

    def steps_per_s(self, step: int) -> float:
        return (step - self._step) / (time.perf_counter() - self._time)


def _suffix(group: str) -> str:
    return "" if group == "net" else f"_{group}"
