"""MLflow as a projection of the run folder: a view that can always be completed, or made again, from the truth.

The store itself says how far it is: of each metric it is asked for the step it has reached, once per opening, and
later steps are sent. So there is no second record of what was sent that could disagree with it, and projecting
again, after a crash, a resume, or on another machine, is the same act as projecting first.

- A metric's step is sent once. What a resumed run logs anew, with new times and perhaps other values, up to the step
  the store had reached stays out of MLflow; `metrics.jsonl` and analysis/ have it.
- NaN arrives as NaN. A sqlite store holds +-inf as +-1.8e308, the largest float.
- `epoch` and `time` are no metrics: a point's timestamp is its entry's time [ms].
"""

import logging
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lic_exp.ranges import PositiveFloat
from lic_exp.tracking.base import artifact_files
from lic_exp.tracking.mlflow_store import (
    STATE_TAG,
    default_uri,
    open_mlflow_run,
    prepare_environment,
    without_password,
)
from lic_exp.tracking.run_folder import RunFolder
from lic_exp.tracking.tail import Tail

if TYPE_CHECKING:
    from mlflow.entities import Metric

METRICS_PER_BATCH = 1000
NOT_METRICS = ("step", "epoch", "time")
LONGEST_PAUSE_S = 60.0
END_STATUS = {"done": "FINISHED", "failed": "FAILED", "diverged": "FAILED", "preempted": "KILLED"}

_log = logging.getLogger("lic_exp.tracking")


class Projection:
    """One run folder in one opened store. After an error it is of no use any more: open another."""

    def __init__(self, run: RunFolder, *, name: str | None, uri: str, experiment: str) -> None:
        self._run = run
        self._client, mlflow_run = open_mlflow_run(run, name=name, uri=uri, experiment=experiment)
        self.run_id: str = mlflow_run.info.run_id
        self._tail = Tail(run.metrics_file)
        # Of each metric the store names the point of the highest step; only `to_proto` shows that step in public.
        self._reached: dict[str, int] = {metric.key: metric.step for metric in mlflow_run.data.to_proto().metrics}

    def send_metrics(self) -> None:
        """Send what was logged since the last call and is not in the store."""
        points = [point for entry in self._tail.new_entries() for point in self._unsent(entry)]
        for start in range(0, len(points), METRICS_PER_BATCH):
            self._client.log_batch(self.run_id, metrics=points[start : start + METRICS_PER_BATCH])

    def send_state(self, state: str) -> None:
        """Show the run's state; with a final one come the artifacts and the end time."""
        self._client.set_tag(self.run_id, STATE_TAG, state)
        if state not in END_STATUS:
            self._client.update_run(self.run_id, status="RUNNING")
            return
        for file in artifact_files(self._run):
            folder = file.parent.relative_to(self._run.root).as_posix()
            self._client.log_artifact(self.run_id, str(file), None if folder == "." else folder)
        ended_s = self._run.status().get("finished") or time.time()
        self._client.set_terminated(self.run_id, END_STATUS[state], round(ended_s * 1000))

    def _unsent(self, entry: dict[str, Any]) -> "Iterator[Metric]":
        from mlflow.entities import Metric

        step, time_ms = entry["step"], round(entry["time"] * 1000)
        for name, value in entry.items():
            if name not in NOT_METRICS and step > self._reached.get(name, -1):
                self._reached[name] = step
                yield Metric(name, float(value), time_ms, step)


def project(run: RunFolder, *, name: str | None, uri: str | None, experiment: str) -> str:
    """Bring the store up to date with `run`, whatever it lacks, and return the MLflow run's id.

    Safe to repeat and to call while the run is going on. uri: None is the sqlite store beside the run folder.
    Raises what the store raises.
    """
    projection = Projection(run, name=name, uri=uri or default_uri(run), experiment=experiment)
    projection.send_metrics()
    projection.send_state(run.status().get("state", "created"))
    return projection.run_id


class MlflowTracker:
    """Keeps projecting a run from a thread, so that no store can slow, block or fail the run.

    run, name: the run folder, and the MLflow run's name (None: its signature).
    uri: the store; null is `mlflow.db` beside the run folder, one for all runs.
    flush_s: shortest time between two sends [s]; it doubles with each failure in a row, up to 60 s.
    finish_timeout_s: how long `finish` waits for the store [s] before it leaves the rest to a later sync.
    """

    def __init__(
        self,
        run: RunFolder,
        name: str | None,
        *,
        uri: str | None,
        experiment: str,
        flush_s: PositiveFloat,
        finish_timeout_s: PositiveFloat,
    ) -> None:
        self._run = run
        self._uri = uri or default_uri(run)
        self._name = name
        self._experiment = experiment
        self._flush_s = flush_s
        self._finish_timeout_s = finish_timeout_s
        self._written = threading.Event()
        self._finishing = threading.Event()
        self._final_state = ""
        self._complete = False
        self._deadline = float("inf")
        self._reported: set[str] = set()
        # A daemon: a call that hangs in the store must not hold up the end of the process.
        self._thread = threading.Thread(target=self._follow, name="mlflow-tracker", daemon=True)

    def start(self) -> None:
        """Begin to follow the run folder; importing MLflow (seconds) is left to the thread."""
        prepare_environment()  # here, because changing the environment beside a running thread is not safe
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
                "MLflow at %s did not take everything within %g s. Nothing is lost: %s keeps it, and "
                "`python -m lic_exp sync` sends it later.",
                without_password(self._uri),
                self._finish_timeout_s,
                self._run.root,
            )

    def _follow(self) -> None:
        projection: Projection | None = None
        failures = 0
        while not self._complete and time.monotonic() < self._deadline:
            self._written.wait()
            self._written.clear()
            finishing = self._finishing.is_set()  # read before sending: what came before `finish` is then sent
            try:
                if projection is None:
                    projection = Projection(self._run, name=self._name, uri=self._uri, experiment=self._experiment)
                    projection.send_state("running")
                projection.send_metrics()
                if finishing:
                    projection.send_state(self._final_state)
                    self._complete = True
                failures = 0
            # Whatever the store, its drivers or the network raise is none of the run's business.
            except Exception as error:  # noqa: BLE001
                self._report(error)
                projection = None
                failures += 1
                self._written.set()
            self._pause(failures, finishing)

    def _pause(self, failures: int, finishing: bool) -> None:
        if finishing:
            time.sleep(0 if self._complete else min(0.5, self._finish_timeout_s / 4))
        else:
            self._finishing.wait(min(self._flush_s * 2 ** min(failures, 10), max(LONGEST_PAUSE_S, self._flush_s)))

    def _report(self, error: Exception) -> None:
        """Warn once of each kind of error: a store that is away for a week is one line, not ten thousand."""
        kind = f"{type(error).__name__} {getattr(error, 'error_code', '')}".strip()
        if kind in self._reported:
            return
        self._reported.add(kind)
        _log.warning(
            "MLflow at %s takes nothing now (%s: %s). Nothing is lost: the run folder keeps everything, this run "
            "tries again, and `python -m lic_exp sync` sends what is missing.",
            without_password(self._uri),
            kind,
            without_password(str(error).strip().partition("\n")[0]),
        )
        _log.debug("MLflow error", exc_info=error)
