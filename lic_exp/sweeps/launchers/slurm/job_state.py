"""Where a cell stands that SLURM has: by what its job wrote, and by what SLURM says as far as it can be asked."""

import signal

from lic_exp import exit_codes
from lic_exp.runs.run import shown_state
from lic_exp.sweeps.exit_status import MEMORY_ADVICE, diagnose, end_of
from lic_exp.sweeps.folder import Cell, CellRecord, SweepFolder
from lic_exp.sweeps.launchers.slurm.arrays import job_log
from lic_exp.sweeps.launchers.slurm.queue import QUEUE, UNKNOWN, JobView


def state_of_job(
    sweep: SweepFolder, cell: Cell, job: CellRecord, attempt: CellRecord, status: CellRecord
) -> tuple[str, str]:
    """As `JobQueue.state`."""
    written = attempt.get("state")
    lasting = written not in (None, "preempted") and not attempt.get("again")
    if lasting and not _may_be_memory(attempt):
        return str(written), attempt.get("reason", "")
    latest = max(attempt.get("started", 0.0), attempt.get("ended", 0.0), job["submitted"])
    view = QUEUE.view(job["job"], since=latest)
    shown = shown_state(status, sweep.run(cell).files.status_file) if status else None
    if view is None:
        return _from_files(job, attempt, status, shown)
    if view.over:
        view = QUEUE.end(view)
    if lasting and view.state != "OUT_OF_MEMORY":
        return str(written), attempt.get("reason", "")
    if view.over:
        return _over(sweep, cell, view, attempt, status)
    return _in_queue(view, bool(written), shown)


def _in_queue(view: JobView, written: bool, shown: str | None) -> tuple[str, str]:
    """Of a job that is there; written: it has ended a turn, and its next one has not begun."""
    if view.works and not written:
        at_work = shown in ("running", "done")  # done: it is evaluated
        return ("running" if at_work else "starting"), ""
    if view.held:
        return "killed", f"job {view.job}: {view.reason}: its node could not begin it, and SLURM will not try again"
    said = view.reason or ("asked to stop; it starts again" if view.works else view.state)
    return "queued", f"job {view.job}: {said}"


def _may_be_memory(attempt: CellRecord) -> bool:
    """Killed while its job lived on: only SLURM may know that it was for memory."""
    return attempt.get("state") == "killed" and attempt.get("exit_code") == -signal.SIGKILL


def _from_files(job: CellRecord, attempt: CellRecord, status: CellRecord, shown: str | None) -> tuple[str, str]:
    """Where SLURM cannot be asked, as on a machine outside of the cluster."""
    if attempt.get("state") == "preempted" or attempt.get("again"):
        return "queued", f"job {job['job']}: {attempt['reason']}; {QUEUE.trouble}"
    if attempt.get("state"):
        return attempt["state"], attempt.get("reason", "")
    if shown is not None:
        return shown, str(status.get("reason") or "")
    return ("starting" if attempt else "queued"), f"job {job['job']}: {QUEUE.trouble}"


def _over(sweep: SweepFolder, cell: Cell, view: JobView, attempt: CellRecord, status: CellRecord) -> tuple[str, str]:
    """Of a job that is no longer in the queue, and wrote no end of its own, or one that SLURM has the last word on."""
    if sweep.cancelled(cell).exists():
        return "cancelled", attempt.get("reason") or ("its job was cancelled" if attempt else "before it began")
    waited = cell.parent is not None or cell.group is not None
    if not attempt and (view.state == "COMPLETED" or (waited and view.state == "CANCELLED")):
        return "waiting", ""  # what it waited for failed, or its job saw that it must not start
    if view.state in ENDED_BY_SLURM:
        state, why = ENDED_BY_SLURM[view.state]
        on = f" ({view.node})" if view.node and "node" in why else ""
        return state, f"{why}{on}; {'it goes on from its newest checkpoint' if attempt else 'it had not begun'}"
    if attempt.get("state"):  # preempted, and not started again
        return attempt["state"], attempt.get("reason", "")
    if view.state == UNKNOWN:
        begun = "gone, and nobody saw how it ended" if attempt else "not known to SLURM any more, and had not begun"
        return "dead", f"job {view.job} is {begun}"
    log = end_of(sweep.log(cell), attempt.get("log_begin", 0)) if attempt else ""
    log += end_of(job_log(sweep, view.job), attempt.get("job_log_begin", 0))  # SLURM's own words
    state, reason = diagnose(_as_process(view.exit_code), None, status, log, kernel_killed=False)
    return state, f"job {view.job}: {reason}"


ENDED_BY_SLURM = {
    "TIMEOUT": ("time_limit", "SLURM ended it at its time limit"),
    "DEADLINE": ("time_limit", "SLURM ended it at its deadline"),
    "CANCELLED": ("cancelled", "its job was cancelled"),
    "PREEMPTED": ("preempted", "its job was preempted"),
    "NODE_FAIL": ("killed", "its node failed"),
    "BOOT_FAIL": ("killed", "its node did not start"),
    "OUT_OF_MEMORY": ("out_of_memory", f"SLURM killed it for memory: ask for more, or {MEMORY_ADVICE}"),
}
"""What SLURM itself says of a job's end, and what it means."""


def _as_process(code: int | None) -> int:
    """The exit code of a job's process, negative for a signal, which a shell between them shows as 128 and more."""
    if not code:
        return exit_codes.FAILED
    return SHELLS - code if SHELLS < code <= SHELLS + signal.NSIG else code


SHELLS = 128
