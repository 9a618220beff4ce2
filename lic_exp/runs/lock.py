"""One process per run: a lock that the operating system releases when its holder dies, however it dies."""

from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from lic_exp.atomic import remove_leftovers
from lic_exp.config.errors import ConfigError
from lic_exp.records import RecordError
from lic_exp.tracking.run_folder import RunFolder

PATIENCE_S = 0.5
"""Who only asks whether a run is held has its lock for a moment."""


class RunBusyError(RuntimeError):
    """Another process is training this run, or evaluating it."""


def run_is_held(run: RunFolder) -> bool:
    """Whether another process holds the run now; makes no folder, and says no where none can be asked."""
    path = run.root / ".lock"
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
def run_lock(run: RunFolder) -> Iterator[None]:
    """Hold the run; raises RunBusyError, naming the holder, where another process does.

    What a killed process left half-written is removed, and nothing of those that live: an evaluation or a sync may go
    on beside it. Raises ConfigError where the folder cannot be made or written to.
    """
    lock = FileLock(run.root / ".lock")
    try:
        run.root.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=PATIENCE_S)
    except Timeout:
        try:
            status = dict(run.status())
        except RecordError:  # damaged, but held nevertheless
            status = {}
        doing = "evaluated" if status.get("state") == "done" else "trained"
        raise RunBusyError(
            f"run {run.signature} is being {doing} by process {status.get('pid')} on {status.get('host')} "
            f"(step {status.get('step')}); wait for it, or stop it with kill {status.get('pid')}"
        ) from None
    except OSError as error:
        where = error.filename or run.root
        raise ConfigError(
            [f"paths.runs: {run.root} cannot be made or written to: {where}: {error.strerror}"]
        ) from error
    try:
        remove_leftovers(run.root)
        yield
    finally:
        lock.release()
