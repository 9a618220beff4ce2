"""What SLURM says of jobs, by `squeue`, `scontrol` and, where there is accounting, `sacct`.

One listing of one's own jobs serves all cells of a sweep, and is renewed after `RENEW_S`: a controller serves
thousands of users. A job that it lacks, or that has ended, is asked for by itself, once. Every question has an end: a
controller that is away must not hold up anybody.
"""

import os
import pwd
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

RENEW_S = 5.0
TIMEOUT_S = 20.0
UNKNOWN_S = 30.0

WORKS = ("RUNNING", "COMPLETING", "STAGE_OUT", "SUSPENDED", "STOPPED", "SIGNALING", "RESIZING", "EXPEDITING")
UNKNOWN = "UNKNOWN"
"""SLURM no longer knows the job: it ended some minutes ago, and there is no accounting."""
ENDS = (
    *("COMPLETED", "FAILED", "TIMEOUT", "DEADLINE", "CANCELLED", "PREEMPTED", "NODE_FAIL", "BOOT_FAIL"),
    *("OUT_OF_MEMORY", "REVOKED", UNKNOWN),
)


@dataclass(frozen=True)
class JobView:
    """A job as SLURM has it. state: in SLURM's words, or UNKNOWN. exit_code: negative for a signal; None: not asked."""

    job: str
    state: str
    reason: str = ""
    node: str = ""
    name: str = ""
    exit_code: int | None = None

    @property
    def works(self) -> bool:
        """Whether its processes are there; otherwise, if it is not over, it waits."""
        return self.state in WORKS

    @property
    def held(self) -> bool:
        """Whether it waits for nobody: SLURM holds a job whose launch failed, for an administrator to release."""
        return self.state == "PENDING" and self.reason.replace("_", " ") == "launch failed requeued held"

    @property
    def over(self) -> bool:
        """Whether it has ended, or SLURM knows it no more."""
        return self.state in ENDS


class Queue:
    """SLURM's queue as it was at most `RENEW_S` ago. trouble: why it could not be asked, or nothing."""

    def __init__(self) -> None:
        self.trouble = ""
        self._asked = self._answered = self._wanted = 0.0
        self._jobs: dict[str, JobView] | None = None
        self._ends: dict[tuple[str, str], tuple[JobView, float]] = {}

    def view(self, job: str, *, since: float = 0.0) -> JobView | None:
        """The job now; None where SLURM cannot be asked. since: [Unix s] the listing must be younger."""
        listed = self.jobs(since=since)
        if listed is None:
            return None
        return listed.get(job) or JobView(job, UNKNOWN)

    def jobs(self, *, since: float = 0.0) -> dict[str, JobView] | None:
        """{job: view} of one's own jobs, those that have just ended too; None where SLURM cannot be asked."""
        # A clock elsewhere that is ahead may want an answer from the future: each such wish renews it once.
        newer = self._asked <= since and since > self._wanted
        if time.time() - self._answered > RENEW_S or newer:
            self._asked, self._wanted = time.time(), max(self._wanted, since)
            self._jobs = self._listing()
            self._answered = time.time()
        return self._jobs

    def end(self, view: JobView) -> JobView:
        """The same job as whoever still knows it has it, with its exit code; asked once, and of an unknown one again
        after `UNKNOWN_S`: accounting lags behind.
        """
        key = view.job, view.state  # a job that was requeued ends once more
        known, when = self._ends.get(key, (None, 0.0))
        if known is None or (known.state == UNKNOWN and time.time() - when > UNKNOWN_S):
            known = ended(view)
            if known.over:
                self._ends[key] = known, time.time()
        return known

    def _listing(self) -> dict[str, JobView] | None:
        user = pwd.getpwuid(os.getuid()).pw_name
        command = ["squeue", "--noheader", "--all", "--array", "--states=all", f"--user={user}"]
        try:
            text = ask([*command, "--format=%i|%T|%r|%N|%j"])
        except SlurmError as error:
            self.trouble = str(error)
            return None
        self.trouble = ""
        return parse_listing(text)


QUEUE = Queue()
"""The one that all of this process share."""


def parse_listing(text: str) -> dict[str, JobView]:
    """The lines of `squeue --format=%i|%T|%r|%N|%j`; a name may hold anything."""
    found = {}
    for line in filter(None, text.splitlines()):
        job, state, reason, node, name = ([*line.split("|", 4), "", "", "", ""])[:5]
        found[job.strip()] = JobView(job.strip(), state, "" if reason == "None" else reason, node, name)
    return found


def ended(view: JobView) -> JobView:
    """The same with its exit code, and with its state where only accounting still knows it."""
    for question in (_by_scontrol, _by_sacct):
        found = question(view.job)
        if found is not None:
            return found
    return view


def details(job: str) -> dict[str, str]:
    """What `scontrol show job` says, {} where it says nothing."""
    try:
        text = ask(["scontrol", "--oneliner", "show", "job", job])
    except SlurmError:
        return {}
    return {key: value for key, _, value in (part.partition("=") for part in text.split()) if key}


def _by_scontrol(job: str) -> JobView | None:
    found = details(job)
    if "JobState" not in found:
        return None
    reason = found.get("Reason", "")
    return JobView(
        job,
        found["JobState"],
        "" if reason == "None" else reason,
        found.get("NodeList", ""),
        found.get("JobName", ""),
        exit_code(found.get("ExitCode", "")),
    )


def _by_sacct(job: str) -> JobView | None:
    try:
        text = ask(["sacct", "--noheader", "--parsable2", "--allocations", f"--jobs={job}", "--format=State,ExitCode"])
    except SlurmError:
        return None
    lines = text.splitlines()
    if not lines:
        return None
    state, code = [*lines[-1].split("|"), ""][:2]
    word, _, by = state.partition(" ")  # "CANCELLED by 1000"
    return JobView(job, word, by, exit_code=exit_code(code))


def exit_code(text: str) -> int | None:
    """Of SLURM's CODE:SIGNAL; negative for a signal."""
    found = re.fullmatch(r"(\d+):(\d+)", text)
    if found is None:
        return None
    code, number = int(found[1]), int(found[2])
    return -number if number else code


def seconds_of(text: str) -> int | None:
    """Of SLURM's DAYS-HH:MM:SS, with days or without; None of its words, such as UNLIMITED."""
    found = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d+):(\d+)", text)
    if found is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return ((24 * days + hours) * 60 + minutes) * 60 + seconds


def end_time(known: Mapping[str, str]) -> float | None:
    """When SLURM will end a job [Unix s], by its `details`; None where it does not say.

    By how long it may run and has run: its EndTime is a time of day, which in autumn may be either of two.
    """
    limit, run = seconds_of(known.get("TimeLimit", "")), seconds_of(known.get("RunTime", ""))
    return None if limit is None or run is None else time.time() + limit - run


class SlurmError(RuntimeError):
    """SLURM could not be asked, or refused; the message is its own."""


def ask(command: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    """What a command of SLURM says. Raises SlurmError with its message, after `TIMEOUT_S` at the latest."""
    whole = os.environ if environment is None else environment
    # People's own wishes for what they see themselves.
    plain = {key: value for key, value in whole.items() if not key.startswith(("SQUEUE_", "SACCT_", "SLURM_TIME_"))}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, env=plain, errors="replace"
        )
    except FileNotFoundError as error:
        raise SlurmError(f"{command[0]} is not installed on this machine") from error
    except subprocess.TimeoutExpired as error:
        raise SlurmError(f"{command[0]} did not answer within {TIMEOUT_S:g} s") from error
    if done.returncode:
        said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise SlurmError(f"{command[0]}: {said}")
    return done.stdout
