"""A step as one graph of CUDA's: recorded once and replayed from then on, so that the device never waits for the host.

A replay reads and writes the memory that the recording did. What changes from step to step therefore stands in tensors
of its own: the images and what was drawn for them, and the learning rates, here; weights of terms, where they are made.
What else Python decides is part of a key, and every key has a recording.
"""

import gc
import warnings
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from traceback import clear_frames
from typing import Any, Protocol

import torch
from torch import Tensor

from lic_exp.optimizers.groups import Optimizers
from lic_exp.private_torch import abandon_capture, copy_all
from lic_exp.training.objective import Objective
from lic_exp.training.rng import rng_state, set_rng_state

WARM_UP = 3
"""Steps before a recording, in which kernels are chosen and compiled and optimizers make their moments."""

Scalars = dict[str, Tensor]
Parts = Sequence[tuple[Tensor, ...]]
"""What a step is computed of, weights aside: of each part of the batch x, the target, and what was drawn."""

Body = Callable[[Parts], Scalars]
"""A step, and what it leaves to be logged; it waits for nothing."""


class CaptureError(Exception):
    """A step cannot be recorded. All is as it was before the attempt, and training may go on without."""


class Recorder(Protocol):
    """Runs a step a few times and records it; returns what a replay writes anew, and what replays it."""

    def __call__(self, body: Callable[[], Scalars]) -> tuple[Scalars, Callable[[], None]]: ...


def cuda_graph(body: Callable[[], Scalars]) -> tuple[Scalars, Callable[[], None]]:
    """The recorder of a GPU, the current one. The recording computes nothing. Raises what ended it, first of all."""
    main, side = torch.cuda.current_stream(), torch.cuda.Stream()
    side.wait_stream(main)
    try:
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                body()
    finally:
        main.wait_stream(side)
    gc.collect()  # a former recording that is collected while a new one is made would spoil it
    graph, pool, failed = torch.cuda.CUDAGraph(), torch.cuda.graph_pool_handle(), []
    try:
        # On the stream of the warming up, on which gradients are accumulated.
        with torch.cuda.graph(graph, pool=pool, stream=side):
            try:
                outputs = body()
            except Exception as error:
                failed.append(error)
                raise
    except Exception:
        torch.cuda.set_stream(main)  # a capture that fails at its end leaves its own
        abandon_capture(pool)
        if failed:  # the end of the capture says only that something was wrong before
            raise failed[0] from None
        raise
    return outputs, graph.replay


@dataclass(frozen=True)
class Recorded:
    """parts, outputs: the tensors that a replay reads and writes. seen: what regularizers kept of the batch."""

    parts: Parts
    outputs: Scalars
    replay: Callable[[], None]
    seen: list[Any]


class Captures:
    """The recordings of a step on one objective with one set of optimizers, by their keys.

    Each keeps the memory of a step. So one of a new key takes the place of the former ones, which are most often done
    with; until one that was dropped is asked for again: keys take turns then, and all are kept.
    """

    def __init__(self, objective: Objective, optimizers: Optimizers, recorder: Recorder) -> None:
        self.objective = objective
        self.optimizers = optimizers
        self.recorder = recorder
        self.rates = Rates(optimizers)
        self.recorded: dict[Hashable, Recorded] = {}
        self.dropped: set[Hashable] = set()
        self.taking_turns = False
        self.trained = [weight for group in optimizers.split.groups().values() for weight in group.values()]

    def step(self, key: Hashable, parts: Parts, body: Body) -> Scalars:
        """The body's step of these parts; its scalars, which the next step does not overwrite.

        Raises CaptureError where it cannot be recorded.
        """
        whole = key, tuple(value.shape for part in parts for value in part)
        self.rates.follow()
        if whole not in self.recorded:
            self._drop_former(whole)
            self.recorded[whole] = self._record(parts, body)
        one = self.recorded[whole]
        for places, part in zip(one.parts, parts, strict=True):
            for place, value in zip(places, part, strict=True):
                place.copy_(value)
        one.replay()
        for weight in self.trained:
            torch.autograd.graph.increment_version(weight)  # a replay does not say that it has written
        for regularizer, seen in zip(self.objective.all_regularizers(), one.seen, strict=True):
            regularizer.seen = seen
        found = {name: torch.empty_like(value) for name, value in one.outputs.items()}
        copy_all(list(found.values()), list(one.outputs.values()))
        return found

    def forget(self) -> None:
        """Record anew: tensors that nobody copies stand elsewhere now."""
        self.recorded.clear()

    def _drop_former(self, key: Hashable) -> None:
        """Make room for the recording of a key."""
        self.taking_turns |= key in self.dropped
        if not self.taking_turns:
            self.dropped |= self.recorded.keys()
            self.recorded.clear()

    def _record(self, parts: Parts, body: Body) -> Recorded:
        places = [tuple(value.clone() for value in part) for part in parts]
        for regularizer in self.objective.all_regularizers():
            regularizer.seen = None  # a graph in it would bring gradient nodes of another stream along
        try:
            with leaving_nothing(self.objective, self.optimizers), self.rates.in_force():
                before = _memory(self.objective)
                outputs, replay = self.recorder(lambda: body(places))
                if _memory(self.objective) != before:
                    raise RuntimeError("a weight or buffer is put elsewhere by every step")
        except Exception as error:
            self.optimizers.zero_grad()
            clear_frames(error.__traceback__)  # or the graph of the step that failed would live as long as the error
            raise CaptureError(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}") from error
        seen = [regularizer.seen for regularizer in self.objective.all_regularizers()]
        return Recorded(places, outputs, replay, seen)


class Rates:
    """The learning rates as tensors, which a recording reads. Schedules set numbers, and checkpoints hold them."""

    def __init__(self, optimizers: Optimizers) -> None:
        self.optimizers = optimizers
        self.tensors = [torch.zeros((), device=group["params"][0].device) for group in self.groups]
        self.told = [0.0 for _ in self.tensors]

    @property
    def groups(self) -> list[dict[str, Any]]:
        """Those of now: an optimizer makes new ones when it is resumed."""
        return [group for optimizer in self.optimizers.each().values() for group in optimizer.param_groups]

    def follow(self) -> None:
        """Take over the numbers that the schedule has set."""
        rates = [float(group["lr"]) for group in self.groups]
        for rate, told, tensor in zip(rates, self.told, self.tensors, strict=True):
            if rate != told:
                tensor.fill_(rate)
        self.told = rates

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """Inside, the optimizers read the tensors, and keep to what can be recorded."""
        before = [(group["lr"], group.get("capturable")) for group in self.groups]
        try:
            for group, tensor in zip(self.groups, self.tensors, strict=True):
                group["lr"] = tensor
                if "capturable" in group:
                    group["capturable"] = True
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=".*capturable=True")  # in warming up nothing is recorded
                yield
        finally:
            for group, (rate, capturable) in zip(self.groups, before, strict=True):
                group["lr"] = rate
                if "capturable" in group:
                    group["capturable"] = capturable


@contextmanager
def leaving_nothing(objective: Objective, optimizers: Optimizers) -> Iterator[None]:
    """Inside, steps may be made: weights, buffers, moments and random states are put back afterwards, in their places.

    Moments that are made inside become zeros, which is what Adam begins with.
    """
    states = [optimizer.state for optimizer in optimizers.each().values()]
    weights = {name: tensor.detach().clone() for name, tensor in _named(objective).items()}
    held = _tensors(states)
    before = [(tensor, tensor.clone()) for tensor in held]
    known = {id(tensor) for tensor in held}
    drawn = rng_state()
    try:
        yield
    finally:
        with torch.no_grad():
            now = _named(objective)  # which need not be those from before
            for name, value in weights.items():
                now[name].copy_(value)
            for tensor, value in before:
                tensor.copy_(value)
            for tensor in _tensors(states):
                if id(tensor) not in known:
                    tensor.zero_()
        set_rng_state(drawn)


def _named(objective: Objective) -> dict[str, Tensor]:
    return {**dict(objective.named_parameters()), **dict(objective.named_buffers())}


def _memory(objective: Objective) -> dict[str, int]:
    """Where the weights and buffers stand."""
    return {name: tensor.data_ptr() for name, tensor in _named(objective).items()}


def _tensors(states: Sequence[Any]) -> list[Tensor]:
    entries = (entry for state in states for entry in state.values())
    return [value for entry in entries for value in entry.values() if isinstance(value, Tensor)]
