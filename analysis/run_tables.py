"""Records of runs as tidy tables; `analysis.runs.Runs` says what stands in them."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd

from analysis.made_by import made
from analysis.metric_points import NO_POINTS
from analysis.run_records import COMPLEXITY, RunRecord
from lic_exp.flat import component_label, leaves
from lic_exp.tracking.numerics import changes_text
from lic_exp.tracking.run_folder import RunFolder, is_silent
from lic_exp.tracking.tables import PIXELS

NUMBERS = ("step", "max_steps", "attempt", "started", "finished", "interval_speeds_from")
"""What of the status is a number, NaN where the run has not said it."""


def runs_table(records: Sequence[RunRecord]) -> pd.DataFrame:
    """One row per record, each of another signature."""
    rows = [_run_row(record) for record in records]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return pd.DataFrame({name: _column([row.get(name, np.nan) for row in rows]) for name in columns})


def _run_row(record: RunRecord) -> dict[str, Any]:
    config, status, maker = record.config, record.status, made(record.signature, record.status, record.evaluated_by)
    labels = {
        group: component_label(node) for group, node in config.items() if group != "tracker" and _has_component(node)
    }
    facts = {
        "signature": record.signature,
        "folder": record.folder,
        "state": "unreadable" if record.problem else _state(record),
        "reason": record.problem or status.get("reason") or "",
        **{key: np.nan if status.get(key) is None else status[key] for key in NUMBERS},
        **{key: status.get(key) for key in ("device", "host")},
        "git_commit": record.environment.get("git_commit"),
        "git_dirty": record.environment.get("git_dirty"),
        "code": maker.state,
        "stale": maker.state == "stale",
        "code_hashes": maker.hashes,
        "code_parts": tuple(maker.parts.items()),
        "elsewhere": status.get("elsewhere") or changes_text(status),
        "name": config.get("name"),
        "tags": tuple(config.get("tags") or ()),
        "seed": config.get("seed"),
        "evaluation": record.evaluation_name,
        "measured_as": _hashable(record.measured_as),
        **{key: np.nan if (value := record.complexity.get(key)) is None else value for key in COMPLEXITY},
    }
    flat = {key: _hashable(value) for key, value in leaves(config) if key not in facts}
    return facts | {"lmbda": flat.get("criterion.lmbda")} | labels | flat


def _state(record: RunRecord) -> str:
    state = str(record.status.get("state", "created"))
    if state != "running":
        return state
    file = RunFolder(record.folder).status_file if record.files else None
    return "silent" if is_silent(record.status, file) else state


def _has_component(node: Any) -> bool:
    return isinstance(node, Mapping) and ("_target_" in node or any(map(_has_component, node.values())))


def _hashable(value: Any) -> Any:
    """Lists as tuples, so that values can be compared and grouped by."""
    if isinstance(value, list):
        return tuple(map(_hashable, value))
    return tuple((key, _hashable(entry)) for key, entry in value.items()) if isinstance(value, Mapping) else value


def _column(values: Sequence[Any]) -> "pd.Series[Any]":
    """Numbers and booleans as such; anything else as it is, because null, text and numbers may stand in one column."""
    kinds = {type(value) for value in values}
    plain = kinds <= {bool} or kinds <= {int, float}
    column: pd.Series[Any] = pd.Series(list(values), dtype=None if plain else object)
    return column


def metrics_table(records: Sequence[RunRecord]) -> pd.DataFrame:
    counts = [len(record.points.value) for record in records]
    names = sorted({name for record in records for name in record.points.names})
    place = {name: code for code, name in enumerate(names)}
    parts = [record.points for record in records] or [NO_POINTS]
    metric = np.concatenate([np.array([place[n] for n in part.names], np.int64)[part.metric] for part in parts])

    def joined(column: str) -> Any:
        return np.concatenate([getattr(part, column) for part in parts])

    run = np.repeat(np.arange(len(records)), counts)
    return pd.DataFrame(
        {
            "signature": pd.Categorical.from_codes(
                run, pd.Index([record.signature for record in records], dtype=object)
            ),
            "step": joined("step"),
            "epoch": joined("epoch"),
            "time": joined("time"),
            "metric": pd.Categorical.from_codes(metric, pd.Index(names, dtype=object)),
            "value": joined("value"),
        },
        copy=False,
    )


def evaluation_table(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Tables with the same columns are joined before their texts become values: a thousand conversions become one."""
    tables = [(record.signature, name, rows) for record in records for name, rows in record.evaluation.items()]
    frames = []
    for header, alike in groupby(sorted(tables, key=lambda table: table[2][0]), key=lambda table: table[2][0]):
        rows = [[signature, name, *row] for signature, name, (_, *body) in alike for row in body]
        columns = zip(*rows, strict=True) if rows else ([] for _ in range(2 + len(header)))
        frames.append(
            pd.DataFrame({n: _typed(n, c) for n, c in zip(["signature", "set", *header], columns, strict=True)})
        )
    if not frames:
        return pd.DataFrame({"signature": [], "set": [], "image": []}, dtype=object)
    return pd.concat(frames, ignore_index=True).sort_values(["signature", "set"], kind="stable", ignore_index=True)


def _typed(name: str, texts: Iterable[str]) -> Any:
    """Text as numbers or booleans where all of it is; an image called 0001 keeps its name, a digest its digits."""
    texts = list(texts)
    if name in ("signature", "set", "image", PIXELS):
        return np.array(texts, dtype=object)
    if set(texts) <= {"True", "False"}:
        return np.array(texts) == "True"
    for kind in (np.int64, np.float64):
        try:
            return np.array([text or "nan" for text in texts]).astype(kind)
        except ValueError:
            continue
    return np.array(texts, dtype=object)
