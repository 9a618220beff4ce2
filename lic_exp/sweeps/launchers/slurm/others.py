"""The tasks of a job but the first, as the first sees them: whether all are there, and which of them ended the cell."""

import time
from collections.abc import Callable
from typing import Any

from lic_exp import exit_codes
from lic_exp.sweeps.exit_status import diagnose
from lic_exp.sweeps.launchers.slurm.task_notes import BEGUN, ENDED, HERE, OVER, TaskNotes
from lic_exp.text import listed

LOOK_EVERY_S = 0.5
COME_WITHIN_S = 300.0
"""So long tasks may take to start, on nodes that load this package for the first time."""

ALONE_S = 60.0
"""So long the first process has to end by itself after another has failed, before it is ended: it may wait for it where
they were to meet, where nothing else does."""

TOLD_WITHIN_S = 40.0
"""So long a task may take to say how its process ended; longer than ranks take to notice, and than they are given."""


class Others:
    """Alone, a task has none, and all of this says nothing.

    lost: those that are gone without a word. failed: the one that ended the cell, if it was none of their own words.
    """

    def __init__(self, notes: TaskNotes) -> None:
        self.notes = notes
        self.ranks = range(1, notes.world)
        self.lost: list[int] = []
        self.failed: int | None = None
        self._start = 0
        self._since: float | None = None

    def gathered(self, stopped: Callable[[], bool]) -> bool:
        """Whether all are there, once they are. False once `stopped`, or where some do not come: they are lost then."""
        deadline = time.monotonic() + COME_WITHIN_S
        while missing := [rank for rank in self.ranks if not self.notes.of(rank)]:
            if stopped():
                return False
            if time.monotonic() > deadline:
                self.lost = missing
                return False
            self.notes.leave(HERE)
            time.sleep(LOOK_EVERY_S)
        return True

    def begin(self, address: str, port: int) -> None:
        """Have their processes start, which meet the first one's there."""
        self._start += 1
        self._since = None
        self.notes.leave(BEGUN, start=self._start, address=address, port=port)

    def leave_alone(self) -> bool:
        """Whether one failed so long ago that the first process, which still runs, must wait for it for ever."""
        failed = [rank for rank in self.ranks if self._end(rank).get("exit_code")]
        if not failed:
            return False
        self._since = self._since or time.monotonic()
        if time.monotonic() - self._since < ALONE_S:
            return False
        self.failed = failed[0]
        return True

    def find_end(self, code: int, stopped: Callable[[], bool]) -> None:
        """After the end of the first process: who of the others has ended the cell, if it was none of its own doing."""
        if not self.ranks:
            return
        self.notes.leave(OVER, start=self._start)
        if self.failed is not None or code != exit_codes.FAILED or stopped():
            return
        deadline = time.monotonic() + TOLD_WITHIN_S
        while missing := [rank for rank in self.ranks if not self._end(rank)]:
            if stopped() or time.monotonic() > deadline:
                self.lost = missing
                return
            self.notes.beat()
            time.sleep(LOOK_EVERY_S)
        killed = [rank for rank in self.ranks if (self._end(rank)["exit_code"] or 0) < 0]
        self.failed = killed[0] if killed else None

    @property
    def code(self) -> int:
        """How the process of the one that failed ended."""
        assert self.failed is not None
        return int(self._end(self.failed)["exit_code"])

    def said(self, log: str) -> tuple[str, str]:
        """(state, reason) of the one that failed. log: the end of what all have said."""
        assert self.failed is not None
        state, reason = diagnose(self.code, None, {}, log, kernel_killed=self._end(self.failed)["memory_kill"])
        return state, f"rank {self.failed}: {reason}"

    @property
    def loss(self) -> str:
        """Who is lost, in words."""
        ranks = listed([f"{rank}" for rank in self.lost])
        return f"of {self.notes.world} tasks, {ranks} gave no word of their end, as when a node fails"

    def _end(self, rank: int) -> dict[str, Any]:
        """What a task says of its process of this start, once that is over."""
        note = self.notes.of(rank)
        return note if note.get("start") == self._start and note["state"] in (OVER, ENDED) else {}
