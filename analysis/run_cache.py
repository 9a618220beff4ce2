"""Read runs kept as arrays, so that only what has changed is read again. Losing the file costs nothing but time."""

import hashlib
import io
import json
import logging
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypedDict

from analysis.metric_points import NO_POINTS, MetricPoints
from analysis.run_records import RunRecord
from lic_exp.atomic import write_atomically
from lic_exp.records import checked, open_file
from lic_exp.tracking.results_folder import is_results_folder

VERSION = 6
_ARRAYS = MetricPoints._fields[1:]
_FACTS = tuple(field.name for field in fields(RunRecord) if field.name != "points")
_log = logging.getLogger("analysis")


def cache_file(runs: Path, wanted: Collection[str] | None) -> Path:
    """Beside the runs, or in the user's cache folder where nothing may or should be written there."""
    asked = "all" if wanted is None else _digest("\n".join(sorted(wanted)))
    if os.access(runs, os.W_OK) and not is_results_folder(runs):
        return runs / ".analysis" / f"{asked}.npz"
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "lic_exp" / "analysis" / f"{_digest(str(runs.resolve()))}_{asked}.npz"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class CachedRecord(TypedDict):
    """A `RunRecord` without its points."""

    signature: str
    folder: str
    config: dict[str, Any]
    status: dict[str, Any]
    environment: dict[str, Any]
    problem: str
    complexity: dict[str, Any]
    evaluation: dict[str, list[list[str]]]
    evaluation_name: str | None
    evaluated_by: list[str | None]
    measured_as: dict[str, dict[str, Any]]
    files: list[list[Any]]
    damaged: list[list[Any]]


class CacheFacts(TypedDict):
    """What the file says beside its arrays. names: of the metrics of each record."""

    version: int
    records: list[CachedRecord]
    names: list[list[str]]


def load(file: Path) -> dict[str, RunRecord]:
    """{name of the run folder: record}; {} where the file is missing, damaged, or of another version."""
    try:
        with open_file(file) as opened, np.load(opened, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in (*_ARRAYS, "ends")}
            facts = checked(file, stored["facts"].tobytes(), CacheFacts)
        if facts["version"] != VERSION:
            return {}
        bounds = [0, *arrays["ends"].tolist()]
        _check_arrays(arrays, bounds)
        records = {}
        for i, (entry, names) in enumerate(zip(facts["records"], facts["names"], strict=True)):
            part = slice(bounds[i], bounds[i + 1])
            points = MetricPoints(names, *(arrays[name][part] for name in _ARRAYS))
            if len(points.metric) and not 0 <= points.metric.min() <= points.metric.max() < len(names):
                raise ValueError("a metric without a name")
            records[entry["signature"]] = RunRecord(**entry, points=points)
    except FileNotFoundError:
        return {}
    # Whatever is wrong with the file, of which zip alone raises a dozen kinds: the runs themselves are still there.
    except Exception as error:  # noqa: BLE001
        _log.info("%s is read anew: %s", file, error)
        return {}
    return records


def _check_arrays(arrays: Mapping[str, NDArray[Any]], bounds: Sequence[int]) -> None:
    if bounds != sorted(bounds) or any(arrays[name].shape != (bounds[-1],) for name in _ARRAYS):
        raise ValueError("its arrays do not belong together")
    kinds = {name: getattr(NO_POINTS, name).dtype for name in _ARRAYS}
    if any(arrays[name].dtype != kind for name, kind in kinds.items()):
        raise ValueError("its arrays are of other kinds")


def save(file: Path, records: Sequence[RunRecord]) -> None:
    """Keep `records`; where that is not possible, the next reading takes longer."""
    facts = {
        "version": VERSION,
        "records": [{name: getattr(record, name) for name in _FACTS} for record in records],
        "names": [record.points.names for record in records],
    }
    arrays = {name: np.concatenate([getattr(record.points, name) for record in records]) for name in _ARRAYS}
    arrays["ends"] = np.cumsum([len(record.points.value) for record in records])
    arrays["facts"] = np.frombuffer(json.dumps(facts, default=str).encode(), dtype=np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, buffer.getvalue())
    except OSError as error:
        _log.info("%s could not be written: %s", file, error)
