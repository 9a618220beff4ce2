"""The runs of a sweep, found by the manifest that it left beside the run folders."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError
from analysis.runs import Place, Runs, load_runs
from analysis.statistics import t_interval
from lic_exp.tracking.run_folder import SWEEPS, is_run_folder

SEED = "seed"


@dataclass(frozen=True)
class Sweep:
    """A sweep and what there is of its runs.

    cells: one row per cell, in the sweep's order: `signature, label`, and a column per key that tells the cells apart
    (`spectral_reg`, `seed`, ...), None where a cell has no such key. runs: those that have begun, None where none has.
    """

    name: str
    cells: pd.DataFrame
    runs: Runs | None

    @property
    def keys(self) -> list[str]:
        """What tells the cells apart."""
        return [str(column) for column in self.cells if column not in ("signature", "label")]

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

    def summary(self, metric: str, over: Collection[str] = (SEED,)) -> pd.DataFrame:
        """One row per choice, in order: its keys, `done` and `cells` (how many), and of the done cells' last values
        the `mean`, with a 95 % interval by Student t over the cells (`low`, `high`; infinite for fewer than two).

        over: the keys whose values are repetitions, not choices. Raises AnalysisError where nothing logged the metric.
        """
        table = self.table(metric)
        if self.runs is None or not (self.runs.metrics["metric"] == metric).any():
            known = [] if self.runs is None else sorted(map(str, self.runs.metrics["metric"].unique()))
            raise AnalysisError(
                f"no run of sweep {self.name} has logged {metric}; there is {', '.join(known) or 'none'}"
            )
        keys = [key for key in self.keys if key not in over]
        groups = table.groupby(keys, sort=False, dropna=False) if keys else [((), table)]
        return pd.DataFrame([dict(zip(keys, choice, strict=True)) | _row(rows) for choice, rows in groups])


def _row(rows: pd.DataFrame) -> dict[str, Any]:
    values = rows.loc[rows["state"] == "done", "value"].to_numpy()
    finite = values[np.isfinite(values)]
    interval = t_interval(finite) if len(finite) else (np.nan, np.nan)
    mean = finite.mean() if len(finite) else np.nan
    return {"done": len(finite), "cells": len(rows), "mean": mean, "low": interval[0], "high": interval[1]}


def load_sweep(name: str | None = None, *, runs: Place = "runs", code: str | None = None) -> Sweep:
    """The sweep of this name, or unique beginning of one, in a folder of runs; the one made last for None.

    code: as in `load_runs`. Raises AnalysisError where there is no such sweep, or several.
    """
    known = {path.parent.name: path for path in Path(runs, SWEEPS).glob("*/manifest.json")}
    manifests = {one: _read(path) for one, path in known.items() if name is None or one.startswith(name)}
    if not manifests:
        raise AnalysisError(f"{runs} has no sweep {name or ''}; it has {', '.join(sorted(known)) or 'none'}")
    if name is None:
        chosen = max(manifests, key=lambda one: str(manifests[one].get("made", "")))
    elif name in manifests or len(manifests) == 1:
        chosen = name if name in manifests else next(iter(manifests))
    else:
        raise AnalysisError(f"{name} could be any of {', '.join(sorted(manifests))}")
    cells = manifests[chosen]["cells"]
    begun = [Path(runs, cell["signature"]) for cell in cells if is_run_folder(Path(runs, cell["signature"]))]
    return Sweep(chosen, _cells(cells), load_runs(begun, code=code) if begun else None)


def _cells(cells: list[Mapping[str, Any]]) -> pd.DataFrame:
    keys = dict.fromkeys(key for cell in cells for key in cell["role"])
    # Lists, such as betas, cannot be grouped by.
    rows = [{key: _hashable(cell["role"].get(key)) for key in keys} for cell in cells]
    names = [{"signature": cell["signature"], "label": cell["label"]} for cell in cells]
    return pd.DataFrame([own | row for own, row in zip(names, rows, strict=True)]).astype(object)


def _hashable(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list | dict) else value


def _read(path: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise AnalysisError(f"{path} cannot be read: {error}; the sweep's command makes it anew") from error
    return manifest
