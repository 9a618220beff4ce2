"""The local pool: runs the cells of a sweep as processes of this machine, so many at a time.

Each cell leads a session of its own and writes to a file, so that it needs nobody: where the pool dies, its cells go
on, and the next pool finds them by the records that this one left. A cell's failure is a line in a table, nothing else.
"""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from lic_exp import exit_codes
from lic_exp.atomic import write_atomically
from lic_exp.processes import ask_to_stop, identity, kill, lives, out_of_memory_kills
from lic_exp.runs.listing import bytes_in
from lic_exp.sweeps.cell_process import cell_command, start_cell
from lic_exp.sweeps.exit_status import exit_of, outcome
from lic_exp.sweeps.folder import Cell, SweepFolder
from lic_exp.sweeps.launchers.local.options import LocalOptions, slot_environment, slots
from lic_exp.sweeps.states import FINISHED, TROUBLE, is_held, may_start, state_of

LOOK_EVERY_S = 0.1
BEAT_EVERY_S = 5.0

Tell = Callable[[str], None]


@dataclass
class Active:
    """A cell at work. process: None where another pool started it, or somebody else runs it (then without a record)."""

    cell: Cell
    slot: int | None
    record: dict[str, Any] | None
    process: subprocess.Popen[bytes] | None = None
    memory_kills: int | None = None
    asked_at: float | None = None


class Pool:
    """Starts the `wanted` cells of a sweep, attaches to those that run, and returns when all have ended.

    stop: asked again and again; once it has a reason, the cells are asked to stop, and after `grace_s` killed.
    tell: gets a line for people now and then.
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
        self._gpus = slots(options)
        self._active: dict[str, Active] = {}
        self._states: dict[str, str] = {}
        self._tries: dict[str, int] = {}
        self._failures = 0
        self._stopping = ""
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
        return not is_held(self.sweep, active.cell), None

    def _settle(self, active: Active, exit_code: int | None) -> None:
        """Write down how it ended, and decide whether it is tried again."""
        cell = active.cell
        if active.record is None or exit_code == exit_codes.BUSY:
            self._look_again(cell)
            return
        if active.process is not None:
            kill_rest(active.process.pid)
        killed = active.memory_kills is not None and (out_of_memory_kills() or 0) > active.memory_kills
        state, reason = outcome(self.sweep, cell, active.record, exit_code, kernel_killed=killed)
        code = exit_of(self.sweep, cell, active.record, exit_code)
        ended = {"ended": time.time(), "exit_code": code, "state": state, "reason": reason}
        self.sweep.record_attempt(cell, active.record | ended)
        self._states[cell.signature] = state
        again = state in TROUBLE and state != "refused" and self._tries.get(cell.signature, 0) <= self.options.retries
        if again and not self._stopping and self._tries.get(cell.signature):
            self.tell(f"{cell.label}: {state}, tried again: {reason}")
            self.waiting.append(cell)
            return
        minutes = (time.time() - active.record["started"]) / 60
        self.tell(f"{cell.label}: {state} after {minutes:.1f} min{f': {reason}' if reason else ''}")
        if state in TROUBLE:
            self._failed()

    def _look_again(self, cell: Cell) -> None:
        """Somebody else had this run; it is either finished, or this pool's turn."""
        if is_held(self.sweep, cell):
            self._active[cell.signature] = Active(cell, None, None)
        elif (state := state_of(self.sweep, cell).state) in FINISHED:
            self._states[cell.signature] = state
            self.tell(f"{cell.label}: {state}, by another process")
        else:
            self.waiting.append(cell)

    def _failed(self) -> None:
        self._failures += 1
        if self.options.fail_fast:
            self._stop_all("fail_fast: a cell failed")
        elif self.options.max_failures is not None and self._failures >= self.options.max_failures:
            if self.waiting:
                self.tell(f"max_failures: {self._failures} cells have failed; {len(self.waiting)} are not started")
            self.waiting.clear()

    # Limits and requests.

    def _mind_limits(self) -> None:
        if (reason := self._stop()) and not self._stopping:
            self._stop_all(reason)
        now = time.time()
        for active in self._active.values():
            if active.record is None:
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
        self.waiting.clear()
        running = [active for active in self._active.values() if active.record is not None]
        self.tell(f"{reason}: {len(running)} cells are asked to stop; each writes its checkpoint first")
        for active in running:
            if active.asked_at is None:
                self._ask(active, "preempted")

    def _ask(self, active: Active, why: str) -> None:
        assert active.record is not None
        active.record["asked"], active.asked_at = why, time.time()
        self.sweep.record_attempt(active.cell, active.record)
        ask_to_stop(active.record)

    # What can start.

    def _startable(self) -> bool:
        """Whether a waiting cell can ever start, now that nothing runs."""
        return any(self._readiness(cell) != "never" for cell in self.waiting)

    def _readiness(self, cell: Cell) -> str:
        """By what the cell waits for: now, later or never."""
        waits_for = {cell.parent} if cell.parent else set()
        if cell.group is not None and not cell.first:
            waits_for |= {one.signature for one in self.sweep.cells if one.first}
        if not self.sweep.cancelled(cell).exists() and self._pending(waits_for):
            return "later"
        return "now" if may_start(self.sweep, cell, lambda one: self._states[one.signature]) is None else "never"

    def _pending(self, signatures: set[str]) -> bool:
        """Whether one of these runs, or may yet."""
        if signatures & set(self._active):
            return True
        awaited = (one for one in self.waiting if one.signature in signatures)
        return any(self._readiness(one) != "never" for one in awaited)

    def _attach_all(self) -> None:
        """Take over what runs already, before anything is started."""
        self.waiting = [cell for cell in self.waiting if not self._attach(cell)]

    def _start_ready(self) -> None:
        taken = {active.slot for active in self._active.values()}
        free = [slot for slot in range(len(self._gpus)) if slot not in taken]
        for cell in list(self.waiting):
            if not free:
                return
            if self._readiness(cell) == "now":
                self.waiting.remove(cell)
                if not self._attach(cell):
                    self._start(cell, free.pop(0))

    def _attach(self, cell: Cell) -> bool:
        """Take over a cell that runs already, whoever started it."""
        record = self.sweep.attempt(cell)
        if lives(record):
            self._active[cell.signature] = Active(cell, record.get("slot"), record)
        elif is_held(self.sweep, cell):
            self._active[cell.signature] = Active(cell, None, None)
        else:
            return False
        self.tell(f"{cell.label}: runs already, attached")
        return True

    def _start(self, cell: Cell, slot: int) -> None:
        self._tries[cell.signature] = self._tries.get(cell.signature, 0) + 1
        begin = bytes_in(self.sweep.log(cell))
        command = cell_command(self.sweep.frozen(cell), self.options.memory_gb)
        environment = os.environ | slot_environment(self.options, self._gpus[slot], len(self._gpus))
        process = start_cell(self.sweep, cell, command, environment, start_new_session=True)
        limit = None if self.options.time_limit_min is None else 60 * self.options.time_limit_min
        record = identity(process.pid) | {"slot": slot, "started": time.time(), "log_begin": begin, "limit_s": limit}
        self.sweep.record_attempt(cell, record)
        self._active[cell.signature] = Active(cell, slot, record, process, out_of_memory_kills())
        self._states[cell.signature] = "starting"
        self.tell(f"{cell.label}: started")

    def _beat(self, **more: Any) -> None:
        now = time.time()
        if more or now - self._beaten > BEAT_EVERY_S:
            self._beaten = now
            beat = identity(os.getpid()) | {"heartbeat": now, "slots": len(self._gpus), "stopping": self._stopping}
            write_atomically(self.sweep.folder / "pool.json", json.dumps(beat | more, indent=1) + "\n")


def kill_rest(leader: int) -> None:
    """End what a process that is gone left behind in its group, such as data loaders."""
    try:
        os.killpg(leader, 9)
    except (ProcessLookupError, PermissionError):
        return
