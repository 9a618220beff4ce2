"""One process per run: a lock that the operating system releases when its holder dies, however it dies."""

from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from lic_exp.launching.errors import ConfigError
from lic_exp.tracking.run_folder import RunFolder


class RunBusyError(RuntimeError):
    """Another process is training this run."""


@contextmanager
def run_lock(run: RunFolder) -> Iterator[None]:
    """Hold the run; raises RunBusyError, naming the holder, where another process does.

    What a killed process left half-written is removed: nobody can be writing it any more. Raises ConfigError where
    the folder cannot be made or written to.
    """
    lock = FileLock(run.root / ".lock")
    try:
        run.root.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        status = run.status()
        raise RunBusyError(
            f"run {run.signature} is being trained by process {status.get('pid')} on {status.get('host')} "
            f"(step {status.get('step')}); wait for it, or stop it with kill {status.get('pid')}"
        ) from None
    except OSError as error:
        where = error.filename or run.root
        raise ConfigError(
            [f"paths.runs: {run.root} cannot be made or written to: {where}: {error.strerror}"]
        ) from error
    try:
        for leftover in run.root.rglob(".*.tmp"):
            leftover.unlink(missing_ok=True)
        yield
    finally:
        lock.release()
