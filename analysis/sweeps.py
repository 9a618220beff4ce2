"""The runs of a sweep, found by the manifest that it left beside the run folders."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError
from analysis.run_places import Place
from analysis.runs import Runs, load_runs
from analysis.statistics import t_interval
from analysis.sweep_manifests import SweepManifest, committed_runs, find_sweep
from lic_exp.comparability import kind_of
from lic_exp.tracking.names import VAL_RD_LOSS
from lic_exp.tracking.run_folder import is_run_folder

SEED = "seed"
OF_A_CELL = ("signature", "label", "evaluation")
"""What a manifest says of each cell beside the keys that tell it apart."""


@dataclass(frozen=True)
class SweepResults:
    """A sweep and what there is of its runs.

    cells: one row per cell, in the sweep's order: `signature, label, evaluation` (its name; None in sweeps made before
    evaluations had one), and a column per key that tells the cells apart (`spectral_reg`, `seed`, ...), None where a
    cell has no such key; a list, a mapping or null is its JSON text. runs: those that have begun, with the evaluations
    that the sweep asked for, or None.
    """

    name: str
    cells: pd.DataFrame
    runs: Runs | None

    @property
    def keys(self) -> list[str]:
        """What tells the cells apart."""
        return [str(column) for column in self.cells if column not in OF_A_CELL]

    def table(self, metric: str) -> pd.DataFrame:
        """`cells` with the `state` of each ("waiting" where it has not begun) and the metric's last value, or NaN."""
        if self.runs is None:
            return self.cells.assign(state="waiting", value=np.nan)
        state = dict(zip(self.runs.runs["signature"], self.runs.runs["state"], strict=True))
        value = self.runs.final([metric])[metric]
        names = self.cells["signature"]
        return self.cells.assign(
            state=[state.get(name, "waiting") for name in names], value=names.map(value).astype(float)
        )

    @property
    def evaluation(self) -> pd.DataFrame:
        """`Runs.evaluation`, of each cell the evaluation that it asked for, under its `label`; may be empty."""
        if self.runs is None:
            return pd.DataFrame({"label": [], "signature": [], "image": []}, dtype=object)
        parts = []
        for name in dict.fromkeys(self.cells["evaluation"]):
            cells = self.cells[[own == name for own in self.cells["evaluation"]]]
            rows = self.runs.with_evaluations(dict.fromkeys(cells["signature"], name)).evaluation
            parts.append(cells[["label", "signature"]].merge(rows[rows["set"] == ""], on="signature"))
        return pd.concat(parts, ignore_index=True)

    def summary(self, metric: str, over: Collection[str] = (SEED,)) -> pd.DataFrame:
        """One row per choice, in order: its keys, `done` and `cells` (how many), and of the done cells' last values
        the `mean`, with a 95 % interval by Student t over the cells (`low`, `high`; infinite for fewer than two).

        over: the keys whose values are repetitions, not choices; a sweep without seeds may be asked over them. Raises
        AnalysisError as `check_over`, and where nothing logged the metric.
        """
        self.check_over(metric, over)
        table = self.table(metric)
        if self.runs is None or not (self.runs.metrics["metric"] == metric).any():
            known = [] if self.runs is None else sorted(map(str, self.runs.metrics["metric"].unique()))
            raise AnalysisError(
                f"no run of sweep {self.name} has logged {metric}; there is {', '.join(known) or 'none'}"
            )
        keys = [key for key in self.keys if key not in over]
        groups = table.groupby(keys, sort=False, dropna=False) if keys else [((), table)]
        return pd.DataFrame([dict(zip(keys, choice, strict=True)) | _row(rows) for choice, rows in groups])

    def check_over(self, metric: str, over: Collection[str]) -> None:
        """Raise AnalysisError where one of the keys is none of the sweep's, or means nothing as a repetition."""
        if unknown := [key for key in over if key not in (*self.keys, SEED)]:
            raise AnalysisError(f"{unknown[0]} is no key of sweep {self.name}; it has {', '.join(self.keys) or 'none'}")
        if metric.startswith(VAL_RD_LOSS):
            for key in over:
                if kind := kind_of(key if "." in key else f"{key}._target_"):
                    raise AnalysisError(f"{key}: a mean of {metric} over different {kind} is no measure of anything")


def _row(rows: pd.DataFrame) -> dict[str, Any]:
    values = rows.loc[rows["state"] == "done", "value"].to_numpy()
    finite = values[np.isfinite(values)]
    interval = t_interval(finite) if len(finite) else (np.nan, np.nan)
    mean = finite.mean() if len(finite) else np.nan
    return {"done": len(finite), "cells": len(rows), "mean": mean, "low": interval[0], "high": interval[1]}


def load_sweep(name: str | None = None, *, runs: Place = "runs") -> SweepResults:
    """What there is of a sweep (`find_sweep`). Raises AnalysisError."""
    return sweep_results(find_sweep(name, runs))


def sweep_results(sweep: SweepManifest) -> SweepResults:
    """The sweep's cells and the runs there are of them."""
    committed = committed_runs(sweep.runs)
    places = (committed.get(name, sweep.runs / name) for name in (cell["signature"] for cell in sweep.cells))
    begun = [folder for folder in places if is_run_folder(folder)]
    cells = _cells(sweep.cells)
    if not begun:
        return SweepResults(sweep.name, cells, None)
    # Of cells that are one training the first has its evaluation here, and `evaluation` that of each.
    names = {cell["signature"]: cell.get("evaluation") for cell in reversed(sweep.cells)}
    return SweepResults(sweep.name, cells, load_runs(dict.fromkeys(begun)).with_evaluations(names))


def _cells(cells: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    keys = dict.fromkeys(key for cell in cells for key in cell.get("role", {}))
    # Lists, such as betas, cannot be grouped by.
    roles = [{key: _hashable(value) for key, value in cell.get("role", {}).items()} for cell in cells]
    rows = [{key: role.get(key) for key in keys} for role in roles]
    names = [{name: cell.get(name) for name in OF_A_CELL} for cell in cells]
    return pd.DataFrame([own | row for own, row in zip(names, rows, strict=True)]).astype(object)


def _hashable(value: Any) -> Any:
    return json.dumps(value) if value is None or isinstance(value, list | dict) else value
