"""One optimizer step: forward, backward, clip, check, update; with the options that trade exactness for speed."""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from lic_exp.data.batches import Batch
from lic_exp.divergence import DivergedError
from lic_exp.ops.ranks import gathered, means, rank, world
from lic_exp.optimizers.groups import NET, REGULARIZER, Optimizers, clip_gradients
from lic_exp.private_compiler import is_compiled
from lic_exp.progress import Progress
from lic_exp.sections import BACKWARD, DRAWS, OPTIMIZER, REPLAY, TRANSFER, Section
from lic_exp.tracking import names
from lic_exp.training.buffers import FormerBuffers
from lic_exp.training.capture import CaptureError, Captures, Parts, Scalars, cuda_graph
from lic_exp.training.casting import Casts
from lic_exp.training.data_parallel import DataParallel
from lic_exp.training.draws import Draws
from lic_exp.training.objective import Objective
from lic_exp.training.pixel_count import PixelCount
from lic_exp.training.second_look import look_again

log = logging.getLogger("lic_exp.training")

Precision = Literal["float32", "bf16", "fp16"]
AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


DROPPED_IN_A_ROW = 40
"""Updates that the loss scaler may drop one after the other: it halves its scale each time, and 2^40 it never reaches.
Whose gradients are not finite then, their own they are."""


class NonFiniteError(DivergedError):
    """The loss or a gradient is NaN or infinite; the update was not made."""


@dataclass(frozen=True)
class StepOptions:
    """clip_max_norm: L2 bound of each parameter group's gradient, None for none.

    precision: of the codec's forward and backward pass; criterion, bits and DCT stay float32.
    channels_last: memory format of the batch (the codec's weights are converted by who builds it).
    accumulate: parts that a batch is split into, one after the other; memory falls, the gradient is their mean.
    compile: what the objective is compiled by; "graphs" records whole steps too, where they are gated on the device.
    """

    clip_max_norm: float | None
    precision: Precision
    channels_last: bool
    accumulate: int
    compile: bool | str


@dataclass(frozen=True)
class Done:
    """What a step leaves behind: detached scalars on the device.

    terms, norms: to be logged. updated: whether the codec's weights were; a bool.
    """

    terms: dict[str, Tensor]
    norms: dict[str, Tensor]
    updated: Tensor


class Stepper:
    """Makes steps on one objective with one set of optimizers.

    On the CPU the check comes before every update. On a GPU looking at a value stops the queue, so there the update
    is gated on the device (optimizers that support it skip it when told that it is not finite) and `take_pending`
    tells what was skipped when a log is due anyway. A skipped step leaves weights, moments and buffers as they were.

    With `compile: graphs` a gated step is recorded once and replayed (`lic_exp.training.capture`), but for those at
    which a regularizer looks at values. Where that fails, training goes on without, and `uncaptured` is told the step.

    seed: what the images of a step are given at random follows from it and from the step (`lic_exp.training.draws`).
    pixels: counts what steps are made of.
    dropped: how many updates the loss scaler of fp16 has dropped, because what it had scaled was not finite.
    """

    def __init__(
        self,
        objective: Objective,
        optimizers: Optimizers,
        options: StepOptions,
        device: torch.device,
        seed: int,
        uncaptured: Callable[[int], None] = lambda step: None,
        parallel: DataParallel | None = None,
        pixels: PixelCount | None = None,
    ) -> None:
        self.objective = objective
        self.parallel = parallel or DataParallel(objective, optimizers.split, device)
        self.pixels = pixels or PixelCount()
        self.draws = Draws(objective.codec, seed, rank=rank(), world=world())
        self.casts = Casts(objective.codec, AUTOCAST.get(options.precision))
        self.optimizers = optimizers
        self.options = options
        self.device = device
        self.gated = device.type != "cpu" and optimizers.can_skip
        self.scaler = torch.amp.GradScaler(device.type, enabled=options.precision == "fp16")
        self.dropped = self._dropped_in_a_row = torch.zeros((), dtype=torch.long)
        self.uncaptured = uncaptured
        recorded = options.compile == "graphs" and self.gated and not self.scaler.is_enabled()
        self.captures = Captures(objective, optimizers, cuda_graph) if recorded else None
        self._pending: list[tuple[Tensor, Tensor, int, str, list[str]]] = []

    def step(self, batch: Batch, progress: Progress) -> Done:
        """Update the weights. Raises NonFiniteError, before the update, where that costs no waiting."""
        self.objective.set_progress(progress)
        parts = self._parts(batch.x, progress.step)
        self.pixels.add(batch.x, [x for x, *_ in parts])
        found = self._made(parts, progress.step)
        finite, updated, own = found.pop("finite"), found.pop("updated"), found.pop(OWN)
        norms = {name.removeprefix(NORM): found.pop(name) for name in list(found) if name.startswith(NORM)}
        checked = self._checked(found, norms)
        if self.gated:
            self._pending.append((finite, own, progress.step, " or ".join(checked), batch.names))
        elif not finite:
            bad = [name for name, value in checked.items() if not torch.isfinite(value)]
            bad = bad or [f"gradients of {DROPPED_IN_A_ROW} steps in a row, at any loss scale,"]
            raise _not_finite(" and ".join(bad), own, progress.step, batch.names)
        return Done(found, norms, updated)

    def _made(self, parts: Parts, step: int) -> Scalars:
        """What `_body` gives, replayed where it can be."""
        key = self.objective.capture_key() if self.captures else None
        if self.captures and key is not None:
            try:
                with Section(REPLAY):
                    return self.captures.step(key, parts, self._body)
            except CaptureError as error:
                log.warning("trainer.compile=graphs: steps cannot be recorded (%s); training goes on without", error)
                self.captures = None
                self.uncaptured(step)
        return self._body(parts)

    @Section(OPTIMIZER)
    def _body(self, parts: Parts) -> Scalars:
        """A step: its terms, norms by group, whether it was "finite" and "updated". A gated one looks at no value."""
        self.optimizers.zero_grad()
        former = FormerBuffers(self.objective)
        terms = self._backward(parts)
        own_loss, terms = terms["loss"], self._of_all(terms, len(parts))
        norms = self._clip()
        finite = updated = _all_finite({"loss": terms["loss"], **norms})
        if self.scaler.is_enabled():
            finite = _all_finite(self._checked(terms, norms))
            finite = finite & self._count_dropped(finite & ~updated)
        if self.gated:
            former.restore(unless=finite)
            self.optimizers.step(skip=~updated)
        elif updated:
            self.optimizers.step()
        elif not finite:
            former.restore()
        self.scaler.update()
        if self.objective.looks_again and (self.gated or updated):
            with self._autocast(), self.draws.given(slice(0, len(parts[0][0]))), self.casts.in_force():
                look_again(self.objective, parts, terms, updated)
        return {
            **terms,
            **{f"{NORM}{group}": norm for group, norm in norms.items()},
            "finite": finite,
            "updated": updated,
            OWN: torch.isfinite(own_loss) if world() > 1 else finite,
        }

    def _checked(self, terms: Scalars, norms: Scalars) -> Scalars:
        """What must be finite. The scaler makes infinite gradients of what it scales now and then, and skips those."""
        own = (NET, REGULARIZER) if self.scaler.is_enabled() else ()
        others = {f"gradient norm of {group}": norm for group, norm in norms.items() if group not in own}
        return {"loss": terms["loss"], **others}

    def _count_dropped(self, dropped: Tensor) -> Tensor:
        """Whether the scaler may go on like this, a bool scalar. dropped: whether it has dropped this update."""
        self.dropped = self.dropped + dropped
        self._dropped_in_a_row = (self._dropped_in_a_row + 1) * dropped
        return self._dropped_in_a_row < DROPPED_IN_A_ROW

    def try_out(self, batch: Batch, progress: Progress) -> Tensor:
        """Forward and backward of a batch as at this place of training, leaving nothing behind; its loss."""
        former = FormerBuffers(self.objective)
        self.objective.set_progress(progress)
        parts = self._parts(batch.x, 0)
        loss = self._of_all(self._backward(parts), len(parts))["loss"]
        former.restore()
        self.optimizers.zero_grad()
        return loss

    def _parts(self, images: Tensor, step: int) -> Parts:
        """The parts of a batch. They are made before the step, since a recorded one can neither transform nor draw."""
        with Section(TRANSFER):
            x = images.to(self.device, non_blocking=True)
            if self.options.channels_last:
                x = x.contiguous(memory_format=torch.channels_last)
        size = math.ceil(len(x) / self.options.accumulate)  # as `Tensor.chunk` has it
        parts = [slice(first, min(first + size, len(x))) for first in range(0, len(x), size)]
        with self._autocast():
            seen = [self.objective.transformed(x[rows]) for rows in parts]
        drawn = self._drawn(seen[0][0], len(x), step)
        return [(*pair, *(values[rows] for values in drawn)) for pair, rows in zip(seen, parts, strict=True)]

    def _backward(self, parts: Parts) -> dict[str, Tensor]:
        images, first = sum(len(x) for x, *_ in parts), 0
        totals: dict[str, Tensor] = {}
        for x, target, *drawn in parts:
            rows = slice(first, first + len(x))
            weight, first = len(x) / images, rows.stop
            with self.parallel.accumulating(last=first == images):
                with self._autocast(), self.draws.given(rows), self.casts.in_force(), self.objective.codec.prepared():
                    terms = self.parallel(x, *drawn, target=target)
                with Section(BACKWARD):
                    self.scaler.scale(_weighted(terms["loss"], weight)).backward()
            for name, term in terms.items():
                own = _weighted(term.detach(), weight)
                totals[name] = totals[name] + own if name in totals else own
        if self.optimizers.aux is not None:
            aux_loss = self.objective.aux_loss()
            aux_loss.backward()
            totals["aux_loss"] = aux_loss.detach()
        return totals

    def _of_all(self, terms: Scalars, parts: int) -> Scalars:
        """The terms of the whole batch, whose means over this rank's so many parts these are."""
        return self.objective.completed(means(terms)) if parts > 1 or world() > 1 else terms

    @Section(DRAWS)
    def _drawn(self, part: Tensor, images: int, step: int) -> tuple[Tensor, ...]:
        """Draw for so many images of a step; what the objective takes beside them. part: the first part of them."""
        size = tuple(part.shape[-2:])
        if self.captures and self.draws.images and (self.draws.images, self.draws.size) != (images, size):
            self.captures.forget()  # noise of other images stands elsewhere
        self.draws.draw(step, images, size)
        foreseen = self.captures or self.objective.compiled or is_compiled(self.objective.codec)
        if not self.casts.learnt or (foreseen and not self.draws.learnt):
            with self._autocast():
                self.casts.learn(lambda: self.draws.learn(part))
        return tuple(values.to(self.device, non_blocking=True) for values in self.objective.draw(self.draws.shares()))

    def _autocast(self) -> torch.autocast:
        dtype = AUTOCAST.get(self.options.precision)
        return torch.autocast(self.device.type, dtype=dtype or torch.bfloat16, enabled=dtype is not None)

    def _clip(self) -> dict[str, Tensor]:
        self.scaler.unscale_(self.optimizers.net)
        return clip_gradients(self.optimizers, self.options.clip_max_norm)

    def take_pending(self) -> list[NonFiniteError]:
        """Wait for the device; the updates that it skipped since the last call."""
        pending, self._pending = self._pending, []
        return [_not_finite(what, own, step, images) for finite, own, step, what, images in pending if not finite]


NORM = "norm of "
"""Before the names of groups among a step's scalars, which are terms' else."""

OWN = "loss of this rank is finite"
"""The name of another, a bool."""


def step_metrics(done: Done | None, optimizers: Optimizers) -> dict[str, float]:
    """What a step is logged as, by metric name; None is one whose update was left out. Waits for the device."""
    metrics: dict[str, float] = {}
    if done is not None:
        metrics |= {names.train(term): float(value) for term, value in done.terms.items()}
        # Those of an update that fp16's scaler has dropped are of its scale, not of the loss.
        norms = done.norms if done.updated else {}
        metrics |= {names.train_grad_norm(group): float(norm) for group, norm in norms.items()}
    return metrics | {names.TRAIN_LR: optimizers.net.param_groups[0]["lr"]}


def _all_finite(values: dict[str, Tensor]) -> Tensor:
    return torch.isfinite(torch.stack(list(values.values()))).all()


def _weighted(value: Tensor, weight: float) -> Tensor:
    """The product. Where a batch is one part, nothing is launched for it."""
    return value if weight == 1 else weight * value


def _not_finite(what: str, own: Tensor, step: int, images: list[str]) -> NonFiniteError:
    """The error of a step. own: whether the loss of this rank's images is finite, a bool; of several, each says so."""
    said = f"{what} not finite in the step after {step}"
    if world() == 1:
        return NonFiniteError(f"{said}; images: {', '.join(images)}", step)
    known = gathered((bool(own), images))
    guilty = [number for number, (finite, _) in enumerate(known) if not finite]
    whose = [f"of rank {number}: {', '.join(known[number][1])}" for number in guilty or range(len(known))]
    return NonFiniteError(f"{said}; images {'; '.join(whose)}", step)
