"""A task of a job but the first: it runs its rank of the cell when the first says so, and writes nothing of the cell.

It ends when the first has: where it ended badly before that, a cluster might end the first task for it, which then
could not say what happened.
"""

import signal
import subprocess
import time
from collections.abc import Mapping
from types import FrameType
from typing import Any

from lic_exp import exit_codes
from lic_exp.processes import out_of_memory_kills
from lic_exp.saying import show
from lic_exp.sweeps.folder import Cell, SweepFolder
from lic_exp.sweeps.launchers.slurm.task_notes import BEGUN, ENDED, HERE, OVER, TaskNotes, rank_environment
from lic_exp.sweeps.launchers.slurm.task_process import END, listen, start_task

LOOK_EVERY_S = 0.5
GIVE_UP_S = 15.0
"""So long a process has to end after that of the first task: ranks notice within less that the others are gone."""

SILENT_S = 180.0
"""So long the first task may give no sign of life while no process of this one runs."""

LAST_S = 2.0
"""So much later than the first task this one ends: what ends badly may end the others."""


class Follower:
    """One turn of such a task. environment: its own."""

    def __init__(self, sweep: SweepFolder, cell: Cell, notes: TaskNotes, environment: Mapping[str, str]) -> None:
        self.sweep, self.cell, self.notes, self._environment = sweep, cell, notes, environment
        self._process: subprocess.Popen[bytes] | None = None
        self._heard: signal.Signals | None = None
        self._start = 0
        self._killed = exit_codes.DONE

    def run(self) -> int:
        """Returns the exit code of the task: of a process that a signal ended; else 0, for the first has its say."""
        listen(self._hear)
        self.notes.leave(HERE)
        last, since = None, time.monotonic()
        while True:
            lead = self.notes.of(0)
            if lead != last:
                last, since = lead, time.monotonic()
            if lead.get("state") == ENDED:
                time.sleep(LAST_S)
                return self._killed
            if lead.get("state") == BEGUN and lead["start"] > self._start:
                self._train(lead)
                since = time.monotonic()
            elif time.monotonic() - since > SILENT_S:
                show(f"task {self.notes.rank} ends: the first task has given no sign of life for {SILENT_S:g} s")
                return self._killed or exit_codes.FAILED
            time.sleep(LOOK_EVERY_S)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self._heard = self._heard or signal.Signals(number)
        if self._process is not None:
            self._process.send_signal(END)

    def _train(self, lead: Mapping[str, Any]) -> None:
        """Run this task's process to its end, and say how it ended."""
        self._start = lead["start"]
        kills, since, given_up = out_of_memory_kills(), None, False
        self._process = start_task(self.sweep, self.cell, self._environment, rank_environment(lead))
        if self._heard is not None:  # while there was no process yet to tell
            self._process.send_signal(END)
        while self._process.poll() is None:
            now = self.notes.of(0)
            if now and (now["state"], now.get("start")) != (BEGUN, self._start):
                since = since or time.monotonic()
            if since and time.monotonic() - since > GIVE_UP_S and not given_up:
                given_up = True
                self._process.kill()
            time.sleep(LOOK_EVERY_S)
        code = self._process.returncode
        if code < 0 and not given_up:
            self._killed = 128 - code
        by_kernel = kills is not None and (out_of_memory_kills() or 0) > kills
        ended = {"exit_code": None if given_up else code, "memory_kill": by_kernel}
        self.notes.leave(OVER, start=self._start, **ended)
