"""How far a measuring is: a bar on a terminal, now and then a line elsewhere, nothing where all is known already."""

import sys
import time
from typing import Any, Self

from lic_exp.console import console_for

FIRST_LINE_S, BETWEEN_LINES_S = 5.0, 15.0


class ProgressLines:
    """To be called with a codec, how many of its measurements are there, and of how many; and left at the end.

    total: of all codecs.
    """

    def __init__(self, total: int) -> None:
        self._console = console_for(sys.stderr)
        self._total = total
        self._counts: dict[str, tuple[int, int]] = {}
        self._known = 0
        self._began = time.monotonic()
        self._next = self._began + FIRST_LINE_S
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, codec: str, done: int, total: int) -> None:
        first = codec not in self._counts
        self._counts[codec] = done, total
        all_done = sum(count for count, _ in self._counts.values())
        if first:  # what was known before
            self._known += done
            return
        if self._console.is_terminal:
            self._show(all_done)
        elif time.monotonic() >= self._next and all_done < self._total:
            self._next = time.monotonic() + BETWEEN_LINES_S
            self._console.print(self._line(codec, all_done))

    def _line(self, codec: str, all_done: int) -> str:
        done, total = self._counts[codec]
        passed = time.monotonic() - self._began
        left = passed / (all_done - self._known) * (self._total - all_done)
        return (
            f"measured {all_done} of {self._total} ({codec} {done} of {total}), {passed:.0f} s, about {left:.0f} s left"
        )

    def _show(self, all_done: int) -> None:
        if self._bar is None:
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            columns = (TextColumn("measuring"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Bar(*columns, console=self._console, transient=True)
            self._task = self._bar.add_task("measuring", total=self._total, completed=self._known)
            self._bar.start()
        self._bar.update(self._task, completed=all_done)
