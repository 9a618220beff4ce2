"""How fast the loop is."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Steps per second since it was asked last, first since it was made at `step`."""

    def __init__(self, step: int) -> None:
        self._step, self._time = step, time.perf_counter()

    def steps_per_s(self, step: int) -> float:
        """Of the steps since the last time."""
        now = time.perf_counter()
        speed = (step - self._step) / (now - self._time)
        self._step, self._time = step, now
        return speed

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Within, the time does not count."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self._time += time.perf_counter() - begun
