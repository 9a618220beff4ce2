"""What a person sees while a run trains: a progress bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections import deque
from collections.abc import Collection, Iterator
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from lic_exp.console import console_for

PLAIN_LINE_EVERY_S, PLAIN_LINE_EVERY_SHARE, PLAIN_LINE_AT_LEAST_EVERY_S = 5.0, 0.05, 600.0
"""The next plain line comes when the training has gone on for a twentieth of what it has taken, within these bounds:
60 in ten minutes, 230 in a day."""

RECENT_S = 5.0
"""Over so long, or the last step where that took longer, the speed that is shown is a mean."""

Mark = tuple[int, float]
"""A step, and when it was done [s]."""


class Display:
    """Shows steps done, steps per second as of late, chosen metrics, and the time left by the speed without the start.

    shown: {metric name: (label, format)}; a metric appears from when it was first logged. A plain line has the speed
    since the one before, and of a metric the mean of what was logged since then, of `lasting` ones the last; what is
    older has its step beside it.
    """

    def __init__(
        self,
        max_steps: int,
        shown: dict[str, tuple[str, str]],
        console: Console | None = None,
        lasting: Collection[str] = (),
    ) -> None:
        self.max_steps = max_steps
        self.shown, self.lasting = shown, lasting
        self.console = console or console_for(sys.stderr)
        self._values: dict[str, tuple[str, int]] = {}
        self._since: dict[str, tuple[float, int]] = {}  # sums, since a terminal has no lines that end an interval
        self._line: Mark | None = None
        self._started = self._printed = time.monotonic()
        self._recent: deque[Mark] = deque()
        self._first: Mark = (0, 0.0)
        self._bar = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TextColumn("{task.fields[metrics]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self._task = self._bar.add_task("training", total=max_steps, rate="", metrics="")

    def log(self, metrics: dict[str, float], step: int) -> None:
        for name, (label, form) in self.shown.items():
            if name in metrics:
                self._values[label] = format(metrics[name], form), step
                total, count = self._since.get(label, (0.0, 0)) if name not in self.lasting else (0.0, 0)
                self._since[label] = total + metrics[name], count + 1

    def advance(self, step: int) -> None:
        rate, since_first = self._rates(step)
        metrics = "  ".join(f"{label} {value}" for label, (value, _) in self._values.items())
        self._bar.update(self._task, completed=step, rate=f"{rate:.2f} steps/s", metrics=metrics)
        now = time.monotonic()
        if self.console.is_terminal or not self._line_is_due(step, now):
            return
        if self._line is not None:
            rate = _rate(self._line, (step, now))
        left = _left((self.max_steps - step) / since_first if since_first else 0.0)
        shown = "  ".join(self._of_the_interval())
        self.console.print(f"step {step}/{self.max_steps}  {rate:.2f} steps/s  {shown}  {left} left", soft_wrap=True)
        self._line = step, now
        self._since.clear()

    def _of_the_interval(self) -> Iterator[str]:
        for label, form in self.shown.values():
            if found := self._since.get(label):
                yield f"{label} {format(found[0] / found[1], form)}"
            elif label in self._values:
                value, step = self._values[label]
                yield f"{label} {value} (step {step})"

    def _rates(self, step: int) -> tuple[float, float]:
        """Steps per second as of late, and since the first step, whose own time is mostly that of the start."""
        now = time.monotonic()
        self._recent.append((step, now))
        if len(self._recent) == 1:
            self._first = step, now
            rate = _rate((step - 1, self._started), (step, now))
            return rate, rate
        while len(self._recent) > 2 and now - self._recent[1][1] >= RECENT_S:
            self._recent.popleft()
        return _rate(self._recent[0], (step, now)), _rate(self._first, (step, now))

    def _line_is_due(self, step: int, now: float) -> bool:
        share = PLAIN_LINE_EVERY_SHARE * (now - self._first[1])
        wait = min(max(PLAIN_LINE_EVERY_S, share), PLAIN_LINE_AT_LEAST_EVERY_S)
        if step < self.max_steps and now - self._printed < wait:
            return False
        self._printed = now
        return True

    def __enter__(self) -> Self:
        self._started = self._printed = time.monotonic()
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()


def _left(seconds: float) -> str:
    """A time to come in the unit that tells enough of it."""
    if seconds < 600:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _rate(one: Mark, other: Mark) -> float:
    """Steps per second from one to the other."""
    seconds = other[1] - one[1]
    return (other[0] - one[0]) / seconds if seconds > 0 else 0.0
