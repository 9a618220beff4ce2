"""Signals that ask a run to stop: they set a flag that the loop reads at its next step boundary."""

import signal
import threading
from types import FrameType
from typing import Any, Self

STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2)


class StopRequest:
    """Inside, the first of SIGTERM, SIGINT, SIGUSR2 is remembered; a second SIGINT interrupts at once.

    Off the main thread, where Python allows no handlers (a notebook's worker, a pool), it stays inactive.
    """

    def __init__(self) -> None:
        self.reason: str | None = None
        self._former: dict[int, Any] = {}

    def __call__(self) -> str | None:
        """The name of the signal that asked to stop, or None."""
        return self.reason

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._former = {number: signal.signal(number, self._remember) for number in STOPPING}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.reason is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.reason = self.reason or signal.Signals(number).name
