"""The loop. It knows steps, epochs, parameter groups and numbers to log, not what the numbers mean."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from lic_exp.data.loading import Batch, TrainLoader
from lic_exp.optimizers.groups import Optimizers, clip_gradients
from lic_exp.optimizers.schedules import Schedule
from lic_exp.progress import Progress
from lic_exp.training.checkpoint import Checkpoints
from lic_exp.training.objective import Objective


class NonFiniteError(ArithmeticError):
    """The loss or a gradient is NaN or infinite; the update was not made."""


class Reporter(Protocol):
    """Where the loop's numbers go."""

    def log(self, metrics: dict[str, float], *, step: int, epoch: int) -> None:
        """Record metrics of the step that has just been done."""

    def advance(self, step: int) -> None:
        """Show that `step` steps are done; called every step."""


@dataclass(frozen=True)
class Limits:
    """When the loop ends, and how often it does what; in steps.

    max_steps: the run's whole length.
    """

    max_steps: int
    log_every_steps: int
    validate_every_steps: int
    checkpoint_every_steps: int


class Trainer:
    """Fetch, forward and backward, clip, check, step; log, validate and checkpoint when due.

    validate: gives the metrics of the held-out images.
    monitor: the name among them that selects the best checkpoint and drives the schedule; lower is better.
    """

    def __init__(
        self,
        objective: Objective,
        optimizers: Optimizers,
        schedule: Schedule,
        loader: TrainLoader,
        validate: Callable[[], dict[str, float]],
        monitor: str,
        checkpoints: Checkpoints,
        reporter: Reporter,
        limits: Limits,
        clip_max_norm: float | None,
        device: torch.device,
    ) -> None:
        self.objective = objective
        self.optimizers = optimizers
        self.schedule = schedule
        self.loader = loader
        self.validate = validate
        self.monitor = monitor
        self.checkpoints = checkpoints
        self.reporter = reporter
        self.limits = limits
        self.clip_max_norm = clip_max_norm
        self.device = device
        self.step = 0
        self.best = float("inf")

    def fit(self) -> None:
        """Train from `self.step` to the last step. Raises NonFiniteError before an update that would spoil weights."""
        batches = self.loader.batches(self.step)
        try:
            self.objective.train()
            self._loop(batches)
        finally:
            close = getattr(batches, "close", None)
            if close:
                close()

    def _loop(self, batches: Iterator[Batch]) -> None:
        last = self.limits.max_steps
        logged_at, logged_step = time.perf_counter(), self.step
        while self.step < last:
            batch = next(batches)
            progress = Progress(self.step, self.step // self.loader.steps_per_epoch, self.step / last)
            self.schedule.before_step(progress)
            terms, norms = self._train_step(batch, progress)
            self.step += 1
            if self._due(self.limits.log_every_steps):
                seconds = time.perf_counter() - logged_at
                rate = (self.step - logged_step) * len(batch.x) / seconds
                self._log(progress, terms, norms, rate)
            if self._due(self.limits.validate_every_steps):
                self._validate(progress.epoch)
                logged_at, logged_step = time.perf_counter(), self.step
            if self._due(self.limits.checkpoint_every_steps):
                self.checkpoints.save_step(self.step, self.state_dict())
            self.reporter.advance(self.step)

    def _due(self, every_steps: int) -> bool:
        return self.step % every_steps == 0 or self.step == self.limits.max_steps

    def _train_step(self, batch: Batch, progress: Progress) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        x = batch.x.to(self.device, non_blocking=True)
        self.optimizers.zero_grad()
        terms = self.objective(x, progress)
        aux_loss = self.objective.aux_loss()
        terms["loss"].backward()
        if self.optimizers.aux is not None:
            aux_loss.backward()
        norms = clip_gradients(self.optimizers, self.clip_max_norm)
        self._check_finite(terms["loss"], norms, batch)
        self.optimizers.step()
        terms["aux_loss"] = aux_loss
        return {name: term.detach() for name, term in terms.items()}, norms

    def _check_finite(self, loss: Tensor, norms: dict[str, Tensor], batch: Batch) -> None:
        checked = {"loss": loss, **{f"gradient norm of {group}": norm for group, norm in norms.items()}}
        bad = [name for name, value in checked.items() if not torch.isfinite(value)]
        if bad:
            raise NonFiniteError(
                f"{' and '.join(bad)} not finite at step {self.step}; no update was made. "
                f"Images of the batch: {', '.join(batch.names)}"
            )

    def _log(self, progress: Progress, terms: dict[str, Tensor], norms: dict[str, Tensor], images_per_s: float) -> None:
        metrics = {f"train/{name}": float(value) for name, value in terms.items()}
        metrics |= {f"train/grad_norm{'' if group == 'net' else '_' + group}": float(n) for group, n in norms.items()}
        metrics["train/lr"] = self.optimizers.net.param_groups[0]["lr"]
        metrics["train/images_per_s"] = images_per_s
        self.reporter.log(metrics | self.objective.scalars(), step=self.step, epoch=progress.epoch)

    def _validate(self, epoch: int) -> None:
        metrics = self.validate()
        self.reporter.log(metrics, step=self.step, epoch=epoch)
        monitored = metrics[self.monitor]
        self.schedule.after_validation(monitored)
        if monitored < self.best:
            self.best = monitored
            self.checkpoints.save_best(self.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """All that the rest of the run depends on; plain containers and tensors only."""
        return {
            "step": self.step,
            "best": self.best,
            "codec": self.objective.codec.state_dict(),
            "regularizers": self.objective.regularizers.state_dict(),
            "optimizers": self.optimizers.state_dict(),
            "schedule": self.schedule.state_dict(),
            "rng": {"torch": torch.get_rng_state()},
        }
