"""`trainer.profile`: what the steps of a training cost, found while they are made. It changes none of their numbers."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import torch

from lic_exp.sections import BESIDES
from lic_exp.training.arithmetic import begin_peak_memory, matmul_peak, peak_memory
from lic_exp.training.launches import LaunchCount, Launches, launch_count
from lic_exp.training.step_times import StepTimes, times_on

log = logging.getLogger("lic_exp.training")

WARM_UP = 5
"""Steps that are not measured: memory is asked for in them, and kernels are chosen, compiled and recorded."""

LEAST_STEPS = WARM_UP + 2
"""One that is timed, and the last, whose launches are counted."""


class Work(NamedTuple):
    """What one step computes: images, and FLOPs, None where they are not known."""

    images: int
    flops: float | None


@dataclass
class Profile:
    """What was found.

    first_step: so many steps of the run came before those that were measured. steps: how many were timed. images,
    flops, times: of all of them together. peak_flops: FLOP/s of matrix products; None where that is not known, as flops
    are. memory: the most that was taken [bytes], and where. missing: {what is not known: why}.
    """

    first_step: int
    times: StepTimes
    steps: int = 0
    images: int = 0
    flops: float | None = 0.0
    peak_flops: float | None = None
    launches: Launches | None = None
    memory: tuple[int, str] | None = None
    missing: dict[str, str] = field(default_factory=dict)


class Profiler:
    """Listens to the sections of a training, and is told of its steps by `advance`, outside of any section.

    All steps after the first WARM_UP are timed, but for the run's last, whose launches are counted instead: that takes
    longer. What comes after it, such as the last checkpoint, is timed again.

    step, max_steps: where this process begins, and the run ends. dtype: of its products. work_of: what a step
    computes, by its number from 0. compiled: whether steps are.
    """

    def __init__(
        self,
        device: torch.device,
        dtype: torch.dtype,
        step: int,
        max_steps: int,
        work_of: Callable[[int], Work],
        *,
        compiled: bool = False,
    ) -> None:
        self.device, self.max_steps = device, max_steps
        self.times = times_on(device)
        self.found = Profile(step + WARM_UP, self.times)
        self._work_of = work_of
        self._count: LaunchCount | None = None
        self._step_is_timed = False
        if compiled and device.type == "cpu":
            self.found.missing["launches"] = "what is compiled for a CPU calls no operators"
        try:
            self.found.peak_flops = matmul_peak(device, dtype)
        except Exception as error:  # noqa: BLE001 (whatever a device may lack)
            self._is_missing("peak", error)

    def enter(self, name: str) -> None:
        if name in BESIDES:
            self._end_count()
        self.times.enter(name)
        if self._count:
            self._count.enter(name)

    def leave(self) -> None:
        self.times.leave()
        if self._count:
            self._count.leave()

    def advance(self, step: int) -> None:
        """So many steps of the run are done."""
        self._end_count()
        if self._step_is_timed:
            self._take_in(self._work_of(step - 1))
        self.times.take_in()
        if step == self.found.first_step:
            begin_peak_memory(self.device)
        on = self.found.first_step <= step < self.max_steps
        self.times.switch(on)
        self._step_is_timed = on
        if on and step == self.max_steps - 1 and "launches" not in self.found.missing:
            self._begin_count()

    def end(self) -> Profile:
        """What was found by now; training is over, at the run's last step or before."""
        self._end_count()
        self.times.switch(False)
        self.times.take_in(all_of_it=True)
        self.found.memory = peak_memory(self.device)
        if self.found.launches is None:
            self.found.missing.setdefault("launches", "they are counted in the run's last step, which was not made")
        return self.found

    def _take_in(self, work: Work) -> None:
        found = self.found
        found.steps += 1
        found.images += work.images
        found.flops = None if found.flops is None or work.flops is None else found.flops + work.flops

    def _begin_count(self) -> None:
        self.times.switch(False)
        try:
            self._count = launch_count(self.device)
            self._step_is_timed = False
        except Exception as error:  # noqa: BLE001 (whatever a profiler may not be let do)
            self._is_missing("launches", error)
            self.times.switch(True)

    def _end_count(self) -> None:
        if self._count is None:
            return
        count, self._count = self._count, None
        try:
            self.found.launches = count.stop()
        except Exception as error:  # noqa: BLE001 (likewise)
            self._is_missing("launches", error)
        self.times.switch(True)

    def _is_missing(self, what: str, error: Exception) -> None:
        self.found.missing[what] = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        log.warning("trainer.profile: no %s: %s", what, self.found.missing[what])
