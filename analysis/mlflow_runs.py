"""Runs of an MLflow store, for where the run folders are not at hand."""

import json
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.errors import AnalysisError
from analysis.metric_points import NO_POINTS, MetricPoints
from analysis.run_records import RunRecord
from lic_exp.flat import nested
from lic_exp.records import RecordError, checked
from lic_exp.tracking.background_sync import reason
from lic_exp.tracking.base import without_password
from lic_exp.tracking.kinds import Status
from lic_exp.tracking.mlflow_store import (
    CODE_TAG,
    DIRTY_TAG,
    ELSEWHERE_TAG,
    SPEEDS_TAG,
    STATE_TAG,
    connect,
    sqlite_file,
    sqlite_uri,
)
from lic_exp.tracking.tables import parse_table

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

SIGNATURE_TAG = "lic_exp.signature"
LARGEST = 1.79e308
"""A sqlite store holds infinity as the largest float."""


def read_store(store: str, wanted: Collection[str] | None) -> Iterator[RunRecord]:
    """The runs that the platform sent to `store`, a URI or the path of a sqlite file.

    Params are text there: what reads as JSON (numbers, null, true, lists) is taken for that. Of a signature that was
    sent several times the run that started last counts. Raises AnalysisError where there is none that can be read.
    """
    uri = store if "://" in store else sqlite_uri(Path(store).resolve())
    file = sqlite_file(uri)
    if file is not None:
        _check_is_store(file)
    try:
        client = connect(uri)
        latest: dict[str, Run] = {}
        for run in _all_runs(client):
            signature = run.data.tags[SIGNATURE_TAG]
            if signature not in latest or run.info.start_time > latest[signature].info.start_time:
                latest[signature] = run
        records = [_record(client, uri, signature, run, wanted) for signature, run in latest.items()]
    except Exception as error:  # whatever MLflow, its drivers or the network raise
        raise AnalysisError(f"{without_password(uri)} cannot be read: {reason(error)}") from error
    yield from records


def _check_is_store(file: Path) -> None:
    """Raise AnalysisError where MLflow would make a store of the file, or find something else in it."""
    if not file.is_file():
        raise AnalysisError(f"there is no MLflow store {file}")
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as database:
            database.execute("SELECT version_num FROM alembic_version")
    except sqlite3.Error as error:
        raise AnalysisError(f"{file} is no MLflow store: {error}") from error


def _all_runs(client: "MlflowClient") -> "Iterator[Run]":
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    token = None
    while experiments:
        page = client.search_runs(experiments, f"tags.`{SIGNATURE_TAG}` != ''", max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _record(client: "MlflowClient", uri: str, signature: str, run: "Run", wanted: Collection[str] | None) -> RunRecord:
    tags, end = run.data.tags, run.info.end_time
    points = _points(client, run, wanted)
    status = {
        "state": tags.get(STATE_TAG, "created"),
        "heartbeat": points.time.max(initial=run.info.start_time / 1000),
        "started": run.info.start_time / 1000,
        "finished": end / 1000 if end else None,
        "host": tags.get("lic_exp.host"),
        "elsewhere": tags.get(ELSEWHERE_TAG, ""),
        "interval_speeds_from": _value(tags.get(SPEEDS_TAG, "null")),
        "step": int(points.step.max(initial=0)),
        **_made_by(tags.get(CODE_TAG)),
    }
    return RunRecord(
        signature,
        uri,
        nested({name: _value(text) for name, text in run.data.params.items()}),
        status,
        {
            "git_commit": tags.get("mlflow.source.git.commit"),
            "git_dirty": {"true": True, "false": False}.get(tags.get(DIRTY_TAG, "")),
        },
        evaluation=_tables(client, run),
        points=points,
    )


def _made_by(text: str | None) -> dict[str, Any]:
    """What of the status says which code made the run; {} where the tag is missing or somebody has changed it."""
    try:
        return {} if text is None else dict(checked(CODE_TAG, text.encode(), Status))
    except RecordError:
        return {}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _points(client: "MlflowClient", run: "Run", wanted: Collection[str] | None) -> MetricPoints:
    names = [name for name in run.data.metrics if wanted is None or name in wanted]
    history = [(code, p) for code, name in enumerate(names) for p in client.get_metric_history(run.info.run_id, name)]
    if not history:
        return NO_POINTS
    metric = np.array([code for code, _ in history], np.int32)
    step = np.array([point.step for _, point in history], np.int64)
    time = np.array([point.timestamp for _, point in history]) / 1000
    value = np.array([point.value for _, point in history], float)
    value[np.abs(value) > LARGEST] *= np.inf
    order = np.lexsort((time, step, metric))
    return MetricPoints(names, metric[order], step[order], np.full(len(order), np.nan), time[order], value[order])


def _tables(client: "MlflowClient", run: "Run") -> dict[str, list[list[str]]]:
    entries = client.list_artifacts(run.info.run_id, "eval")
    folders = {"": "eval"} | {Path(entry.path).name: entry.path for entry in entries if entry.is_dir}
    found = {}
    for name, folder in folders.items():
        listed = entries if name == "" else client.list_artifacts(run.info.run_id, folder)
        for table in (entry.path for entry in listed if entry.path == f"{folder}/images.csv"):
            found[name] = parse_table(table, Path(client.download_artifacts(run.info.run_id, table)).read_text())
    return found
