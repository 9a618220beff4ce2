"""One MLflow store for all runs: opened quietly, created once, and asked for the MLflow run of a run folder."""

import importlib
import json
import logging
import os
import re
import time
import uuid
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from filelock import FileLock

from lic_exp.atomic import write_json
from lic_exp.flat import component_label, flatten
from lic_exp.manifests import read_sweep
from lic_exp.records import RecordError, read_record
from lic_exp.text import visible
from lic_exp.tracking.base import tracking_folder, without_password
from lic_exp.tracking.kinds import Environment, MlflowRecord
from lic_exp.tracking.run_folder import SWEEPS, RunFolder
from lic_exp.tracking.sweep_labels import label_of_run

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

KEY_TAG = "lic_exp.key"
SWEEP_TAG = "lic_exp.sweep"
PARENT_TAG = "mlflow.parentRunId"
STATE_TAG = "lic_exp.state"
SPEEDS_TAG = "lic_exp.interval_speeds_from"
ELSEWHERE_TAG = "lic_exp.elsewhere"
DIRTY_TAG = "lic_exp.git_dirty"
KIND_TAG, KIND = "mlflow.experimentKind", "custom_model_development"
"""What the experiment is, for MLflow's pages, which else take it for one of language models."""
FIRST_MADE = ["attributes.start_time ASC"]
PARAMS_PER_BATCH = 100
PARAM_LENGTH = 6000
LOCK_TIMEOUT_S = 60


def prepare_environment() -> None:
    """What MLflow reads from the environment when it is imported.

    Nothing may call out, draw progress bars, or keep a thread for minutes: requests fail soon, because whoever
    calls this tries again by itself.
    """
    os.environ.update(MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # the address may hold a password
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")


def default_uri(run: RunFolder) -> str:
    """The sqlite store beside the run folder, shared by all runs there."""
    return sqlite_uri(run.root.resolve().parent / "mlflow.db")


def sqlite_uri(file: Path) -> str:
    """The address of a store in a file, whose path may hold what means something in an address."""
    if not set("?%") & set(str(file)):
        return f"sqlite:///{file}"
    # Of an address that begins with sqlite:/// MLflow makes the folder, under the name that is spelled in it.
    return f"sqlite+pysqlite:///{quote(str(file), safe=' +/')}"


def sqlite_file(uri: str) -> Path | None:
    """The file of a store, None where it is in none."""
    if not uri.startswith(("sqlite:///", "sqlite+pysqlite:///")):
        return None
    path = unquote(uri.partition(":///")[2].partition("?")[0])
    return Path(path).resolve() if path not in ("", ":memory:") else None


def record_file(run: RunFolder) -> Path:
    """What the run folder remembers of its MLflow run. Without it the next projection starts a new one."""
    return tracking_folder(run) / "mlflow.json"


def open_mlflow_run(run: RunFolder, *, name: str | None, uri: str, experiment: str) -> "tuple[MlflowClient, Run]":
    """The MLflow run of `run`, made with its params and tags where the store has none.

    It is found by a random key that the run folder keeps and that was written down before the MLflow run was made,
    so a crash or a lost answer in between makes no second one. Store and experiment are made by one process at a
    time: MLflow's migration of an empty sqlite file does not bear two.
    """
    _import_mlflow(uri)  # takes seconds, for which nobody should wait
    with _store_lock(uri), _newer_store_named():
        record = _record(run)
        client = connect(uri)
        experiment_id = _experiment_id(client, uri, experiment)
        found = client.search_runs([experiment_id], f"tags.`{KEY_TAG}` = '{record['key']}'", max_results=1)
        parent = _parent(client, run, experiment_id)
        called = visible(name or label_of_run(run) or run.signature)
        mlflow_run = found[0] if found else _create(client, run, experiment_id, called, record["key"], parent)
        if called != run.signature == mlflow_run.info.run_name:  # it has become a sweep's cell since
            client.update_run(mlflow_run.info.run_id, name=called)
        if parent and mlflow_run.data.tags.get(PARENT_TAG) != parent:
            client.set_tag(mlflow_run.info.run_id, PARENT_TAG, parent)
    _log_missing_params(client, mlflow_run, run)
    place = {"uri": without_password(uri), "experiment": experiment, "run_id": mlflow_run.info.run_id}
    if place.items() - record.items():
        write_json(record_file(run), record | place)
    return client, mlflow_run


class NewerStoreError(RuntimeError):
    """The store was made by a newer MLflow."""


@contextmanager
def _newer_store_named() -> Iterator[None]:
    """MLflow takes a store of unknown version for an old one, and its advice, an upgrade of the store, would fail."""
    try:
        yield
    except Exception as error:
        found = re.search(r"found version (\w+)", str(error))
        if found is None or _knows_version(found[1]):
            raise
        from mlflow import __version__

        raise NewerStoreError(
            f"the store has version {found[1]}, which MLflow {__version__} does not know: a newer MLflow made it. "
            "Install that one, or choose another store with tracker.mlflow.uri"
        ) from error


def _knows_version(version: str) -> bool:
    import mlflow

    return any(Path(mlflow.__file__).parent.glob(f"store/db_migrations/versions/{version}_*.py"))


def _record(run: RunFolder) -> dict[str, Any]:
    """What the run folder remembers. Raises RecordError where that is damaged."""
    try:
        return dict(read_record(record_file(run), MlflowRecord).items())
    except FileNotFoundError:
        record = {"key": uuid.uuid4().hex}
        run.make(tracking_folder(run))
        write_json(record_file(run), record)
    except RecordError as error:
        why = f"{error.reason}; without the file it is sent as another MLflow run"
        raise RecordError(error.path, why) from None
    return record


def connect(uri: str) -> "MlflowClient":
    """A client that keeps quiet. Imports MLflow (1 to 2 s); an empty sqlite store is filled with tables first (2 s)."""
    _import_mlflow(uri)
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


def _import_mlflow(uri: str) -> None:
    """Import MLflow, quietly, and what it opens a store in a file with."""
    prepare_environment()
    # What MLflow's own dependencies deprecate is nobody's concern here, and SQLAlchemy warns at each mapping.
    warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"(mlflow|sqlalchemy|alembic)\b")
    import mlflow  # noqa: F401 (what importing it takes and sets is over then)

    if sqlite_file(uri):
        # What MLflow's client imports where it is first asked for a store in a file, a second's worth. Should it come
        # to lie elsewhere, it is imported a moment later.
        with suppress(ImportError):
            importlib.import_module("mlflow.store.tracking.sqlalchemy_store")
    # Importing MLflow sets such levels too. What these log as a warning or an error reaches us as an exception.
    for name in ("mlflow", "alembic", "urllib3"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _store_lock(uri: str) -> AbstractContextManager[object]:
    file = sqlite_file(uri)
    if file is None:
        return nullcontext()
    file.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(f"{file}.lock", timeout=LOCK_TIMEOUT_S)


def _experiment_id(client: "MlflowClient", uri: str, experiment: str) -> str:
    found = client.get_experiment_by_name(experiment)
    if found is not None:
        if KIND_TAG not in found.tags:
            client.set_experiment_tag(found.experiment_id, KIND_TAG, KIND)
        return str(found.experiment_id)
    file = sqlite_file(uri)
    # An absolute place: MLflow's default for sqlite is relative to wherever a process happened to start.
    artifacts = (file.parent / "mlartifacts").as_uri() if file else None
    return str(client.create_experiment(experiment, artifact_location=artifacts, tags={KIND_TAG: KIND}))


def parent_of(client: "MlflowClient", run: RunFolder, experiment_id: str) -> "Run | None":
    """The MLflow run that stands for the sweep that `run` is a cell of; None where it is of none, or nobody made it."""
    sweep = run.status().get("sweep")
    if sweep is None:
        return None
    kind = f"tags.`{SWEEP_TAG}` = '{sweep}' and tags.`{KEY_TAG}` = 'sweep'"
    found = client.search_runs([experiment_id], kind, order_by=FIRST_MADE, max_results=1)
    return found[0] if found else None


def _parent(client: "MlflowClient", run: RunFolder, experiment_id: str) -> str | None:
    """The id of the same, which the first that asks makes."""
    sweep = run.status().get("sweep")
    if sweep is None:
        return None
    found = parent_of(client, run, experiment_id)
    if found is None:
        tags = {SWEEP_TAG: sweep, KEY_TAG: "sweep"}
        made = client.create_run(experiment_id, start_time=_made_ms(run, str(sweep)), tags=tags, run_name=sweep)
        found = parent_of(client, run, experiment_id) or made
        if found.info.run_id != made.info.run_id:  # on a server, which has no lock, another cell was first
            client.delete_run(made.info.run_id)
    return str(found.info.run_id)


def _made_ms(run: RunFolder, sweep: str) -> int:
    """When a sweep was made, or a run of it began before: a store may hear of both long after they have ended."""
    began = _began_ms(run)
    with suppress(OSError, RecordError, KeyError, ValueError):
        made = read_sweep(run.root.parent / SWEEPS / sweep / "manifest.json")["made"]
        return min(began, round(datetime.fromisoformat(made).timestamp() * 1000))
    return began


def _began_ms(run: RunFolder) -> int:
    """The time of the first that a run logged; now where it has logged nothing."""
    first = next(run.metrics(), {"time": time.time()})
    return round(first.get("time", time.time()) * 1000)


def _create(
    client: "MlflowClient", run: RunFolder, experiment_id: str, called: str, key: str, parent: str | None
) -> "Run":
    tags = run_tags(run) | {KEY_TAG: key} | ({PARENT_TAG: parent} if parent else {})
    return client.create_run(experiment_id, start_time=_began_ms(run), tags=tags, run_name=called)


def _log_missing_params(client: "MlflowClient", mlflow_run: "Run", run: RunFolder) -> None:
    from mlflow.entities import Param

    known = mlflow_run.data.params
    params = [Param(name, value) for name, value in run_params(run).items() if name not in known]
    for start in range(0, len(params), PARAMS_PER_BATCH):
        client.log_batch(mlflow_run.info.run_id, params=params[start : start + PARAMS_PER_BATCH])


def run_params(run: RunFolder) -> dict[str, str]:
    """The config, flat, by dotted key. A value too long for the store ends in a note of its full length."""
    config = flatten(run.plain_config())
    return {name: _shortened(visible(without_password(value))) for name, value in config.items()}


def run_tags(run: RunFolder) -> dict[str, str]:
    """What runs are grouped and searched by: signature, model, spectral_reg, seed, host, git commit."""
    config = run.plain_config()
    seeds = (value for name, value in flatten(config).items() if name.split(".")[-1] == "seed")
    try:
        environment = read_record(run.environment, Environment)
    except (FileNotFoundError, RecordError):
        environment = {}
    commit, dirty = environment.get("git_commit"), environment.get("git_dirty")
    status = run.status()
    made_by = {key: status[key] for key in CODE_KEYS if status.get(key)}
    tags = {
        CODE_TAG: json.dumps(made_by) if made_by else None,
        "lic_exp.signature": run.signature,
        SWEEP_TAG: status.get("sweep"),
        "lic_exp.model": component_label(config.get("model")),
        "lic_exp.spectral_reg": component_label(config.get("spectral_reg")),
        "lic_exp.seed": next(seeds, None),
        "lic_exp.host": status.get("host"),
        "mlflow.source.git.commit": commit,
        DIRTY_TAG: str(dirty).lower() if commit and isinstance(dirty, bool) else None,
    }
    return {name: value for name, value in tags.items() if value is not None}


CODE_TAG = "lic_exp.code"
CODE_KEYS = ("code", "parts", "plugins")
"""What of a run's status says which code made it."""


def _shortened(text: str) -> str:
    note = f"... [cut: {len(text)} characters]"
    return text if len(text) <= PARAM_LENGTH else text[: PARAM_LENGTH - len(note)] + note
