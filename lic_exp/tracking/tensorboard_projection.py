"""TensorBoard as a rendition of the run folder: event files that are written anew whenever they are opened.

There is nothing to reconcile then: after a crash, a resume, or a cut-back `metrics.jsonl`, the files hold what the
truth holds, each point once. Rewriting costs about 20 us a point. TensorBoard stores values as float32.
"""

from functools import partial
from typing import Any

from lic_exp.capabilities import TrackerNeeds, signed_as
from lic_exp.option_types import PositiveFloat
from lic_exp.tracking.background_sync import BackgroundSync
from lic_exp.tracking.base import FINAL_STATES, metrics_of
from lic_exp.tracking.evaluated import evaluation_entry, evaluation_metrics
from lic_exp.tracking.jsonl_reader import JsonlReader
from lic_exp.tracking.run_folder import RunFolder


@signed_as("tensorboard")
class TensorboardTracker(BackgroundSync):
    """Writes event files to `tensorboard` in the run folder: look at them with `tensorboard --logdir runs`."""

    needs = TrackerNeeds(package="tensorboard", extra="tensorboard")

    def __init__(
        self, run: RunFolder, name: str | None, *, flush_s: PositiveFloat, finish_timeout_s: PositiveFloat
    ) -> None:
        folder = run.root / "tensorboard"
        super().__init__(run, partial(EventFiles, run), f"TensorBoard in {folder}", flush_s, finish_timeout_s)


class EventFiles:
    """The event file of one opening, in place of all earlier ones. A `base.Projection`."""

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self._folder = run.root / "tensorboard"
        self._reader = JsonlReader(run.metrics_file)
        self._writer = self._begin()
        self._last_step = 0

    def send_metrics(self) -> int:
        """Write what was logged since the last call; how many points that was."""
        restarts = self._reader.restarts
        entries = self._reader.new_entries()
        if self._reader.restarts > restarts:
            self._writer.close()
            self._writer = self._begin()
        points = sum(self._write(entry) for entry in entries)
        self._writer.flush()
        return points

    def send_state(self, state: str) -> None:
        """An event file has no place for it; with a final one comes what the run's own evaluation found."""
        if state in FINAL_STATES and evaluation_metrics(self._run):
            self._write(evaluation_entry(self._run, self._last_step))
            self._writer.flush()

    def close(self) -> None:
        self._writer.close()

    def _begin(self) -> Any:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        for former in self._folder.glob("events.out.tfevents.*"):
            former.unlink()
        self._run.make(self._folder)
        writer = EventFileWriter(str(self._folder))
        # A TensorBoard that is watching drops what it has read from the former file.
        writer.add_event(Event(step=0, session_log=SessionLog(status=SessionLog.START)))
        return writer

    def _write(self, entry: dict[str, Any]) -> int:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        self._last_step = entry["step"]
        values = [Summary.Value(tag=name, simple_value=value) for name, value in metrics_of(entry).items()]
        self._writer.add_event(
            Event(step=entry["step"], wall_time=entry.get("time", 0.0), summary=Summary(value=values))
        )
        return len(values)
