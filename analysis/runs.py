"""Runs as data: run folders, or an MLflow store, as tidy tables."""

import logging
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis import run_cache
from analysis.errors import AnalysisError
from analysis.run_places import Place, given_path, is_store, run_folders
from analysis.run_records import RunRecord, files_of, read_files, read_record
from analysis.run_tables import evaluation_table, metrics_table, runs_table
from lic_exp.naming import AmbiguousNameError, unique_match
from lic_exp.records import RecordError
from lic_exp.tracking.run_folder import damage_text, is_run_folder

_log = logging.getLogger("analysis")

READERS, AT_ONCE = 4, 100
"""Threads that wait for files, and runs that they read before any is parsed: both at a time would only take turns."""

NOWHERE = np.empty(0, np.intp)

UNNAMED = "(unnamed)"
"""The set of an evaluation without a name in whose place another was taken."""

RATE_LABELS = ("rate",)
"""Columns of an images.csv that tell the rates of a variable-rate codec apart; its `lmbda` is what they stand for."""


@dataclass(frozen=True)
class Runs:
    """Runs of any state, finished or not.

    runs: one row per run. `signature, folder, state, reason, step, max_steps, attempt, started, finished, device, host,
        git_commit, git_dirty, code, stale, code_hashes, code_parts, elsewhere, name, tags, seed, evaluation,
        measured_as, lmbda`; the codec's `parameters, macs_per_pixel, encode_macs_per_pixel, decode_macs_per_pixel`, NaN
        where the run recorded none; a column per component with its short name (`model`, `spectral_reg`, ...); a column
        per config key (`optimizer.lr`, ...), NaN where a run has no such key.
        state: created, running, done, failed, diverged or preempted, as the run itself says; "silent" where it says
        running but wrote nothing for two minutes, "unreadable" where its files are damaged (`reason` tells which),
        "newer" where a newer version of the platform wrote them.
        code: whether the code that made it is that of now: current, stale or unknown (`lic_exp.runs.code_hash`), as
        commands say it too. stale: whether it is that. code_hashes: of all code that had a part in it, its
        evaluations included; code_parts: ((part, hash), ...) of the latest.
        elsewhere: in words, how its training went on otherwise than it began (docs/runs.md), "" where it did not.
        measured_as: what its evaluations say of how they measured, ((evaluation, ((key, value), ...)), ...).
        evaluation: the name of the one that stands under the set "", None where it has no name.
    metrics: one row per logged number: `signature, step, epoch, time [Unix s], metric, value`; per run ordered by
        metric, then as logged. After a resume a step may stand there twice (`curve` keeps the last).
    evaluation: one row per run and image, with the columns of images.csv, `signature`, and `set`: the name of the
        images where they were named, "" for the run's own (`with_evaluations` takes another in its place).
    """

    runs: pd.DataFrame
    metrics: pd.DataFrame
    evaluation: pd.DataFrame

    def __len__(self) -> int:
        return len(self.runs)

    @property
    def problems(self) -> pd.DataFrame:
        """The runs that are not done, or are not known to be by the code that there is now, and why."""
        bad = self.runs[(self.runs["state"] != "done") | (self.runs["code"] != "current")]
        return bad[["signature", "name", "state", "code", "step", "max_steps", "git_commit", "reason", "folder"]]

    def where(self, chosen: "pd.Series[bool] | None" = None, **values: Any) -> "Runs":
        """Some of the runs: those marked in `chosen`, a mask over `runs`, with these values in these columns.

        Raises AnalysisError where there is no such column.
        """
        mask = np.ones(len(self), bool) if chosen is None else np.asarray(chosen, bool)
        for column, value in values.items():
            if column not in self.runs:
                raise AnalysisError(f"runs have no column {column!r}; they have {', '.join(map(str, self.runs))}")
            mask = mask & np.array([entry == value for entry in self.runs[column]], bool)
        runs = self.runs[mask].reset_index(drop=True)
        kept = set(runs["signature"])
        others = (
            table[table["signature"].isin(kept)].reset_index(drop=True) for table in (self.metrics, self.evaluation)
        )
        some = Runs(runs, *others)
        if "_rows" in vars(self):  # made already, which takes longest of all
            vars(some)["_rows"] = {name: self._rows[name] for name in runs["signature"]}
        return some

    def of(self, signatures: Sequence[str]) -> "Runs":
        """The runs of these signatures, in their order."""
        some = self.where(self.runs["signature"].isin(signatures))
        order = some.runs["signature"].map({name: i for i, name in enumerate(dict.fromkeys(signatures))})
        return replace(some, runs=some.runs.iloc[np.argsort(order.to_numpy())].reset_index(drop=True))

    def with_evaluations(self, names: Mapping[str, str | None]) -> "Runs":
        """The same runs, and as the set "" of each the evaluation of this name; None, or no entry: as it is.

        A run's own evaluation lies in `eval/`, others of the same training in `eval/<name>/`. An own one that has no
        name (schema 1) is taken for any. A run that was not evaluated so has no rows under "".
        """
        there = set(zip(self.evaluation["signature"], self.evaluation["set"], strict=True))
        own = {row["signature"]: row["evaluation"] for row in self.rows()}
        taken = {
            signature: name
            for signature, name in names.items()
            if name not in (None, own.get(signature)) and (own.get(signature) or (signature, name) in there)
        }
        if not taken:
            return self
        now = [taken.get(signature, name) for signature, name in own.items()]
        runs = self.runs.assign(evaluation=pd.Series(now, self.runs.index, object))
        wanted = self.evaluation["signature"].map(taken)
        left = self.evaluation["signature"].map(own).fillna(UNNAMED)
        sets = self.evaluation["set"].mask(wanted.notna() & (self.evaluation["set"] == ""), left)
        return Runs(runs, self.metrics, self.evaluation.assign(set=sets.mask(sets == wanted, "")))

    def with_seeds(self, seeds: Mapping[str, int]) -> "Runs":
        """The runs of these signatures, under these seeds. `metrics` stays whole, as a table asks this row by row."""
        runs, evaluation = (
            table[table["signature"].isin(list(seeds))].reset_index(drop=True) for table in (self.runs, self.evaluation)
        )
        found = Runs(runs.assign(seed=runs["signature"].map(seeds)), self.metrics, evaluation)
        vars(found)["_rows"] = {name: self._rows[name] | {"seed": seeds[name]} for name in runs["signature"]}
        vars(found).update(_columns=self._columns, _places=self._places, of_each=self.of_each)
        return found

    def curve(self, signature: str, metric: str) -> pd.DataFrame:
        """One metric of one run: `step, epoch, time, value` by step, of a step logged twice the last; may be empty."""
        return pd.DataFrame(self.series(signature, metric))

    def series(self, signature: str, metric: str) -> dict[str, NDArray[Any]]:
        """`curve` as arrays (n,) by name, for those who read many."""
        places = self._places.get((signature, metric), NOWHERE)
        steps = self._columns["step"][places]
        if not (steps[1:] > steps[:-1]).all():  # the first of the reversed order is the last that was logged
            places = places[::-1][np.unique(steps[::-1], return_index=True)[1]]
        return {name: column[places] for name, column in self._columns.items()}

    def facts(self, signature: str) -> dict[Any, Any]:
        """The run's row of `runs`."""
        return self._rows[signature]

    def rows(self) -> list[dict[Any, Any]]:
        """The rows of `runs`."""
        return list(self._rows.values())

    def final(self, metrics: Collection[str] | None = None) -> pd.DataFrame:
        """The last value of each metric: one row per run, indexed by signature, one column per metric."""
        rows = self.metrics if metrics is None else self.metrics[self.metrics["metric"].isin(list(metrics))]
        last = rows.sort_values("step", kind="stable").drop_duplicates(["signature", "metric"], keep="last")
        table = (
            last.astype({"signature": str, "metric": str})
            .pivot(index="signature", columns="metric", values="value")
            .rename_axis(columns=None)
        )
        final: pd.DataFrame = table.reindex(self.runs["signature"])
        return final if metrics is None else final.reindex(columns=list(metrics))

    def means(self, images: str = "") -> pd.DataFrame:
        """Mean over the images of one set: a row per run, and per rate where the tables have a rate label.

        images: the set's name, or the unique beginning of one: "kodak" of "kodak-1a2b3c4d". Raises AnalysisError where
        it is the beginning of several.

        `signature, seed, lmbda` (the rate's own, where it has one), the label (one of RATE_LABELS), the number of
        `images`, and each measure's mean, NaN where an image lacks it: its mean would be of other images than the
        rate's.
        """
        try:
            named = unique_match(images, self.evaluation["set"].unique()) if images else images
        except AmbiguousNameError as error:
            raise AnalysisError(f"{error}: give more of the name") from error
        rows = self.evaluation[self.evaluation["set"] == named]
        keys = ["signature", *(label for label in RATE_LABELS if label in rows)]
        others = (*keys, "height", "width", "lmbda")
        measures = [str(name) for name in rows.select_dtypes("number") if name not in others]
        grouped = rows.groupby(keys, sort=False, dropna=False)
        complete = grouped[measures].count().eq(grouped.size(), axis=0)
        means = grouped[measures].mean().where(complete).assign(images=grouped.size())
        table = self.runs[["signature", "seed", "lmbda"]].merge(means.reset_index(), on="signature")
        if "lmbda" in rows:
            own = table[keys].merge(grouped["lmbda"].first().reset_index(), on=keys, how="left")
            table["lmbda"] = own["lmbda"].where(own["lmbda"].notna(), table["lmbda"])
        return table

    @cached_property
    def _columns(self) -> dict[str, NDArray[Any]]:
        return {name: self.metrics[name].to_numpy() for name in ("step", "epoch", "time", "value")}

    @cached_property
    def _rows(self) -> dict[str, dict[Any, Any]]:
        return {row["signature"]: row for row in self.runs.to_dict("records")}

    @cached_property
    def remembered(self) -> dict[Any, Any]:
        """What others have worked out of these runs, by what they call it: a table asks for its baseline row by row."""
        return {}

    @cached_property
    def of_each(self) -> dict[Any, Any]:
        """The same of single runs, whatever others are beside them and whichever seeds they have."""
        return {}

    @cached_property
    def _places(self) -> Mapping[Any, Any]:
        (runs, named), (logged, measured) = (pd.factorize(self.metrics[key]) for key in ("signature", "metric"))
        signatures, metrics = list(named), list(measured)
        of_each = runs * len(metrics) + logged
        order = np.argsort(of_each, kind="stable")
        pairs, begins = np.unique(of_each[order], return_index=True)
        found = zip(pairs.tolist(), np.split(order, begins[1:]), strict=True) if len(order) else ()
        return {(signatures[pair // len(metrics)], metrics[pair % len(metrics)]): places for pair, places in found}


def load_runs(
    places: Place | Iterable[Place] = "runs",
    *,
    metrics: Collection[str] | None = None,
    cache: bool = True,
) -> Runs:
    """Read runs from folders that hold run folders, from single run folders, or from MLflow stores.

    places: one or several of those; a store is a URI (`sqlite:////data/runs/mlflow.db`) or a path ending in `.db`.
        A store has no epochs, and of its runs those that the platform sent.
    metrics: the metrics to read; None: all. Naming a few makes long runs faster.
    cache: keep what was read from a folder of runs (in its `.analysis`, or in the user's cache folder where that
        cannot be written), and read again only runs whose files' sizes or times of change are others.

    Damaged lines of a metrics.jsonl are passed over, and a warning names them. A run whose files are damaged
    otherwise is there too, as "unreadable". The tables are in the order of the places, within a folder by signature.
    Raises AnalysisError where a place is neither, or one signature lies in two places.
    """
    if isinstance(places, str | Path):
        places = [places]
    if isinstance(metrics, str):
        metrics = [metrics]
    records: dict[str, RunRecord] = {}
    for record in (record for place in places for record in _read_place(place, metrics, cache)):
        known = records.setdefault(record.signature, record)
        if known.folder != record.folder:
            raise AnalysisError(
                f"run {record.signature} lies in {known.folder} and in {record.folder}; give one of them"
            )
    found = list(records.values())
    for record in found:
        if record.damaged:
            damaged = [(number, reason) for number, reason in record.damaged]
            _log.warning("%s", damage_text(Path(record.folder, "metrics.jsonl"), damaged))
    return Runs(runs_table(found), metrics_table(found), evaluation_table(found))


def _read_place(place: Place, metrics: Collection[str] | None, cache: bool) -> Iterable[RunRecord]:
    if is_store(place):
        from analysis.mlflow_runs import read_store

        return read_store(str(place), metrics)
    folder = Path(os.path.abspath(given_path(place)))  # "." gets its name, symbolic links keep theirs
    if is_run_folder(folder):
        return _read_folders([folder], metrics)
    if not folder.is_dir():
        raise AnalysisError(
            f"there is no folder {place}: name a run folder, a folder of run folders, or an MLflow store"
        )
    folders = run_folders(folder)
    if not folders:
        raise AnalysisError(f"{place} holds no run folders (folders with config.yaml and status.json)")
    return _read_cached(folder, folders, metrics) if cache else _read_folders(folders, metrics)


def _read_cached(place: Path, folders: Sequence[Path], metrics: Collection[str] | None) -> list[RunRecord]:
    file = run_cache.cache_file(place, metrics)
    known = run_cache.load(file)
    changed = [f for f in folders if f.name not in known or known[f.name].files != files_of(f)]
    fresh = {record.signature: record for record in _read_folders(changed, metrics)}
    # The cache may have been made when the folder lay elsewhere.
    kept = {f.name: known[f.name] for f in folders if f.name not in fresh}
    for folder in folders:
        (fresh.get(folder.name) or kept[folder.name]).folder = str(folder)
    records = [fresh.get(folder.name) or kept[folder.name] for folder in folders]
    if fresh or len(known) != len(records):
        run_cache.save(file, records)
    return records


def _read_folders(folders: Sequence[Path], metrics: Collection[str] | None) -> Iterator[RunRecord]:
    def content(folder: Path) -> tuple[Path, list[list[Any]], dict[str, bytes | RecordError]]:
        files = files_of(folder)
        return folder, files, read_files(folder, files)

    with ThreadPoolExecutor(READERS) as pool:
        for start in range(0, len(folders), AT_ONCE):
            for folder, files, data in list(pool.map(content, folders[start : start + AT_ONCE])):
                yield read_record(folder, files, data, metrics)
