"""Inside a SLURM job: starts the cell's process, hears SLURM's signals for it, and writes down how it ended.

The cell runs in a process of its own, so that one that is killed, by the kernel for memory or by anybody, still has
somebody to say so. Signals only set a flag here; the cell writes its checkpoint at its next step, and then this
process asks SLURM for another turn. Two copies of a cell never train at once: a job that starts marks the cell as its
own, and waits for the copy before it, which sees the mark and stops.
"""

import os
import secrets
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from lic_exp import exit_codes
from lic_exp.processes import ask_to_stop, identity, out_of_memory_kills
from lic_exp.runs.listing import bytes_in
from lic_exp.runs.lock import run_is_held
from lic_exp.saying import show
from lic_exp.sweeps.control import cancel
from lic_exp.sweeps.exit_status import end_of, exit_of, is_of, outcome, status_of
from lic_exp.sweeps.folder import Cell, SweepFolder
from lic_exp.sweeps.launchers.slurm.arrays import job_log, job_record, task_of
from lic_exp.sweeps.launchers.slurm.follower import Follower
from lic_exp.sweeps.launchers.slurm.options import SlurmOptions
from lic_exp.sweeps.launchers.slurm.others import Others
from lic_exp.sweeps.launchers.slurm.queue import SlurmError, ask, details, end_time
from lic_exp.sweeps.launchers.slurm.task_notes import ENDED, TaskNotes, rank_environment
from lic_exp.sweeps.launchers.slurm.task_process import END, WARNING, listen, start_task
from lic_exp.sweeps.states import FAILURES, RETRIED, is_done, is_held, may_start

LOOK_EVERY_S = 0.2
MARK_EVERY_S = 2.0
RESERVE_S = 15.0
"""So long before the time limit a cell that does not stop is given up, for its job to be requeued nevertheless."""


def work(array: str | Path) -> int:
    """Run this job's cell of the array that the file describes. Returns the exit code of the job, or of this task."""
    sweep, cell, options = task_of(Path(array), int(os.environ.get("SLURM_ARRAY_TASK_ID", "0")))
    notes = TaskNotes(sweep, job_number(os.environ), os.environ)
    if notes.rank:
        return Follower(sweep, cell, notes, os.environ).run()
    try:
        return Job(sweep, cell, options, os.environ).run()
    finally:
        notes.leave(ENDED)


def job_number(environment: Mapping[str, str]) -> str:
    """As squeue shows it: ARRAY_TASK, or the number of a single job."""
    array = environment.get("SLURM_ARRAY_JOB_ID")
    return f"{array}_{environment['SLURM_ARRAY_TASK_ID']}" if array else environment["SLURM_JOB_ID"]


class Job:
    """One turn of a job: from its start, or restart, to its end."""

    def __init__(self, sweep: SweepFolder, cell: Cell, options: SlurmOptions, environment: Mapping[str, str]) -> None:
        self.sweep = sweep
        self.cell = cell
        self.number = job_number(environment)
        self.options = options
        self._environment = environment
        self._before = sweep.attempt(cell)
        self._record: dict[str, Any] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._heard: signal.Signals | None = None
        self._others = Others(TaskNotes(sweep, self.number, environment))
        self._ends_at = end_time(details(self.number))
        self._given_up = False
        self._marked = 0.0

    def run(self) -> int:
        """Returns the exit code of the job."""
        listen(self._hear)
        if is_done(self.sweep, self.cell):
            return exit_codes.DONE
        if (reason := self._refusal()) is not None:
            show(f"{self.cell.label}: not started: {reason}")
            return exit_codes.DONE
        self._mark()
        code = self._turn()
        if not self._is_ours():
            show(f"{self.cell.label}: a newer copy of this job has the cell")
            return exit_codes.PREEMPTED
        return self._settle(code)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self._heard = self._heard or signal.Signals(number)
        if self._process is not None:
            self._process.send_signal(END)

    def _refusal(self) -> str | None:
        """Why the cell must not start although its job does; None where it may."""
        limit = self.options.max_failures
        if limit is not None:
            failed = sum(self._has_failed(cell) for cell in self.sweep.cells if cell != self.cell)
            if failed >= limit:
                return f"max_failures: {failed} cells have failed"
        return may_start(self.sweep, self.cell)

    def _has_failed(self, cell: Cell) -> bool:
        """For good, and not before it was submitted again."""
        attempt = self.sweep.attempt(cell)
        current = attempt.get("job") == self.sweep.job(cell).get("job")
        return attempt.get("state") in FAILURES and current and not attempt.get("again")

    # The cell's one owner.

    def _mark(self) -> None:
        """Say that the cell is this job's now; an older copy that lives sees it, and stops."""
        same = self._before.get("job") == self.number
        self._record = {
            "job": self.number,
            "claim": secrets.token_hex(8),
            "host": identity(os.getpid())["host"],
            "started": time.time(),
            "log_begin": bytes_in(self.sweep.log(self.cell)),
            "job_log_begin": bytes_in(job_log(self.sweep, self.number)),
        } | {key: self._before.get(key, 0) if same else 0 for key in ("timeouts", "timeout_step", "tries")}
        if same and "lost_step" in self._before:
            self._record["lost_step"] = self._before["lost_step"]
        self.sweep.record_attempt(self.cell, self._record)
        self.sweep.record_job(self.cell, job_record(self.number, self._submitted()))

    def _submitted(self) -> float:
        """As the submitter wrote it, or now where it was killed before it could."""
        known = self.sweep.job(self.cell)
        return float(known["submitted"]) if known.get("job") == self.number else self._record["started"]

    def _is_ours(self) -> bool:
        """Whether no other copy has marked the cell; a file system that hiccups says nothing."""
        try:
            return self.sweep.attempt(self.cell).get("claim") in (None, self._record["claim"])
        except OSError:
            return True

    def _turn(self) -> int | None:
        """Run the cell, once an older copy is gone. Returns its exit code; None where it did not start."""
        code: int | None = exit_codes.BUSY
        while code == exit_codes.BUSY and self._heard is None and self._is_ours():
            if not self._is_taken():
                code = self._train()
            if code == exit_codes.BUSY:
                self._others.notes.beat()
                time.sleep(MARK_EVERY_S)
        return code if code != exit_codes.BUSY else None

    def _is_taken(self) -> bool:
        """Whether another process still has the run.

        SLURM gives a job one turn at a time: what this job's former turn said is no sign of life, however fresh, so
        that a requeued job goes on at once, on whatever node. A lock that is held counts.
        """
        run = self.sweep.run(self.cell)
        own = self._before.get("job") == self.number and is_of(status_of(run), self._before)
        return run_is_held(run.files) if own else is_held(self.sweep, self.cell)

    def _train(self) -> int:
        """The exit code of the cell's process, or of that which ended it; BUSY also where none was started."""
        kills = out_of_memory_kills()
        if not self._others.gathered(lambda: self._heard is not None or not self._is_ours()):
            return exit_codes.FAILED if self._others.lost else exit_codes.BUSY
        rank = rank_environment({}) if self._others.ranks else {}
        self.sweep.exit_file(self.cell).unlink(missing_ok=True)
        self._process = start_task(self.sweep, self.cell, self._environment, rank)
        if rank:
            self._others.begin(rank["MASTER_ADDR"], int(rank["MASTER_PORT"]))
        if self._heard is not None:  # while there was no process yet to tell
            self._process.send_signal(END)
        self._record |= identity(self._process.pid)
        self.sweep.record_attempt(self.cell, self._record)
        while self._process.poll() is None:
            self._mind()
            time.sleep(LOOK_EVERY_S)
        self._record["memory_kill"] = kills is not None and (out_of_memory_kills() or 0) > kills
        self._others.find_end(self._process.returncode, lambda: self._heard is not None)
        return self._process.returncode

    def _mind(self) -> None:
        """Stop the cell where another copy has it, and at the time limit also where SLURM's signal was lost."""
        assert self._process is not None
        now = time.time()
        if now - self._marked > MARK_EVERY_S:
            self._marked = now
            self._others.notes.beat()
            if not self._is_ours():
                ask_to_stop(self._record)
            if self._others.leave_alone():
                self._process.kill()
        if self._ends_at is None:
            return
        left = self._ends_at - now
        if left < self.options.signal_delay_s / 2 and self._heard is None:
            self._hear(WARNING, None)
        if left < min(RESERVE_S, self.options.signal_delay_s / 4) and not self._given_up:
            self._given_up = True
            self._process.kill()

    # How it ended.

    def _settle(self, code: int | None) -> int:
        """Write down how the cell ended, and ask for another turn where it shall have one."""
        code = code if code is None else exit_of(self.sweep, self.cell, self._record, code)
        asked = None
        if self._heard is not None:
            asked = self._why()
            self._record["asked"] = asked
        if code is None:
            state, reason = asked or "preempted", "asked to stop before its training began"
        elif self._given_up and code == -signal.SIGKILL:
            state, reason = "time_limit", "it did not stop before its time limit; it goes on from its newest checkpoint"
        elif self._others.lost:
            state, reason = self._lost()
        elif self._others.failed is not None:
            code = self._others.code
            state, reason = self._others.said(end_of(self.sweep.log(self.cell), self._record["log_begin"]))
        else:
            state, reason = outcome(
                self.sweep, self.cell, self._record, code, kernel_killed=self._record.pop("memory_kill", False)
            )
        self._record |= {"ended": time.time(), "exit_code": code, "state": state, "reason": reason}
        self.sweep.record_attempt(self.cell, self._record)
        show(f"{self.cell.label}: {state}{f': {reason}' if reason else ''}")
        if state == "done":
            return exit_codes.DONE
        again = self._again(state)
        self.sweep.record_attempt(self.cell, self._record)
        if again:
            self._requeue()
        elif state in FAILURES and self.options.fail_fast:
            self._cancel_others()
        if code is None:
            return exit_codes.PREEMPTED
        return 128 - code if code < 0 else code or exit_codes.FAILED

    def _lost(self) -> tuple[str, str]:
        """After a node has failed, as it seems, the cell goes on; not for ever where that stops it at the same step."""
        step = status_of(self.sweep.run(self.cell)).get("step") or 0
        stuck = self._record.get("lost_step") == step
        self._record["lost_step"] = step
        if stuck or not self.options.requeue:
            return "killed", self._others.loss + (f", for the second time at step {step}" if stuck else "")
        return "preempted", f"{self._others.loss}; it goes on from its newest checkpoint"

    def _why(self) -> str:
        """What the signal meant. SLURM warns before a time limit and, if told to, before a preemption."""
        if self.sweep.cancelled(self.cell).exists():
            return "cancelled"
        known = details(self.number)
        if known.get("JobState") == "CANCELLED":
            return "cancelled"
        if self._heard == END or known.get("PreemptTime", "None") not in ("None", "Unknown"):
            return "preempted"
        soon = self._ends_at is None or self._ends_at - time.time() < self.options.signal_delay_s + 90
        return "time_limit" if soon else "preempted"

    def _again(self, state: str) -> bool:
        """Whether this job shall have another turn that it must ask for.

        SIGTERM comes when SLURM requeues or cancels the job by itself; but before a grace time it may only be a
        warning, and a job that then ends is not requeued. The job's state tells: it is still said to run.
        """
        if not self.options.requeue or self.sweep.cancelled(self.cell).exists():
            return False
        if self._heard == END and details(self.number).get("JobState") != "RUNNING":
            return False
        if state == "time_limit":
            return self._again_after_timeout()
        if state == "preempted":
            return True
        self._record["tries"] += state in RETRIED
        return bool(state in RETRIED and self._record["tries"] <= self.options.retries)

    def _again_after_timeout(self) -> bool:
        step = status_of(self.sweep.run(self.cell)).get("step") or 0
        stuck = bool(self._record["timeouts"]) and step <= self._record["timeout_step"]
        self._record |= {"timeouts": self._record["timeouts"] + 1, "timeout_step": step}
        if stuck:
            self._record["reason"] += f"; it is not requeued, for no step was done since the last time ({step})"
        return not stuck and self._record["timeouts"] <= self.options.max_num_timeout

    def _requeue(self) -> None:
        # Before asking, since SLURM may end this process before it answers.
        self.sweep.record_attempt(self.cell, self._record | {"again": True})
        try:
            ask(["scontrol", "requeue", self.number], self._environment)
        except SlurmError as error:
            reason = f"{self._record['reason']}; it could not be requeued: {error}"
            self.sweep.record_attempt(self.cell, self._record | {"reason": reason})

    def _cancel_others(self) -> None:
        others = [cell for cell in self.sweep.cells if cell != self.cell]
        show(*(f"fail_fast: {text}" for text in cancel(self.sweep, others)))
