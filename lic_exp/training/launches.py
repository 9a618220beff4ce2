"""How much one training step asks of its device, by the sections (`lic_exp.sections`) that it is in."""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from lic_exp.private_torch import watched
from lic_exp.sections import OTHER, WHOLE

LABEL = "section: "
"""What sections are called among the profiler's events, before their names."""

LAUNCH = re.compile(r"cu(da)?(Launch|GraphLaunch|Memcpy|Memset)\w*")
"""What CUDA's functions are called that put something into the device's queue."""


@dataclass(frozen=True)
class Launches:
    """What was seen of one step.

    by_part: on a GPU calls that put a kernel, a copy or a recorded graph into its queue; on a CPU calls of torch's
    operators, views left out. kernels, busy_s: what ran on a GPU, the nodes of a recorded graph one by one, and how
    long that took together; None on a CPU.
    """

    by_part: Counter[str]
    kernels: int | None = None
    busy_s: float | None = None


class LaunchCount(Protocol):
    """Counts from when it is made until `stop`, and hears of the sections meanwhile."""

    def enter(self, name: str) -> None: ...

    def leave(self) -> None: ...

    def stop(self) -> Launches: ...


class OperatorCount:
    """Of a CPU. What is compiled calls no operators."""

    def __init__(self) -> None:
        self._found = Counter[str]()
        self._open: list[str] = []
        self._stack = ExitStack()
        self._stack.enter_context(watched(self._hear))

    def enter(self, name: str) -> None:
        self._open.append(name)

    def leave(self) -> None:
        self._open.pop()

    def stop(self) -> Launches:
        self._stack.close()
        return Launches(self._found)

    def _hear(self, given: list[Tensor], cast_to: torch.dtype | None, view: bool) -> None:
        if not view:
            self._found[self._open[-1] if self._open else OTHER] += 1


class KernelCount:
    """Of a GPU, by torch's profiler. Raises what that raises where it cannot be had."""

    def __init__(self, device: torch.device) -> None:
        from torch.profiler import ProfilerActivity, profile

        self._device = device
        self._open: list[tuple[str, Callable[..., Any]]] = []
        self._profile = profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA])
        self._profile.__enter__()

    def enter(self, name: str) -> None:
        label = torch.profiler.record_function(LABEL + name)
        label.__enter__()
        self._open.append((name, label.__exit__))

    def leave(self) -> None:
        _, end = self._open.pop()
        end(None, None, None)

    def stop(self) -> Launches:
        torch.cuda.synchronize(self._device)
        self._profile.__exit__(None, None, None)
        return of_events(self._profile.events() or [])


def launch_count(device: torch.device) -> LaunchCount:
    return KernelCount(device) if device.type == "cuda" else OperatorCount()


def of_events(events: Iterable[Any]) -> Launches:
    """What a profiler's events of one step, those of CPU and GPU, say."""
    host: list[Any] = []
    there: list[Any] = []
    for event in events:
        (there if event.device_type.name == "CUDA" else host).append(event)
    labels = [event for event in host if event.name.startswith(LABEL)]
    launches = (event for event in host if LAUNCH.fullmatch(event.name))
    kernels = [event for event in there if not getattr(event, "is_user_annotation", False)]
    busy_us = covered((event.time_range.start, event.time_range.end) for event in kernels)
    return Launches(Counter(_part(event, labels) for event in launches), len(kernels), busy_us / 1e6)


def covered(spans: Iterable[tuple[float, float]]) -> float:
    """How long at least one of them lasts: what runs beside something else counts once."""
    total, until = 0.0, -math.inf
    for first, last in sorted(spans):
        total, until = total + max(0.0, last - max(first, until)), max(until, last)
    return total


def _part(event: Any, labels: list[Any]) -> str:
    """The innermost section at the time of an event; nothing lies within those that are whole."""
    at = event.time_range.start
    around = [label for label in labels if label.time_range.start <= at < label.time_range.end]
    names = [label.name.removeprefix(LABEL) for label in sorted(around, key=lambda label: label.time_range.start)]
    return next((name for name in names if name in WHOLE), names[-1] if names else OTHER)
