"""A sweep in MLflow: the run that is the parent of its cells', with their states, its table and its curves."""

import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from urllib.parse import quote

from filelock import FileLock

from lic_exp.manifests import SweepRecord, read_sweep
from lic_exp.plot_style import encoded
from lic_exp.records import RecordError
from lic_exp.tracking.mlflow_store import STATE_TAG, parent_of
from lic_exp.tracking.run_folder import SWEEPS, RunFolder
from lic_exp.tracking.sweep_cells import FAILURES, WAITING, CellResult, cell_results, counts_text
from lic_exp.tracking.sweep_page import curve_figure, drawable, markdown_table, page

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

NOTE_TAG = "mlflow.note.content"
CELLS_TAG = "lic_exp.cells"
SHOWN_TAG = "lic_exp.shown"
"""A digest of what the artifacts show."""

NOTE_LENGTH = 4000
"""Characters of a tag that every store takes."""

TABLE, PICTURE = "cells.md", "rd"
LOCK = ".tracking.lock"
LOCK_TIMEOUT_S = 60

ENDS = {"done": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}


def show_sweep(client: "MlflowClient", run: RunFolder, experiment_id: str) -> None:
    """Have the parent of a run's MLflow run show where the sweep's cells stand now, as their folders say it.

    Writes what differs from what is shown. Curves and table become artifacts once no cell runs or waits. Nothing where
    the run belongs to no sweep, or the sweep's folder is gone or damaged.
    """
    sweep = run.status_if_whole().get("sweep")
    folder = run.root.parent / SWEEPS / str(sweep)
    try:
        record = read_sweep(folder / "manifest.json")
    except (OSError, RecordError):  # of a damaged one the sweep's own commands tell
        return
    # Whoever comes last shall have looked last.
    with FileLock(folder / LOCK, timeout=LOCK_TIMEOUT_S):
        parent = parent_of(client, run, experiment_id)
        if parent is not None:
            _show(client, parent, folder.name, record, cell_results(run.root.parent, record, folder))


def _show(client: "MlflowClient", parent: "Run", name: str, record: SweepRecord, cells: Sequence[CellResult]) -> None:
    run_id, shown = parent.info.run_id, dict(parent.data.tags)
    state = sweep_state(cells)
    picture = ""
    if state in ENDS:
        digest = hashlib.sha256(json.dumps([drawable(cells), markdown_table(cells)]).encode()).hexdigest()
        if shown.get(SHOWN_TAG) != digest:
            _keep_artifacts(client, run_id, name, cells)
            client.set_tag(run_id, SHOWN_TAG, digest)
        if drawable(cells):
            picture = f"get-artifact?path={PICTURE}.png&run_uuid={quote(run_id)}"
    note = page(name, record, cells, longest=NOTE_LENGTH, picture=picture)
    for key, text in {NOTE_TAG: note, CELLS_TAG: counts_text(cells), STATE_TAG: state}.items():
        if shown.get(key) != text:
            client.set_tag(run_id, key, text)
    if state not in ENDS:
        if parent.info.status != "RUNNING":
            client.update_run(run_id, status="RUNNING")
    elif parent.info.status != ENDS[state]:
        ended_s = max((cell.finished for cell in cells if cell.finished), default=time.time())
        # A sweep may be made of runs that have ended long before it.
        client.set_terminated(run_id, ENDS[state], max(round(ended_s * 1000), parent.info.start_time))


def sweep_state(cells: Sequence[CellResult]) -> str:
    """Running while a cell runs or is still to begin; then done, failed where one is, or stopped."""
    states = {cell.state for cell in cells if not (cell.state == WAITING and cell.may_stay_out)}
    if states & {"running", "created", WAITING}:
        return "running"
    return "failed" if states & set(FAILURES) else "done" if states <= {"done"} else "stopped"


def _keep_artifacts(client: "MlflowClient", run_id: str, name: str, cells: Sequence[CellResult]) -> None:
    figure = curve_figure(name, cells)
    with TemporaryDirectory() as folder:
        files = [Path(folder, TABLE)]
        files[0].write_text("\n".join(markdown_table(cells)) + "\n", encoding="utf-8")
        if figure is not None:
            for suffix in (".png", ".svg"):
                files.append(Path(folder, f"{PICTURE}{suffix}"))
                files[-1].write_bytes(encoded(figure, suffix))
        for file in files:
            client.log_artifact(run_id, str(file))
