"""MLflow as a projection of the run folder: a view that can always be completed, or made again, from the truth.

The store itself says how far it is: of each metric it is asked for the step it has reached, once per opening, and
later steps are sent. So there is no second record of what was sent that could disagree with it, and projecting
again, after a crash, a resume, or on another machine, is the same act as projecting first.

- A metric's step is sent once. What a resumed run logs anew, with new times and perhaps other values, up to the step
  the store had reached stays out of MLflow; `metrics.jsonl` and analysis/ have it.
- NaN arrives as NaN. A sqlite store holds +-inf as +-1.8e308, the largest float.
- `epoch` and `time` are no metrics: a point's timestamp is its entry's time [ms].
"""

import time
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from lic_exp.capabilities import signed_as
from lic_exp.option_types import PositiveFloat
from lic_exp.text import shortened, visible
from lic_exp.tracking.background_sync import BackgroundSync
from lic_exp.tracking.base import artifact_files, metrics_of, without_password
from lic_exp.tracking.evaluated import evaluation_entry
from lic_exp.tracking.jsonl_reader import JsonlReader
from lic_exp.tracking.mlflow_data import log_image_sets
from lic_exp.tracking.mlflow_store import (
    ELSEWHERE_TAG,
    SPEEDS_TAG,
    STATE_TAG,
    default_uri,
    open_mlflow_run,
    prepare_environment,
)
from lic_exp.tracking.mlflow_sweep import show_sweep
from lic_exp.tracking.numerics import changes_text
from lic_exp.tracking.run_folder import RunFolder

if TYPE_CHECKING:
    from mlflow.entities import Metric

METRICS_PER_BATCH = 1000
TAG_LENGTH = 4000
"""Characters of a tag that every store takes."""
END_STATUS = {"done": "FINISHED", "failed": "FAILED", "diverged": "FAILED", "preempted": "KILLED"}


@signed_as("mlflow")
class MlflowTracker(BackgroundSync):
    """Sends the run to MLflow.

    run, name: the run folder, and the MLflow run's name (None: what its sweep calls it, or its signature).
    uri: the store; null is `mlflow.db` beside the run folder, one for all runs.
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
        uri = uri or default_uri(run)
        open_projection = partial(MlflowProjection, run, name=name, uri=uri, experiment=experiment)
        super().__init__(run, open_projection, f"MLflow at {without_password(uri)}", flush_s, finish_timeout_s)

    def prepare(self) -> None:
        prepare_environment()


class MlflowProjection:
    """One run folder in one opened store. Its `base.Projection`."""

    def __init__(self, run: RunFolder, *, name: str | None, uri: str, experiment: str) -> None:
        self._run = run
        self._client, mlflow_run = open_mlflow_run(run, name=name, uri=uri, experiment=experiment)
        self.run_id: str = mlflow_run.info.run_id
        self._experiment_id: str = mlflow_run.info.experiment_id
        log_image_sets(self._client, self.run_id, run)
        self._reader = JsonlReader(run.metrics_file)
        # Of each metric the store names the point of the highest step; only `to_proto` shows that step in public.
        self._reached: dict[str, int] = {metric.key: metric.step for metric in mlflow_run.data.to_proto().metrics}

    def send_metrics(self) -> int:
        """Send what was logged since the last call and is not in the store; how many points that was."""
        points = [point for entry in self._reader.new_entries() for point in self._unsent(entry)]
        for start in range(0, len(points), METRICS_PER_BATCH):
            self._client.log_batch(self.run_id, metrics=points[start : start + METRICS_PER_BATCH])
        return len(points)

    def send_state(self, state: str) -> None:
        """Show the run's state, and in its sweep's run where that stands; with a final one come artifacts and end."""
        self._client.set_tag(self.run_id, STATE_TAG, state)
        if (since := self._run.status().get("interval_speeds_from")) is not None:
            self._client.set_tag(self.run_id, SPEEDS_TAG, str(since))
        if state not in END_STATUS:
            self._client.update_run(self.run_id, status="RUNNING")
        else:
            self._send_end(state)
        show_sweep(self._client, self._run, self._experiment_id)

    def _send_end(self, state: str) -> None:
        if said := changes_text(self._run.status()):
            self._client.set_tag(self.run_id, ELSEWHERE_TAG, shortened(visible(said), TAG_LENGTH))
        for file in artifact_files(self._run):
            folder = file.parent.relative_to(self._run.root).as_posix()
            self._client.log_artifact(self.run_id, str(file), None if folder == "." else folder)
        self._send_evaluation()
        log_image_sets(self._client, self.run_id, self._run)
        ended_s = self._run.status().get("finished") or time.time()
        self._client.set_terminated(self.run_id, END_STATUS[state], round(ended_s * 1000))

    def _send_evaluation(self) -> None:
        """Rate and quality of the finished codec, as metrics of the last step, once."""
        entry = evaluation_entry(self._run, max(self._reached.values(), default=0))
        if points := list(self._unsent(entry)):
            self._client.log_batch(self.run_id, metrics=points)

    def close(self) -> None:
        """Nothing is held: everything was sent when `send_metrics` returned."""

    def _unsent(self, entry: dict[str, Any]) -> "Iterator[Metric]":
        from mlflow.entities import Metric

        step, time_ms = entry["step"], round(entry.get("time", 0.0) * 1000)
        for name, value in metrics_of(entry).items():
            if step > self._reached.get(name, -1):
                self._reached[name] = step
                yield Metric(name, value, time_ms, step)
