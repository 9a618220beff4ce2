"""Weights & Biases as a projection of the run folder.

Offline, the wandb folder in the run folder is a rendition: written anew whenever it is opened, so that it holds what
`metrics.jsonl` holds, each step once, and `wandb sync` can be run on it once the run has ended. Online, the server
says which step it has reached and later ones are sent; a step it has stays as it is. A step is sent when all of it
was logged.
"""

import os
import shutil
import uuid
from functools import partial
from typing import Any, Literal

from lic_exp.atomic import write_json
from lic_exp.capabilities import TrackerNeeds, signed_as
from lic_exp.option_types import PositiveFloat
from lic_exp.records import read_record
from lic_exp.tracking.background_sync import BackgroundSync
from lic_exp.tracking.base import FINAL_STATES, metrics_of, tracking_folder
from lic_exp.tracking.evaluated import evaluation_metrics
from lic_exp.tracking.jsonl_reader import JsonlReader
from lic_exp.tracking.kinds import WandbRecord
from lic_exp.tracking.run_folder import RunFolder
from lic_exp.tracking.sweep_labels import label_of_run


@signed_as("wandb")
class WandbTracker(BackgroundSync):
    """Sends the run to Weights & Biases.

    run, name: the run folder, and the wandb run's name (None: what its sweep calls it, or its signature).
    entity: the team or user; null is the default one of the login.
    mode: "offline" needs neither network nor login; "online" needs `wandb login`, or WANDB_API_KEY.
    """

    needs = TrackerNeeds(package="wandb", extra="wandb")

    def __init__(
        self,
        run: RunFolder,
        name: str | None,
        *,
        mode: Literal["offline", "online"],
        project: str,
        entity: str | None,
        flush_s: PositiveFloat,
        finish_timeout_s: PositiveFloat,
    ) -> None:
        # Where wandb still waits for its server when the process ends, it may do so for half of the time once more.
        wait_s = finish_timeout_s / 2
        open_projection = partial(
            WandbProjection, run, name, mode=mode, project=project, entity=entity, timeout_s=wait_s
        )
        super().__init__(run, open_projection, f"wandb ({mode}, project {project})", flush_s, finish_timeout_s)

    def prepare(self) -> None:
        os.environ.setdefault("WANDB_SILENT", "true")
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        # Else in the home folder, which may be read-only where runs are computed.
        os.environ.setdefault("WANDB_CACHE_DIR", str(self._run.root.resolve() / "wandb" / "cache"))


class WandbProjection:
    """One wandb run, opened. A `base.Projection`."""

    def __init__(
        self, run: RunFolder, name: str | None, *, mode: str, project: str, entity: str | None, timeout_s: float
    ) -> None:
        self._run = run
        self._offline = mode == "offline"
        self._options: dict[str, Any] = {
            "name": name or label_of_run(run) or run.signature,
            "mode": mode,
            "project": project,
            "entity": entity,
        }
        self._timeout_s = timeout_s
        self._reader = JsonlReader(run.metrics_file)
        self._exit_code: int | None = None
        self._begin()

    def send_metrics(self) -> int:
        """Send the steps that were completed since the last call; how many points were read for it."""
        restarts = self._reader.restarts
        entries = self._reader.new_entries()
        if self._reader.restarts > restarts and self._offline:
            self._end()
            self._begin()
        return sum(self._take(entry) for entry in entries)

    def send_state(self, state: str) -> None:
        """The final state becomes wandb's exit code; the newest step is complete then, and so is the summary."""
        if state in FINAL_STATES:
            self._exit_code = 0 if state in ("done", "preempted") else 1
            self._send_row()
            if found := evaluation_metrics(self._run):
                self._wandb_run.summary.update(found)

    def close(self) -> None:
        if self._offline:  # complete or not, it is written anew
            self._send_row()
        self._end()

    def _end(self) -> None:
        """Finish, and wait for wandb's own process to end: until then the newest rows may not be on disk."""
        import wandb

        try:
            self._wandb_run.finish(exit_code=self._exit_code or 0)
        finally:
            wandb.teardown()

    def _begin(self) -> None:
        import wandb

        if self._offline:
            for former in (self._run.root / "wandb").glob("offline-run-*"):
                shutil.rmtree(former)
        settings = wandb.Settings(
            console="off",
            silent=True,
            disable_git=True,
            disable_code=True,
            x_disable_meta=True,
            x_disable_stats=True,
            x_disable_machine_info=True,
            init_timeout=self._timeout_s,
            finish_timeout=self._timeout_s,
            finish_timeout_raises=True,
        )
        try:
            self._wandb_run = wandb.init(
                **self._options,
                id=_run_id(self._run),
                dir=str(self._run.root),
                config=_config(self._run),
                resume=None if self._offline else "allow",
                reinit="create_new",
                settings=settings,
            )
        except Exception:
            wandb.teardown()  # or wandb's own process would keep the run's id in use, and no later attempt could begin
            raise
        self._next_step = 0 if self._offline else self._wandb_run.starting_step
        self._row: dict[str, float] = {}

    def _take(self, entry: dict[str, Any]) -> int:
        """Add an entry to the row of its step, and send the row before it; how many points that added."""
        step, metrics = entry["step"], metrics_of(entry)
        if step < self._next_step:
            return 0
        if step > self._next_step:
            self._send_row()
            self._next_step = step
        self._row |= metrics
        return len(metrics)

    def _send_row(self) -> None:
        if self._row:
            self._wandb_run.log(self._row, step=self._next_step)
            self._row = {}


def _run_id(run: RunFolder) -> str:
    """The run's name in wandb's world, chosen once and kept in the run folder."""
    file = tracking_folder(run) / "wandb.json"
    if not file.exists():
        run.make(tracking_folder(run))
        write_json(file, {"id": uuid.uuid4().hex[:16]})
    return read_record(file, WandbRecord)["id"]


def _config(run: RunFolder) -> dict[str, Any]:
    """The run's config without its trackers, whose addresses may hold passwords."""
    return {group: node for group, node in run.plain_config().items() if group != "tracker"}
