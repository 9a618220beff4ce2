"""One process per run: a lock that the operating system releases when its holder dies, however it dies.

A lock file that somebody deletes guards nothing any more: a second process would lock a new one. So status.json says
which process holds the run by which file, whoever takes the run asks whether that process lives, and the holder looks
again and again whether the folder and the lock file are still those that it took.
"""

import errno
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from lic_exp.atomic import remove_leftovers
from lic_exp.config.errors import ConfigError
from lic_exp.processes import is_here, is_own, lives
from lic_exp.records import RecordError
from lic_exp.tracking.run_folder import HEARTBEAT_EVERY_S, RunFolder, is_silent

LOCK = ".lock"
"""The file in a run's folder, or a sweep's, that whoever is at work on it has locked."""

PATIENCE_S = 0.5
"""Who only asks whether a run is held has its lock for a moment."""

LISTEN_S = 2.5 * HEARTBEAT_EVERY_S
"""So long a heartbeat of another machine is waited for, where the lock file is not the one it was held by."""

GONE = (errno.ENOENT, errno.ENOTDIR, errno.ESTALE)


class RunBusyError(RuntimeError):
    """Another process is training this run, or evaluating it."""


class LockLostError(RunBusyError):
    """The lock file of a run that is held was removed or replaced, so that another process may take the run."""


class RunGoneError(RuntimeError):
    """The folder of a run that is held was deleted, moved or replaced."""


@dataclass
class Hold:
    """A run that this process holds.

    folder: its descriptor, open. lock: device and number of the lock file. said: whether status.json says so.
    """

    run: RunFolder
    folder: int
    lock: tuple[int, int]
    said: bool = False

    def check(self) -> None:
        """Raise RunGoneError, or LockLostError, where the run is no longer this process's."""
        root = self.run.root
        if _place(root) != _place(self.folder):
            raise RunGoneError(
                f"the run folder {root} is gone: it was deleted, moved or replaced while this process was at work on "
                "it. Nothing is written there any more"
            )
        if _place(root / LOCK) != self.lock:
            raise LockLostError(
                f"the lock file of run {self.run.signature} was removed or replaced while this process held it. "
                "Another may have taken the run, so this one ends; the same command goes on from the newest checkpoint"
            )

    def update_status(self, **changes: Any) -> None:
        """As of the run, with the lock file by which this process holds it.

        Raises as `check`, and LockLostError where another process says by now that it holds the run, as it may where
        machines do not see each other's locks; nothing is written then.
        """
        self.check()
        status = _status(self.run)
        if self.said and status.get("lock") is not None and not is_own(status):
            raise LockLostError(
                f"run {self.run.signature} was taken by process {status.get('pid')} on {status.get('host')} while this "
                "process held it, and this one ends"
            )
        self.run.update_status(**{"lock": self.lock[1], **changes})
        self.said = True


def run_is_held(run: RunFolder) -> bool:
    """Whether another process holds the run now; makes no folder, and says no where none can be asked."""
    return _holder_lives_here(_status(run)) or is_locked(run.root)


def is_locked(folder: Path) -> bool:
    """Whether another process has the lock of this folder, a run's or a sweep's; as `run_is_held`."""
    path = folder / LOCK
    if not path.exists():
        return False
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except OSError:
        return False
    lock.release()
    return False


@contextmanager
def writable(place: str | Path) -> Iterator[None]:
    """Before anything is started: where a file below `place` cannot be made or written, its name is to blame.

    Raises ConfigError then.
    """
    try:
        yield
    except Timeout:
        raise
    except OSError as error:
        where = error.filename or place
        raise ConfigError([f"paths.runs: {place} cannot be made or written to: {where}: {error.strerror}"]) from error


@contextmanager
def run_lock(run: RunFolder) -> Iterator[Hold]:
    """Hold the run; raises RunBusyError, naming the holder, where another process does.

    What a killed process left half-written is removed, and nothing of those that live: an evaluation or a sync may go
    on beside it. Raises ConfigError where the folder cannot be made or written to.
    """
    lock = FileLock(run.root / LOCK)
    try:
        with writable(run.root):
            run.root.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=PATIENCE_S)
    except Timeout:
        raise _busy(run, _status(run)) from None
    try:
        with _hold(run) as hold:
            if _is_at_work(run, hold):
                raise _busy(run, _status(run))
            remove_leftovers(run.root)
            try:
                yield hold
            finally:
                _let_go(hold)
    finally:
        lock.release()


@contextmanager
def _hold(run: RunFolder) -> Iterator[Hold]:
    """Open, the folder keeps its number from being given to another one."""
    try:
        folder = os.open(run.root, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        if error.errno not in GONE:
            raise
        said = f"run {run.signature} was deleted or moved just now, with its lock file: give the command again"
        raise LockLostError(said) from error
    try:
        lock = _place(run.root / LOCK)
        if lock is None:
            raise LockLostError(f"the lock file of run {run.signature} was removed just now: give the command again")
        yield Hold(run, folder, lock)
    finally:
        os.close(folder)


def _let_go(hold: Hold) -> None:
    """Say in status.json that this process, if it said that it holds the run, no longer does."""
    status = _status(hold.run)
    if status.get("lock") == hold.lock[1] and is_own(status):
        # Whoever ends by an error has that to say; and a process that has ended is known by its pid.
        with suppress(OSError, RunGoneError, LockLostError):
            hold.update_status(lock=None)


def _is_at_work(run: RunFolder, hold: Hold) -> bool:
    """Whether the process that held the run last is at work on it, although the lock could be taken.

    On this machine its pid and start time tell. Elsewhere the lock does, if it is the very file that process held: the
    kernel has released it. Of another file it says nothing; whoever lives then shows by its next heartbeat.
    """
    status = _status(run)
    if status.get("lock") is None:  # nobody, or a version that did not say
        return False
    if is_here(status):
        return _holder_lives_here(status)
    # Its lock cannot be asked for any more; of a clock that is quite wrong, the next heartbeat is to tell.
    if status["lock"] == hold.lock[1] or is_silent(status, run.status_file, held=lambda: True):
        return False
    heard, deadline = status.get("heartbeat"), time.monotonic() + LISTEN_S
    while time.monotonic() < deadline:
        if _status(run).get("heartbeat", heard) != heard:
            return True
        time.sleep(min(1.0, LISTEN_S / 10))
    return False


def _holder_lives_here(status: Mapping[str, Any]) -> bool:
    """Whether another process of this machine says that it holds the run, and runs."""
    return status.get("lock") is not None and not is_own(status) and lives(status)


def _busy(run: RunFolder, status: Mapping[str, Any]) -> RunBusyError:
    doing = "evaluated" if status.get("state") == "done" else "trained"
    return RunBusyError(
        f"run {run.signature} is being {doing} by process {status.get('pid')} on {status.get('host')} "
        f"(step {status.get('step')}); wait for it, or stop it with kill {status.get('pid')}"
    )


def _status(run: RunFolder) -> dict[str, Any]:
    """{} where it is damaged: the run may be held nevertheless."""
    try:
        return dict(run.status())
    except (RecordError, OSError):
        return {}


def _place(path: Path | int) -> tuple[int, int] | None:
    """Device and number of a file or descriptor; None where it is gone. Raises OSError where that cannot be said."""
    try:
        found = os.stat(path)
    except OSError as error:
        if error.errno in GONE:
            return None
        raise
    return found.st_dev, found.st_ino
