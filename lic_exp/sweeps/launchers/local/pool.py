"""The local pool: runs the cells of a sweep as processes of this machine, so many at a time.

Each cell leads a session of its own and writes to a file, so that it needs nobody: where the pool dies, its cells go
on, and the next pool finds them by the records that this one left. A cell's failure is a line in a table, nothing else.
"""

import os
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from lic_exp import exit_codes
from lic_exp.atomic import write_atomically
from lic_exp.json_text import json_text
from lic_exp.processes import ask_to_stop, identity, kill, kill_group, lives, out_of_memory_kills
from lic_exp.runs.listing import bytes_in
from lic_exp.sweeps.cell_config import processes_of
from lic_exp.sweeps.cell_process import cell_command, start_recorded
from lic_exp.sweeps.exit_status import exit_of, outcome
from lic_exp.sweeps.folder import Cell, CellRecord, SweepFolder
from lic_exp.sweeps.launchers.local.options import LocalOptions, slot_environment, slots
from lic_exp.sweeps.states import FAILURES, FINISHED, RETRIED, is_held, may_start, state_of

LOOK_EVERY_S = 0.1
BEAT_EVERY_S = 5.0

Tell = Callable[[str], None]


@dataclass
class Active:
    """A cell at work.

    record: None where somebody else runs it, who is left alone. process: None where another pool started it.
    before: the record of the attempt before this one.
    """

    cell: Cell
    slot: int | None
    record: dict[str, Any] | None
    process: subprocess.Popen[bytes] | None = None
    before: CellRecord = field(default_factory=dict)
    memory_kills: int | None = None
    asked_at: float | None = None


class Pool:
    """Starts the `wanted` cells of a sweep, attaches to those that run, and returns when all have ended.

    stop: asked again and again; once it has a reason, the cells are asked to stop, and after `grace_s` killed.
    tell: gets a line for people now and then. What another process runs is followed, and left alone.
    """

    def __init__(
        self,
        sweep: SweepFolder,
        wanted: Iterable[Cell],
        options: LocalOptions,
        stop: Callable[[], str | None],
        tell: Tell,
    ) -> None:
        self.sweep = sweep
        self.waiting = list(wanted)
        self.options = options
        self.tell = tell
        self._stop = stop
        self._devices = {name: asked.devices for name, asked in processes_of(sweep, sweep.cells).items()}
        self._gpus = slots(options, max(self._devices.values(), default=1))
        self._active: dict[str, Active] = {}
        self._states: dict[str, str] = {}
        self._tries: dict[str, int] = {}
        self._failures = 0
        self._stopping = ""
        self._closed = False
        self._beaten = 0.0
        self._number = len(self.waiting)

    def run(self) -> None:
        """Until every wanted cell has ended or cannot start."""
        self._states = {cell.signature: state_of(self.sweep, cell).state for cell in self.sweep.cells}
        try:
            self._attach_all()
            while True:
                self._reap()
                self._mind_limits()
                if not self._stopping:
                    self._start_ready()
                if not self._active and (self._stopping or not self._startable()):
                    return
                self._beat()
                time.sleep(LOOK_EVERY_S)
        finally:
            self._beat(ended=time.time())

    # What has ended.

    def _reap(self) -> None:
        for active in list(self._active.values()):
            ended, exit_code = self._ended(active)
            if ended:
                del self._active[active.cell.signature]
                self._settle(active, exit_code)

    def _ended(self, active: Active) -> tuple[bool, int | None]:
        if active.process is not None:
            code = active.process.poll()
            return code is not None, code
        if active.record is not None:
            return not lives(active.record), None
        return not self._is_elsewhere(active.cell), None

    def _settle(self, active: Active, exit_code: int | None) -> None:
        """Write down how it ended, and decide whether it is tried again."""
        cell = active.cell
        code = active.record and exit_of(self.sweep, cell, active.record, exit_code)
        if active.record is None or code == exit_codes.BUSY:
            self._look_again(active)
            return
        if active.process is not None:
            kill_group(active.process.pid)
        killed = active.memory_kills is not None and (out_of_memory_kills() or 0) > active.memory_kills
        state, reason = outcome(self.sweep, cell, active.record, exit_code, kernel_killed=killed)
        ended = {"ended": time.time(), "exit_code": code, "state": state, "reason": reason}
        self.sweep.record_attempt(cell, active.record | ended)
        self._states[cell.signature] = state
        tries = self._tries.get(cell.signature, 0)
        again = state in RETRIED and 0 < tries <= self.options.retries
        if again and not self._closed:
            self.tell(f"{cell.label}: {state}, tried again: {reason}")
            self.waiting.append(cell)
            return
        minutes = (time.time() - active.record["started"]) / 60
        self.tell(f"{cell.label}: {state} after {minutes:.1f} min{f': {reason}' if reason else ''}")
        if state in FAILURES:
            self._failed()

    def _look_again(self, active: Active) -> None:
        """Somebody else had this run; it is either finished, or this pool's turn."""
        cell = active.cell
        if active.record is not None:  # it was refused before it began, which is no try
            self._tries[cell.signature] = max(0, self._tries.get(cell.signature, 0) - 1)
            self.sweep.record_attempt(cell, active.before)
        elsewhere, state = self._is_elsewhere(cell), state_of(self.sweep, cell).state
        self._states[cell.signature] = state
        if elsewhere and not self._stopping:
            self._active[cell.signature] = Active(cell, None, None)
        elif state in FINISHED:
            self.tell(f"{cell.label}: {state}, by another process")
        elif not self._closed:
            self.waiting.append(cell)

    def _failed(self) -> None:
        self._failures += 1
        if self.options.fail_fast:
            self._stop_all("fail_fast: a cell failed")
        elif self.options.max_failures is not None and self._failures >= self.options.max_failures:
            if self.waiting:
                self.tell(f"max_failures: {self._failures} cells have failed; {len(self.waiting)} are not started")
            self._close()

    def _close(self) -> None:
        """Start nothing more."""
        self._closed = True
        self.waiting.clear()

    # Limits and requests.

    def _mind_limits(self) -> None:
        if (reason := self._stop()) and not self._stopping:
            self._stop_all(reason)
        now = time.time()
        for active in list(self._active.values()):
            if active.record is None:
                if self.sweep.cancelled(active.cell).exists():
                    self._leave(active)
                continue
            if active.asked_at is not None:
                if now - active.asked_at > self.options.grace_s:
                    kill(active.record)
                continue
            limit = active.record.get("limit_s")
            if self.sweep.cancelled(active.cell).exists():
                self._ask(active, "cancelled")
            elif limit is not None and now - active.record["started"] > limit:
                self._ask(active, "time_limit")

    def _stop_all(self, reason: str) -> None:
        self._stopping = reason
        self._close()
        count = sum(active.record is not None for active in self._active.values())
        self.tell(f"{reason}: {count} cells are asked to stop; each writes its checkpoint first")
        for active in list(self._active.values()):
            if active.record is None:
                self._leave(active)
            elif active.asked_at is None:
                self._ask(active, "preempted")

    def _leave(self, active: Active) -> None:
        """Follow no longer what somebody else runs."""
        del self._active[active.cell.signature]
        self.tell(f"{active.cell.label}: left to the process that runs it")

    def _ask(self, active: Active, why: str) -> None:
        assert active.record is not None
        active.record["asked"], active.asked_at = why, time.time()
        self.sweep.record_attempt(active.cell, active.record)
        ask_to_stop(active.record)

    # What can start.

    def _startable(self) -> bool:
        """Whether a waiting cell can ever start, now that nothing runs."""
        return bool(self._coming())

    def _coming(self) -> set[str]:
        """The signatures of all that runs, or may yet; the others wait for what never comes."""
        left = [cell for cell in self.waiting if not self.sweep.cancelled(cell).exists()]
        waiters: dict[str, list[str]] = {}
        for cell in left:
            for name in self._waits_for(cell):
                waiters.setdefault(name, []).append(cell.signature)
        new = [*self._active, *(cell.signature for cell in left if self._may_start(cell))]
        found = set(new)
        while new:
            new = [name for name in dict.fromkeys(waiters.pop(new.pop(), ())) if name not in found] + new
            found.update(new)
        return found

    def _waits_for(self, cell: Cell) -> list[str]:
        """The signatures of what must have ended before the cell starts."""
        found = [cell.parent] if cell.parent else []
        if cell.group is not None and not cell.first:
            found += [one.signature for one in self.sweep.cells if one.first]
        return found

    def _may_start(self, cell: Cell) -> bool:
        return may_start(self.sweep, cell, lambda one: self._states[one.signature]) is None

    def _attach_all(self) -> None:
        """Take over what runs already, before anything is started."""
        self.waiting = [cell for cell in self.waiting if not self._attach(cell)]

    def _start_ready(self) -> None:
        taken = {active.slot for active in self._active.values()}
        free = [slot for slot in range(len(self._gpus)) if slot not in taken]
        coming = self._coming() if free else set()
        for cell in list(self.waiting):
            if not free:
                return
            if coming.isdisjoint(self._waits_for(cell)) and self._may_start(cell):
                self.waiting.remove(cell)
                if not self._attach(cell):
                    self._start(cell, free.pop(0))

    def _attach(self, cell: Cell) -> bool:
        """Take over a cell that a pool started, and that runs; follow one that somebody else runs."""
        record = self.sweep.attempt(cell)
        if lives(record) and "job" not in record:
            self._active[cell.signature] = Active(cell, record.get("slot"), record)
        elif self._is_elsewhere(cell):
            self._active[cell.signature] = Active(cell, None, None)
        else:
            return False
        self.tell(f"{cell.label}: runs already, attached")
        return True

    def _is_elsewhere(self, cell: Cell) -> bool:
        """Whether a process that no pool started has the cell, such as one of a queue's job."""
        return is_held(self.sweep, cell) or lives(self.sweep.attempt(cell))

    def _start(self, cell: Cell, slot: int) -> None:
        self._tries[cell.signature] = self._tries.get(cell.signature, 0) + 1
        begin = bytes_in(self.sweep.log(cell))
        command = cell_command(self.sweep.frozen(cell), self.options.memory_gb)
        share = len(self._gpus) * self._devices[cell.signature]
        environment = os.environ | slot_environment(self.options, self._gpus[slot], share)
        before = self.sweep.attempt(cell)
        limit = None if self.options.time_limit_min is None else 60 * self.options.time_limit_min
        known = {"slot": slot, "log_begin": begin, "limit_s": limit}
        try:
            process, record = start_recorded(self.sweep, cell, command, environment, known)
        except OSError as error:  # the cell's own trouble, and nobody else's
            self._states[cell.signature] = "failed"
            self.tell(f"{cell.label}: failed: its process could not be started: {error}")
            self._failed()
            return
        self._active[cell.signature] = Active(cell, slot, record, process, before, out_of_memory_kills())
        self._states[cell.signature] = "starting"
        self.tell(f"{cell.label}: started")

    def _beat(self, **more: Any) -> None:
        now = time.time()
        if more or now - self._beaten > BEAT_EVERY_S:
            self._beaten = now
            beat = identity(os.getpid()) | {"heartbeat": now, "slots": len(self._gpus), "stopping": self._stopping}
            beat["waiting"] = [cell.signature for cell in self.waiting]
            write_atomically(self.sweep.pool_file, json_text(beat | more, indent=1) + "\n")
