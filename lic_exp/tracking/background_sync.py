"""Keeps a store up to date with a run from a thread, so that no store can slow, block or fail the run."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

from lic_exp.fault_points import reached
from lic_exp.tracking.base import BusyError, Projection, Tracker, claim, without_password
from lic_exp.tracking.run_folder import RunFolder

LONGEST_PAUSE_S = 60.0

_log = logging.getLogger("lic_exp.tracking")


class BackgroundSync:
    """A component of the `tracker` group: sends one run to one store, while it trains or at a later `sync`.

    run: the run folder.
    open_projection: opens the store for it; called again after every failure.
    store: what the store is, for messages, e.g. "MLflow at sqlite:////abs/mlflow.db".
    flush_s: shortest time between two sends [s]; it doubles with each failure in a row, up to 60 s.
    finish_timeout_s: how long `finish` waits for the store [s] before it leaves the rest to a later sync.
    """

    def __init__(
        self,
        run: RunFolder,
        open_projection: Callable[[], Projection],
        store: str,
        flush_s: float,
        finish_timeout_s: float,
    ) -> None:
        self.store = store
        self._run = run
        self._open = open_projection
        self._flush_s = flush_s
        self._finish_timeout_s = finish_timeout_s
        self._written = threading.Event()
        self._finishing = threading.Event()
        self._final_state = ""
        self._complete = False
        self._deadline = float("inf")
        self._failures = 0
        self._reported: set[str] = set()
        # A daemon: a call that hangs in the store must not hold up the end of the process.
        self._thread = threading.Thread(target=self._follow, name=f"tracker: {store}", daemon=True)

    def prepare(self) -> None:
        """What the store's library wants of this process; called before the thread that uses it exists."""

    def start(self) -> None:
        """Begin to follow the run folder; importing the store's library (seconds) is left to the thread."""
        self.prepare()
        self._written.set()
        self._thread.start()

    def poke(self) -> None:
        """Something was written; it is sent within flush_s."""
        self._written.set()

    def finish(self, state: str) -> None:
        """Send what is left and the final `state`, for at most finish_timeout_s; a warning says what it left."""
        if self._thread.ident is None:  # the run ended before it began; its config and log are worth sending
            self.start()
        self._final_state = state
        self._deadline = time.monotonic() + self._finish_timeout_s
        self._finishing.set()
        self._written.set()
        self._thread.join(self._finish_timeout_s)
        if not self._complete:
            _log.warning(
                "%s did not take everything within %g s. Nothing is lost: %s keeps it, and "
                "`python -m lic_exp sync` sends it later.",
                self.store,
                self._finish_timeout_s,
                self._run.root,
            )

    def sync(self) -> int:
        """Bring the store up to date here and now, whatever it lacks; how many points were sent.

        Safe to repeat. Raises BusyError where the run is being followed, and what the store raises.
        """
        self.prepare()
        with self._opened() as projection:
            sent = projection.send_metrics()
            projection.send_state(self._run.status().get("state", "created"))
        return sent

    @contextmanager
    def _opened(self) -> Iterator[Projection]:
        with claim(self._run, self.store):
            projection = self._open()
            try:
                yield projection
            except BaseException:
                with suppress(Exception):  # the first error is the one that says what is wrong
                    projection.close()
                raise
            projection.close()

    def _follow(self) -> None:
        while not self._complete and time.monotonic() < self._deadline:
            finishing = self._finishing.is_set()
            try:
                with self._opened() as projection:
                    self._keep_sending(projection)
                self._complete = True
            except BusyError:
                self._pause(finishing)
            # Whatever the store, its drivers or the network raise is none of the run's business.
            except Exception as error:  # noqa: BLE001
                self._report(error)
                self._failures += 1
                self._pause(finishing)

    def _keep_sending(self, projection: Projection) -> None:
        """Send until the run has finished and the store has everything; raises what the store raises."""
        projection.send_state("running")
        while True:
            finishing = self._finishing.is_set()  # read before sending: what came before `finish` is then sent
            reached("tracker.sending")
            projection.send_metrics()
            reached("tracker.sent")
            self._failures = 0
            if finishing:
                projection.send_state(self._final_state)
                return
            self._pause(finishing)
            self._written.wait()
            self._written.clear()

    def _pause(self, finishing: bool) -> None:
        if finishing:
            time.sleep(min(0.5, self._finish_timeout_s / 4))
        else:
            longest = max(LONGEST_PAUSE_S, self._flush_s)
            self._finishing.wait(min(self._flush_s * 2 ** min(self._failures, 10), longest))

    def _report(self, error: Exception) -> None:
        """Warn once of each kind of error: a store that is away for a week is one line, not ten thousand."""
        kind = f"{type(error).__name__} {getattr(error, 'error_code', '')}".strip()
        if kind in self._reported or time.monotonic() > self._deadline:  # `finish` has said the last word
            return
        self._reported.add(kind)
        _log.warning(
            "%s takes nothing now (%s: %s). Nothing is lost: the run folder keeps everything, this run "
            "tries again, and `python -m lic_exp sync` sends what is missing.",
            self.store,
            kind,
            reason(error),
        )
        _log.debug("tracking error", exc_info=error)


class Trackers:
    """Several trackers as one. Each has its own thread and its own time to finish, so none waits for another."""

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        self._trackers = trackers

    def start(self) -> None:
        for tracker in self._trackers:
            tracker.start()

    def poke(self) -> None:
        for tracker in self._trackers:
            tracker.poke()

    def finish(self, state: str) -> None:
        with ThreadPoolExecutor(len(self._trackers)) as pool:
            list(pool.map(lambda tracker: tracker.finish(state), self._trackers))


def reason(error: Exception) -> str:
    """An error's first line, safe to show."""
    return without_password(str(error).strip().partition("\n")[0])
