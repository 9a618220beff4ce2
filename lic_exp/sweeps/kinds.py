"""What the small files beside a sweep's frozen configs hold, as `lic_exp.records` reads them."""

from typing import Any, Required

from pydantic import with_config
from typing_extensions import TypedDict

from lic_exp.records import RECORD, Amount, Count, FileName, Instant, Pid


@with_config(RECORD)
class AttemptRecord(TypedDict, total=False):
    """cells/SIGNATURE.attempt: the latest process of a cell, and how it ended."""

    started: Required[Instant]
    host: str
    pid: Pid
    ticks: Count | None
    slot: Count | None
    limit_s: Amount | None
    log_begin: Count
    job_log_begin: Count
    asked: str | None
    ended: Instant
    exit_code: int | None
    state: str
    reason: str
    job: str
    claim: str
    again: bool
    tries: Count
    timeouts: Count
    timeout_step: Count
    lost_step: Count


@with_config(RECORD)
class ExitRecord(TypedDict):
    """cells/SIGNATURE.exit."""

    pid: Pid
    exit_code: int


@with_config(RECORD)
class JobRecord(TypedDict, total=False):
    """cells/SIGNATURE.job."""

    job: Required[str]
    submitted: Required[Instant]
    launcher: str


@with_config(RECORD)
class PoolRecord(TypedDict, total=False):
    """pool.json."""

    host: str
    pid: Pid
    ticks: Count | None
    heartbeat: Instant
    ended: Instant | None
    slots: Count
    stopping: str


@with_config(RECORD)
class PoolTask(TypedDict):
    """request.json: what a pool in the background shall run."""

    options: dict[str, Any]
    cells: list[FileName]


@with_config(RECORD)
class FrozenCell(TypedDict, total=False):
    """cells/SIGNATURE.json."""

    signature: Required[FileName]
    given: Required[list[str]]
    config: Required[dict[str, Any]]
    sweep: str | None
    overrides: dict[str, Any]
    evaluation: str | None


@with_config(RECORD)
class ArrayRecord(TypedDict):
    """A file of slurm/: jobs that are submitted at once. job: None until they are."""

    name: str
    made: Instant
    cells: list[FileName]
    job: str | None
    options: dict[str, Any]


@with_config(RECORD)
class TaskNote(TypedDict, total=False):
    """slurm/JOB.tasks/RANK.json: where one of the tasks that train a cell stands. turn: how often the job was requeued.

    start: which start of the cell it is about. exit_code: of its process; None where its own task gave it up.
    """

    turn: Required[Count]
    state: Required[str]
    beat: Count
    start: Count
    address: str
    port: Count
    exit_code: int | None
    memory_kill: bool
