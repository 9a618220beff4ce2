"""Rows of a table that are too short for what they were given, and rows that are one experiment by that."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.runs import Runs
from analysis.studies import StudyResults
from analysis.training_cost import epochs_in_all
from lic_exp.component_schema import ComponentError
from lic_exp.flat import nested
from lic_exp.progress import Progress
from lic_exp.reach import unreached, what_is_done
from lic_exp.tracking import names

REGULARIZER = "spectral_reg"
TRAINED_WITH = ("model", "optimizer", "scheduler", "criterion", "data", "trainer", "stages", "init_from", "parent")


def reach_notes(study: StudyResults) -> Iterator[str]:
    """Of each row what its training never comes to, by its first run there is; then rows that are one experiment."""
    if study.runs is None:
        return
    first: dict[str, tuple[str, frozenset[str]]] = {}
    for cell, signature in study.signatures:
        if signature in study.states and cell.variant in study.table.variants:
            first.setdefault(cell.variant, (signature, frozenset(cell.rate)))
    alike: dict[str, list[str]] = {}
    for variant, (signature, rate) in first.items():
        label = study.table.variants[variant].label
        row = study.runs.facts(signature)
        end, node = _end(study.runs, row), _regularizer(row)
        try:
            done = node if node is None or end is None else what_is_done(node, end)
            if node is not None and end is not None:
                yield from (f"{label}: {text}" for text in unreached(node, end, REGULARIZER))
        except (ComponentError, KeyError, TypeError):
            continue  # of a package that is not here, or of a version with other options
        alike.setdefault(json.dumps([done, _others(row, rate)], sort_keys=True, default=str), []).append(variant)
    for rows in alike.values():
        if len(rows) > 1:
            labels = "; ".join(study.table.variants[row].label for row in rows)
            yield (
                f"{labels}: one experiment, since these rows differ only in what they never reach or weigh by 0"
                f"{_as_measured(study, study.runs, rows)}"
            )


def _as_measured(study: StudyResults, runs: Runs, rows: Sequence[str]) -> str:
    """Whether the finished runs of rows that are one experiment lost the same at every validation, in words."""
    found: dict[tuple[int, str], dict[str, NDArray[np.float64]]] = {}
    for cell, signature in study.signatures:
        if cell.variant in rows and study.states.get(signature, {}).get("state") == "done":
            curve = runs.series(signature, names.VAL_RD_LOSS)
            found.setdefault((cell.seed, str(cell.rate)), {})[signature] = np.stack([curve["step"], curve["value"]])
    pairs = {seed: list(curves.values()) for (seed, _), curves in found.items() if len(curves) > 1}
    apart = [
        seed
        for seed, (one, *others) in pairs.items()
        if not all(np.array_equal(one, each, equal_nan=True) for each in others)
    ]
    if apart:
        return f"; yet their {names.VAL_RD_LOSS} differs, at seed {apart[0]} for one: they were computed differently"
    return f"; their {names.VAL_RD_LOSS} is equal to the last bit" if pairs else ""


def _end(runs: Runs, row: Mapping[Any, Any]) -> Progress | None:
    """Where the run's training ends; None where its record does not tell."""
    steps, epochs = row["max_steps"], epochs_in_all(runs, row["signature"])
    return None if math.isnan(steps) or math.isnan(epochs) else Progress(int(steps), int(epochs), 1.0)


def _regularizer(row: Mapping[Any, Any]) -> dict[str, Any] | None:
    """Its node of the config; None for none."""
    prefix = f"{REGULARIZER}."
    own = {str(key): value for key, value in row.items() if str(key).startswith(prefix) and not _is_absent(value)}
    node: dict[str, Any] = nested(own).get(REGULARIZER, {})
    return node if node.get("_target_") else None


def _others(row: Mapping[Any, Any], rate: frozenset[str]) -> dict[str, Any]:
    """All else that trains a run, but for its seed and rate."""
    keys = (str(key) for key in row if str(key).partition(".")[0] in TRAINED_WITH)
    return {key: row[key] for key in keys if key not in rate and not _is_absent(row[key])}


def _is_absent(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)
