"""How fast the loop is."""

import time


class Clock:
    """Steps per second since it was made at `step`."""

    def __init__(self, step: int) -> None:
        self._step, self._time = step, time.perf_counter()

    def steps_per_s(self, step: int) -> float:
        return (step - self._step) / (time.perf_counter() - self._time)
