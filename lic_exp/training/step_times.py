"""Where the time of a training goes, by the sections (`lic_exp.sections`) that it is in.

Time is cut wherever a section begins or ends, and each piece belongs to the innermost section that is open, or to
OTHER: so the parts add up to the whole. On a GPU an event is put into the training's stream at each cut too. Between
two of them lies the time that the device took to get from one to the other, waiting for the host included; nobody waits
for the device to learn it.
"""

import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch

from lic_exp.sections import OTHER, WHOLE


class DeviceEvent(Protocol):
    """When the device had got so far; `torch.cuda.Event` is one."""

    def query(self) -> bool: ...

    def synchronize(self) -> None: ...

    def elapsed_time(self, other: "DeviceEvent", /) -> float: ...


class Piece(NamedTuple):
    """What the device was at between two cuts."""

    part: str
    begin: DeviceEvent
    end: DeviceEvent


class StepTimes:
    """Listens to sections, and sums the time in each while it is `on`.

    host, device: {part: seconds}; device stays empty where `moment` is None. begun: how often each
    was. now: a clock [s]. moment: puts an event into the device's queue.
    """

    def __init__(
        self, now: Callable[[], float] = time.perf_counter, moment: Callable[[], DeviceEvent] | None = None
    ) -> None:
        self.host, self.device = defaultdict[str, float](float), defaultdict[str, float](float)
        self.begun = Counter[str]()
        self.on = False
        self._now, self._moment = now, moment
        self._open: list[str] = []
        self._within = 0
        self._last = 0.0
        self._last_moment: DeviceEvent | None = None
        self._pieces: deque[Piece] = deque()

    def enter(self, name: str) -> None:
        if self._within or name in WHOLE:
            self._within += 1
        if self._within > 1:
            return
        self._cut()
        self._open.append(name)
        self.begun[name] += self.on

    def leave(self) -> None:
        self._within = max(0, self._within - 1)
        if self._within:
            return
        self._cut()
        self._open.pop()

    def switch(self, on: bool) -> None:
        """Sum from here on, or no longer."""
        self._cut()
        self.on = on

    def take_in(self, *, all_of_it: bool = False) -> None:
        """Sum what the device is done with. all_of_it: wait for the rest too."""
        while self._pieces and (all_of_it or self._pieces[0].end.query()):
            part, begin, end = self._pieces.popleft()
            end.synchronize()
            self.device[part] += begin.elapsed_time(end) / 1e3

    def _cut(self) -> None:
        part = self._open[-1] if self._open else OTHER
        now = self._now()
        if self.on:
            self.host[part] += now - self._last
        self._last = now
        if self._moment is not None:
            moment = self._moment()
            if self.on and self._last_moment is not None:
                self._pieces.append(Piece(part, self._last_moment, moment))
            self._last_moment = moment


def times_on(device: torch.device) -> StepTimes:
    """Of a training on this device: its events lie in the stream that is current now."""
    if device.type != "cuda":
        return StepTimes()
    stream = torch.cuda.current_stream(device)
    return StepTimes(moment=lambda: stream.record_event(torch.cuda.Event(enable_timing=True)))
