"""What one run left behind, read from its folder: fast, because a study has a thousand of them."""

import csv
import io
import json
import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from numpy.typing import NDArray

from lic_exp.tracking.run_folder import EVALUATION_FILE, EVALUATION_KEY, RunFolder, decode_metrics

POSITION = ("step", "epoch", "time")
COMPLEXITY = ("parameters", "macs_per_pixel", "encode_macs_per_pixel", "decode_macs_per_pixel")
_YamlLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class MetricPoints(NamedTuple):
    """Logged numbers, one array entry (n,) each; `metric` counts into `names`. Ordered by metric, then as logged.

    time is in Unix seconds, epoch NaN where the source does not know it.
    """

    names: list[str]
    metric: NDArray[np.int32]
    step: NDArray[np.int64]
    epoch: NDArray[np.float64]
    time: NDArray[np.float64]
    value: NDArray[np.float64]


NO_POINTS = MetricPoints([], *(np.empty(0, kind) for kind in (np.int32, np.int64, float, float, float)))


@dataclass
class RunRecord:
    """One run.

    folder: where it lies; for a run of a tracking store that store's address.
    problem: why it could not be read, or "".
    complexity: the numbers of complexity.json that COMPLEXITY names; {} where the run recorded none.
    evaluation: rows of images.csv as text with the header first, by the set's name ("" is the run's own).
    evaluation_name: of the run's own evaluation; None where it has none (runs of schema 1, tracking stores).
    files: [[name, bytes, mtime in ns], ...], by which a change is noticed.
    """

    signature: str
    folder: str
    config: Mapping[str, Any] = field(default_factory=dict)
    status: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""
    complexity: Mapping[str, Any] = field(default_factory=dict)
    evaluation: Mapping[str, list[list[str]]] = field(default_factory=dict)
    evaluation_name: str | None = None
    files: list[list[Any]] = field(default_factory=list)
    points: MetricPoints = NO_POINTS


def files_of(folder: Path) -> list[list[Any]]:
    """The files that `read_record` would read, each with its size and time of change."""
    run = RunFolder(folder)
    tables = sorted([run.eval / "images.csv", *run.eval.glob("*/images.csv")])
    found = []
    single = (
        run.config,
        run.status_file,
        run.environment,
        run.complexity,
        run.metrics_file,
        run.eval / EVALUATION_FILE,
    )
    for path in (*single, *tables):
        try:
            facts = os.stat(path)
        except FileNotFoundError:
            continue
        found.append([path.relative_to(folder).as_posix(), facts.st_size, facts.st_mtime_ns])
    return found


def read_files(folder: Path, files: Sequence[Sequence[Any]]) -> dict[str, bytes]:
    """The content of `files_of(folder)` by name, without what has vanished since."""
    content = {}
    for name, *_ in files:
        try:
            content[name] = (folder / name).read_bytes()
        except FileNotFoundError:
            continue
    return content


def read_record(
    folder: Path, files: list[list[Any]], content: Mapping[str, bytes], wanted: Collection[str] | None
) -> RunRecord:
    """The run in `folder`; what cannot be read is told in `problem`, so that one bad run hides no other.

    wanted: the metrics to keep; None: all.
    """
    record = RunRecord(folder.name, str(folder), files=files)
    try:
        record.config = parse_config(content["config.yaml"].decode())
        record.status = _object(content, "status.json")
        environment = _object(content, "environment.json")
        record.environment = {key: environment.get(key) for key in ("git_commit", "git_dirty")}
        complexity = _object(content, "complexity.json")
        record.complexity = {key: complexity[key] for key in COMPLEXITY} if complexity else {}
        record.evaluation_name = _object(content, f"eval/{EVALUATION_FILE}").get(EVALUATION_KEY)
        record.points = parse_metrics(content.get("metrics.jsonl", b""), wanted)
        tables = {name: data.decode() for name, data in content.items() if name.endswith("images.csv")}
        record.evaluation = {_set_name(name): parse_table(name, text) for name, text in tables.items()}
    except (ValueError, KeyError, yaml.YAMLError) as error:
        record.problem = f"{folder}: {error}".replace("\n", " ")
    return record


def _object(content: Mapping[str, bytes], name: str) -> dict[str, Any]:
    try:
        value = json.loads(content.get(name, b"{}"))
    except ValueError as error:
        raise ValueError(f"{name} is damaged: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{name} holds {type(value).__name__}, not an object")
    return value


def _set_name(file: str) -> str:
    """`eval/kodak/images.csv` -> `kodak`, `eval/images.csv` -> ``."""
    return file.removeprefix("eval/").removesuffix("images.csv").rstrip("/")


def parse_config(text: str) -> dict[str, Any]:
    """What yaml reads from a config file.

    Its top-level blocks are read one by one and remembered, because the runs of a study share most of them; YAML is
    the slowest part of reading a run. What does not come apart like that is read whole.
    """
    try:
        blocks = [_parse(block) for block in re.split(r"^(?=[A-Za-z_])", text, flags=re.MULTILINE) if block]
    except yaml.YAMLError:
        blocks = []
    if not blocks or not all(isinstance(block, dict) for block in blocks):
        blocks = [_parse(text)]
    if not isinstance(blocks[0], dict):
        raise ValueError("config.yaml holds no config")
    return {key: value for block in blocks for key, value in block.items()}


@lru_cache(maxsize=4096)
def _parse(text: str) -> Any:
    return yaml.load(text, _YamlLoader)


def parse_metrics(data: bytes, wanted: Collection[str] | None = None) -> MetricPoints:
    """The points of a metrics.jsonl: of each complete line, as `RunFolder.metrics` has it.

    A last line without its end is being written, or was torn by a crash, and is no entry. Lines without a wanted
    metric are not even decoded. Raises ValueError naming a line that is no entry.
    """
    lines = data[: data.rfind(b"\n") + 1].splitlines()
    if wanted is not None:
        spelled = [json.dumps(name).encode() for name in wanted]
        lines = [line for line in lines if any(name in line for name in spelled)]
    try:
        entries = json.loads(b"[" + b",".join(lines) + b"]")
        return _points(entries, wanted)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"metrics.jsonl: {_bad_line(lines) or error}") from error


def _points(entries: list[dict[str, Any]], wanted: Collection[str] | None) -> MetricPoints:
    """Entries with the same keys become one matrix, which numpy takes apart faster than a loop does."""
    alike: dict[tuple[str, ...], list[list[Any]]] = {}
    for line, entry in enumerate(entries):
        alike.setdefault(tuple(entry), []).append([line, *entry.values()])
    codes: dict[str, int] = {}
    parts = []
    for keys, rows in alike.items():
        # "nan" and "inf", which is how they stand in the file, become numbers here.
        columns = np.array(rows, dtype=float).T
        at = {key: column for column, key in enumerate(keys, start=1)}
        kept = [key for key in keys if key not in POSITION and (wanted is None or key in wanted)]
        part = np.empty((6, len(kept), len(rows)))
        part[:4] = columns[[0, *(at[key] for key in POSITION)], None]
        part[4] = np.array([codes.setdefault(key, len(codes)) for key in kept])[:, None]
        part[5] = columns[[at[key] for key in kept]]
        parts.append(part.reshape(len(part), -1))
    if not codes:
        return NO_POINTS
    line, step, epoch, time, metric, value = np.concatenate(parts, axis=1)
    order = np.lexsort((line, metric))
    numbers = (epoch[order], time[order], value[order])
    return MetricPoints(list(codes), metric[order].astype(np.int32), step[order].astype(np.int64), *numbers)


def _bad_line(lines: Sequence[bytes]) -> str:
    for line in lines:
        try:
            entry = decode_metrics(line)
        except ValueError as error:
            return f"{line[:80]!r} has {error}"
        if missing := [key for key in POSITION if key not in entry]:
            return f"{line[:80]!r} has no {missing[0]}"
    return ""


def parse_table(name: str, text: str) -> list[list[str]]:
    """The rows of an images.csv as text, its header first. Raises ValueError where it has no images or is cut."""
    rows = list(csv.reader(io.StringIO(text, newline="")))
    if not rows or "image" not in rows[0]:
        raise ValueError(f"{name} has no column `image`")
    short = [row for row in rows if len(row) != len(rows[0])]
    if short:
        raise ValueError(f"{name} has a row of {len(short[0])} fields under {len(rows[0])} columns")
    return rows
