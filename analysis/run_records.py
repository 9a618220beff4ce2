"""What one run left behind, read from its folder: fast, because a study has a thousand of them."""

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import with_config
from typing_extensions import TypedDict

from analysis.made_by import codes_of
from analysis.metric_points import NO_POINTS, MetricPoints, parse_metrics
from lic_exp.records import RECORD, Amount, NewerError, RecordError, checked, checked_value, open_file
from lic_exp.tracking.kinds import ComplexityNumbers, Environment, EvaluationResults, Status
from lic_exp.tracking.packed_metrics import unpacked
from lic_exp.tracking.run_folder import EVALUATION_FILE, RunFolder
from lic_exp.tracking.tables import parse_table
from lic_exp.yaml_files import MOST_BYTES, MOST_NODES, parse_counted

COMPLEXITY = ("parameters", "macs_per_pixel", "encode_macs_per_pixel", "decode_macs_per_pixel")


@dataclass
class RunRecord:
    """One run.

    folder: where it lies; for a run of a tracking store that store's address.
    problem: why it could not be read, or "".
    complexity: the numbers of complexity.json that COMPLEXITY names; {} where the run recorded none.
    evaluation: rows of images.csv as text with the header first, by the set's name ("" is the run's own).
    evaluation_name: of the run's own evaluation; None where it has none (runs of schema 1, tracking stores).
    evaluated_by: the hashes of the code that made its own evaluation, and others of the same training; not those of
        evaluations that were made beside them, of images or rates that `eval` was given.
    measured_as: what its evaluations say of how they measured, by their names ("" of an own one without a name):
        {name: {"conventions": {...}, "optimized_for": ...}}, of each what it says.
    files: [[name, bytes, mtime in ns], ...], by which a change is noticed.
    damaged: lines of metrics.jsonl that are passed over: [[number, what is wrong], ...].
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
    evaluated_by: Sequence[str | None] = ()
    measured_as: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    files: list[list[Any]] = field(default_factory=list)
    damaged: Sequence[Sequence[Any]] = ()
    points: MetricPoints = NO_POINTS


@with_config(RECORD)
class RatePart(TypedDict, total=False):
    """What tables read of a criterion's options."""

    lmbda: Amount | None


@with_config(RECORD)
class ConfigFacts(TypedDict, total=False):
    """What tables read of a config."""

    name: str | None
    tags: list[str] | None
    seed: int | None
    criterion: RatePart


Content = Mapping[str, bytes | RecordError]
"""What a file holds, by its name; or why it could not be read."""

T = TypeVar("T")


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
        run.packed_metrics,
        run.eval / EVALUATION_FILE,
    )
    others = [table.with_name(EVALUATION_FILE) for table in tables if table.parent != run.eval]
    for path in (*single, *tables, *others):
        name = path.as_posix().removeprefix(f"{folder.as_posix()}/")
        try:
            facts = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:  # reading it will say why
            found.append([name, -1, -1])
            continue
        found.append([name, facts.st_size, facts.st_mtime_ns])
    return found


def read_files(folder: Path, files: Sequence[Sequence[Any]]) -> dict[str, bytes | RecordError]:
    """The content of `files_of(folder)` by name, without what has vanished since."""
    content: dict[str, bytes | RecordError] = {}
    for name, *_ in files:
        try:
            with open_file(folder / name) as file:
                content[name] = file.read()
        except FileNotFoundError:
            continue
        except RecordError as error:
            content[name] = RecordError(name, error.reason)
        except OSError as error:
            content[name] = RecordError(name, error.strerror or str(error))
    return content


def read_record(folder: Path, files: list[list[Any]], content: Content, wanted: Collection[str] | None) -> RunRecord:
    """The run in `folder`; what cannot be read is told in `problem`, so that one bad run hides no other.

    A run of a newer version of the platform has the state "newer", and as its reason why. wanted: the metrics to keep;
    None: all.
    """
    record = RunRecord(folder.name, str(folder), files=files)
    try:
        record.config = _config(content)
        try:
            record.status = dict(_object(content, "status.json", Status) or {})
        except NewerError as error:
            record.status = {"state": "newer", "reason": f"{folder}: {error}"}
        environment = dict(_object(content, "environment.json", Environment) or {})
        record.environment = {key: environment.get(key) for key in ("git_commit", "git_dirty")}
        complexity = dict(_object(content, "complexity.json", ComplexityNumbers) or {})
        record.complexity = {key: complexity[key] for key in COMPLEXITY} if complexity else {}
        evaluation = _object(content, f"eval/{EVALUATION_FILE}", EvaluationResults)
        record.evaluation_name = evaluation.get("evaluation") if evaluation else None
        others = dict(_others(content))
        record.evaluated_by = codes_of([*([evaluation] if evaluation else []), *others.values()])
        named = {record.evaluation_name or "": evaluation or {}, **others}
        record.measured_as = {name: said for name, one in named.items() if (said := _measured(one))}
        record.points, record.damaged = parse_metrics(_metrics(content), wanted)
        tables = {name: _text(content, name) for name in content if name.endswith("images.csv")}
        record.evaluation = {_set_name(name): parse_table(name, text) for name, text in tables.items()}
    except ValueError as error:
        record.problem = f"{folder}: {error}".replace("\n", " ")
    return record


def _bytes(content: Content, name: str) -> bytes | None:
    """None where there is no such file. Raises RecordError."""
    found = content.get(name)
    if isinstance(found, RecordError):
        raise found
    return found


def _metrics(content: Content) -> bytes:
    """Those of a results folder are packed."""
    packed = None if "metrics.jsonl" in content else _bytes(content, "metrics.jsonl.gz")
    return (_bytes(content, "metrics.jsonl") or b"") if packed is None else unpacked("metrics.jsonl.gz", packed)


def _text(content: Content, name: str) -> str:
    try:
        return (_bytes(content, name) or b"").decode()
    except UnicodeDecodeError as error:
        raise RecordError(name, str(error)) from error


def _object(content: Content, name: str, kind: type[T]) -> T | None:
    data = _bytes(content, name)
    return None if data is None else checked(name, data, kind)


def _others(content: Content) -> Iterator[tuple[str, EvaluationResults]]:
    """What evaluations beside the run's own say, as far as it can be read, by the names of their folders."""
    for name in content:
        if name.endswith(f"/{EVALUATION_FILE}") and name.count("/") > 1:
            with suppress(RecordError):
                yield name.split("/")[-2], _object(content, name, EvaluationResults) or {}


def _measured(evaluation: EvaluationResults) -> dict[str, Any]:
    """What of an evaluation says how it measured, as far as that is of the right kind."""
    conventions, goal = evaluation.get("conventions"), evaluation.get("optimized_for")
    texts = conventions if isinstance(conventions, dict) else {}
    stated = {str(key): value for key, value in texts.items() if isinstance(value, str)}
    found = {"conventions": stated, "optimized_for": goal if isinstance(goal, str) else ""}
    return {key: value for key, value in found.items() if value}


def _config(content: Content) -> dict[str, Any]:
    try:
        config = parse_config(_text(content, "config.yaml"))
    except RecordError:
        raise
    except ValueError as error:
        raise RecordError("config.yaml", str(error)) from error
    checked_value("config.yaml", config, ConfigFacts)
    return config


def _set_name(file: str) -> str:
    """`eval/kodak/images.csv` -> `kodak`, `eval/images.csv` -> ``."""
    return file.removeprefix("eval/").removesuffix("images.csv").rstrip("/")


def parse_config(text: str) -> dict[str, Any]:
    """What yaml reads from a config file.

    Its top-level blocks are read one by one and remembered, because the runs of a study share most of them; YAML is
    the slowest part of reading a run. What does not come apart like that is read whole.
    """
    if len(text) > MOST_BYTES:
        raise ValueError(f"it has {len(text)} characters, and {MOST_BYTES} are the most that it could need")
    try:
        blocks = _blocks(text)
    except ValueError:
        blocks = []
    if not blocks or not all(isinstance(block, dict) for block in blocks):
        blocks = [_parse(text)[0]]
    if not isinstance(blocks[0], dict):
        raise ValueError("it holds no config")
    return {key: value for block in blocks for key, value in block.items()}


def _blocks(text: str) -> list[Any]:
    """Raises ValueError where one is no YAML, or all together have too many values: aliases count in each anew."""
    blocks, left = [], MOST_NODES
    for block in re.split(r"^(?=[A-Za-z_])", text, flags=re.MULTILINE):
        if block:
            value, count = _parse(block)
            blocks.append(value)
            left -= count
            if left < 0:
                raise ValueError(f"it has more than {MOST_NODES} values")
    return blocks


@lru_cache(maxsize=4096)
def _parse(text: str) -> tuple[Any, int]:
    return parse_counted(text)
