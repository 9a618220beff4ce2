"""Whether two runs of one training are the same: what they logged to the last bit, and the rows of their evaluations.

Times and speeds are of the machine and not compared. Either run may be in a results folder. Imports no torch.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lic_exp.config.errors import ConfigError
from lic_exp.records import RecordError, read_file, read_record
from lic_exp.runs.run import Run
from lic_exp.runs.staleness import code_text
from lic_exp.tracking import names
from lic_exp.tracking.kinds import EvaluationResults
from lic_exp.tracking.numerics import different
from lic_exp.tracking.run_folder import EVALUATION_FILE, damage_text
from lic_exp.tracking.tables import parse_table

SPEEDS = ("time", names.TRAIN_IMAGES_PER_S)
"""Of what is logged."""

DURATIONS = ("encode_s", "decode_s")
"""Columns of an images.csv."""

MOST_NAMED = 3

ComparedRows = list[tuple[str, ...]]


@dataclass(frozen=True)
class Sameness:
    """lines: what was compared and what came of it. differs: whether anything was unlike. why: possible reasons."""

    lines: tuple[str, ...]
    differs: bool
    why: tuple[str, ...] = ()


def compare_runs(one: Run, other: Run) -> Sameness:
    """Compare what two runs logged, and the evaluations that `one` has. Raises ConfigError for what cannot be read."""
    try:
        logged, logged_too = _logged(one), _logged(other)
        rows, rows_too = _evaluations(one), _evaluations(other)
    except (RecordError, ValueError) as error:
        raise ConfigError([str(error)]) from error
    apart = _differing(logged, logged_too)
    lines = [_metrics_line(logged, apart, one, other)]
    differs = bool(apart) or not logged
    for name, own in rows.items():
        line, unlike = _rows_line(name, own, rows_too.get(name), other)
        lines.append(line)
        differs |= unlike
    if rows and not rows.keys() & rows_too.keys():
        differs = True
    return Sameness(tuple(lines), differs, tuple(_reasons(one, other)) if differs else ())


def _logged(run: Run) -> dict[tuple[int, str], Any]:
    """{(step, metric): value}, of a step that was logged twice the last. Raises RecordError where lines are damaged."""
    damaged: list[tuple[int, str]] = []
    found = {
        (entry["step"], name): value
        for entry in run.files.metrics(damaged)
        for name, value in entry.items()
        if name not in (*SPEEDS, "step")
    }
    if damaged:
        raise RecordError(run.files.metrics_file, damage_text(run.files.metrics_file, damaged))
    return found


def _differing(one: Mapping[tuple[int, str], Any], other: Mapping[tuple[int, str], Any]) -> list[tuple[int, str]]:
    return [key for key in sorted(one.keys() | other.keys()) if not _equal(one.get(key), other.get(key))]


def _equal(one: Any, other: Any) -> bool:
    """To the last bit: 0.0 is not -0.0, and NaN is NaN."""
    if isinstance(one, float) and isinstance(other, float):
        return (math.isnan(one) and math.isnan(other)) or one.hex() == other.hex()
    return bool(one == other)


def _metrics_line(logged: Mapping[tuple[int, str], Any], apart: Sequence[tuple[int, str]], one: Run, other: Run) -> str:
    if not logged:
        return f"metrics: run {one.folder} logged nothing that could be compared"
    steps = len({step for step, _ in logged})
    if not apart:
        return f"metrics: {len(logged)} numbers at {steps} steps, the same to the last bit"
    theirs = _logged(other)
    shown = [
        f"{name} after step {step} is {_said(theirs.get((step, name)))}, not {_said(logged.get((step, name)))}"
        for step, name in apart[:MOST_NAMED]
    ]
    more = f", and {len(apart) - MOST_NAMED} more" if len(apart) > MOST_NAMED else ""
    return f"metrics: {len(apart)} of {len(logged)} numbers differ, first {', '.join(shown)}{more}"


def _said(value: Any) -> str:
    return "missing" if value is None else repr(value)


def _evaluations(run: Run) -> dict[str, ComparedRows]:
    """{name of an evaluation: its rows without durations, the header first}, the run's own first.

    Those of a training that has begun anew since are of other weights, and left out.
    """
    found: dict[str, ComparedRows] = {}
    for folder in (run.files.eval, *sorted(path.parent for path in run.files.eval.glob("*/images.csv"))):
        table = folder / "images.csv"
        if not table.is_file():
            continue
        name, former = _name_of(folder, folder.name if folder != run.files.eval else "")
        if not former:
            header, *rows = parse_table(str(table), read_file(table).decode())
            kept = [place for place, column in enumerate(header) if column not in DURATIONS]
            found[name] = [tuple(row[place] for place in kept) for row in (header, *rows)]
    return found


def _name_of(folder: Path, otherwise: str) -> tuple[str, bool]:
    try:
        results = read_record(folder / EVALUATION_FILE, EvaluationResults)
    except FileNotFoundError:
        return otherwise, False
    return results.get("evaluation") or otherwise, bool(results.get("former"))


def _rows_line(name: str, own: ComparedRows, others: ComparedRows | None, other: Run) -> tuple[str, bool]:
    """What to say of an evaluation, and whether its rows differ."""
    said = f"evaluation {name}" if name else "evaluation"
    if others is None:
        return f"{said}: run {other.folder} has none of this name; it is not compared", False
    if own == others:
        return f"{said}: {len(own) - 1} rows, the same", False
    if own[0] != others[0]:
        return f"{said}: its columns are {', '.join(others[0])}, not {', '.join(own[0])}", True
    if len(own) != len(others):
        return f"{said}: it has {len(others) - 1} rows, not {len(own) - 1}", True
    rows = [(a, b) for a, b in zip(own, others, strict=True) if a != b]
    a, b = rows[0]
    column = next(place for place, pair in enumerate(zip(a, b, strict=True)) if pair[0] != pair[1])
    where = f"{own[0][column]} of {a[own[0].index('image')]} is {b[column]}, not {a[column]}"
    return f"{said}: {len(rows)} of {len(own) - 1} rows differ, first {where}", True


def _reasons(one: Run, other: Run) -> Iterator[str]:
    """In what machine and code of the two are unlike."""
    records = [run.files.status_if_whole().get("numerics") or [] for run in (one, other)]
    if all(records):
        for text in different(records[0][0], records[1][0]):
            yield f"they were not computed alike: {text}"
    for run in (one, other):
        if text := code_text(run.files.status_if_whole()).partition(";")[0]:
            yield f"run {run.folder} is {text}"
