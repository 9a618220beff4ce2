"""The sign of life that a run gives while a process is at work on it, and the look at whether it is still its run."""

import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from lic_exp.records import RecordError
from lic_exp.runs.lock import Hold, LockLostError, RunGoneError
from lic_exp.tracking.run_folder import HEARTBEAT_EVERY_S

log = logging.getLogger("lic_exp.runs")

LOOK_EVERY_S = 1.0


class HeartbeatError(RuntimeError):
    """The heartbeat's thread has died, so that the run would soon look dead to others."""


class Heartbeat:
    """Renews status.json's heartbeat while inside, also during long validations and evaluations.

    What its thread finds wrong, or dies of, is raised by `asked_to_stop`: at the next step, or image of an evaluation.

    stop: whether somebody asked to stop, and why. pulse: what else each beat writes, to be filled.
    """

    def __init__(self, hold: Hold, stop: Callable[[], str | None]) -> None:
        self.hold = hold
        self.pulse: dict[str, Any] = {}
        self._stop = stop
        self._ended = threading.Event()
        self._trouble: BaseException | None = None
        self._looked = time.monotonic()
        self._thread = threading.Thread(target=self._follow, name="heartbeat", daemon=True)

    def asked_to_stop(self) -> str | None:
        """Why the run shall stop after a checkpoint, or None.

        Raises RunGoneError or LockLostError where it is no longer this process's run, and HeartbeatError.
        """
        self._raise_trouble()
        if time.monotonic() - self._looked >= LOOK_EVERY_S:
            self._looked = time.monotonic()
            self.hold.check()
        return self._stop()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        if error is None:
            self._raise_trouble()

    def _raise_trouble(self) -> None:
        trouble = self._trouble
        if isinstance(trouble, RunGoneError | LockLostError):
            raise trouble
        if trouble is not None:
            raise HeartbeatError(f"the heartbeat has ended: {type(trouble).__name__}: {trouble}") from trouble

    def _follow(self) -> None:
        try:
            while not self._ended.wait(HEARTBEAT_EVERY_S):
                self._beat()
        except BaseException as error:  # noqa: BLE001 (of whatever it dies, the run must not go on without it)
            self._trouble = error

    def _beat(self) -> None:
        try:
            self.hold.update_status(**self.pulse)
        # A full disk, or who else writes there, must not go unnoticed, but the next beat may work.
        except (OSError, RecordError) as error:
            log.warning("the heartbeat could not be written: %s", error)
