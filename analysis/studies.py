"""The runs of an ablation table, found by the manifest that launching them left beside the run folders."""

import difflib
import logging
import os
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.image_points import ImagePoints, points_by_image
from analysis.run_places import Place, given_path, no_store
from analysis.sweep_manifests import committed_runs
from lic_exp.ablation_spec import (
    FOLDER,
    RateChoice,
    Table,
    TableCell,
    TableError,
    Variant,
    experiments,
    parse_table,
    read_table,
)
from lic_exp.labels import label
from lic_exp.manifests import TableRecord, read_table_record
from lic_exp.records import RecordError
from lic_exp.tracking.run_folder import is_run_folder

if TYPE_CHECKING:
    import pandas as pd

    from analysis.runs import Runs

_log = logging.getLogger("analysis")


@dataclass(frozen=True)
class StudyResults:
    """A table and what there is of its runs.

    scale, overrides: what all of its runs were launched with, beside the experiment. made: when it was last launched.
    signatures: {cell: signature}; empty where nothing was launched. runs: those whose folders exist.
    others: manifests of the same table that were not chosen. evaluations: {signature: the name of its evaluation}.
    """

    experiment: str
    table: Table
    runs: "Runs | None" = None
    scale: str | None = None
    study: str = ""
    overrides: tuple[str, ...] = ()
    made: str = ""
    signatures: tuple[tuple[TableCell, str], ...] = ()
    others: tuple[str, ...] = ()
    evaluations: Mapping[str, str | None] = field(default_factory=dict)

    def of(self, variant: str, seed: int) -> list[str]:
        """The signatures of a row's trainings with this seed, one per rate; [] where nothing was launched."""
        return list(self.by_rate(variant, seed).values())

    def by_rate(self, variant: str, seed: int) -> Mapping[str, str]:
        """The same by rate, in words; "" where one training serves all."""
        return self._of_each.get((variant, seed), {})

    @cached_property
    def _of_each(self) -> dict[tuple[str, int], dict[str, str]]:
        found: dict[tuple[str, int], dict[str, str]] = {}
        for cell, name in self.signatures:
            found.setdefault((cell.variant, cell.seed), {})[label(cell.rate)] = name
        return found

    @cached_property
    def states(self) -> dict[Any, Any]:
        """{signature: {"state", "step"}} of the runs there are."""
        return {} if self.runs is None else self.runs.runs.set_index("signature")[["state", "step"]].to_dict("index")

    @cached_property
    def points(self) -> dict[str, NDArray[np.float64]]:
        """{signature: (rates, 4)} of the evaluated runs: bpp, PSNR [dB], lmbda (NaN without), MSE on [0, 1].

        Each is a mean over images. What is trained for is their mean MSE, which is not that of the mean PSNR.
        """
        if self.runs is None or self.runs.evaluation.empty:
            return {}
        rows = self.runs.evaluation
        means = replace(self.runs, evaluation=rows.assign(mse=10 ** (-rows["psnr"].astype(float) / 10))).means()
        values = means[["bpp", "psnr", "lmbda", "mse"]].astype(float).to_numpy()
        return {str(name): values[places] for name, places in means.groupby("signature").indices.items()}

    @cached_property
    def by_image(self) -> "dict[str, ImagePoints]":
        """{signature: what `points` has the means of} of the runs that have every image at every rate."""
        return {} if self.runs is None else points_by_image(self.runs, self.points)

    @cached_property
    def last(self) -> "pd.DataFrame | None":
        """`Runs.final` of the runs there are, of the bits of their latents."""
        if self.runs is None:
            return None
        logged = map(str, self.runs.metrics["metric"].unique())
        return self.runs.final([name for name in logged if name.startswith("val/") and name.endswith("_bpp")])

    def rate_of(self, signature: str) -> RateChoice:
        return self._rates[signature]

    @cached_property
    def _rates(self) -> dict[str, RateChoice]:
        return {name: cell.rate for cell, name in reversed(self.signatures)}


def load_study(
    experiment: str,
    *,
    runs: Place = "runs",
    scale: str | None = None,
    study: str = "",
    having: Mapping[str, str | None] | None = None,
) -> StudyResults:
    """The study of a table (`conf/experiment/NAME.yaml`, or a path of such a file) in a folder of runs.

    Of several the one launched last; scale, study (the beginning of its name) choose, and having, which are cells that
    it must have, as {signature: the name of its evaluation}. Where nothing was launched the table is there without
    runs. Raises AnalysisError.
    """
    no_store(runs, "tables")
    folder, wanted = given_path(runs), given_path(experiment, "the name of a table")
    path = wanted if experiment.endswith(".yaml") else experiments() / f"{experiment}.yaml"
    name = path.stem
    known = _manifests(folder, name)
    launched = [each for each in known if scale in (None, each["scale"]) and each["study"].startswith(study)]
    if known and not launched:
        said = ", ".join(map(_described, known))
        raise AnalysisError(f"{runs} has no runs of {name} launched so; it has {said}")
    if known and having and not (launched := [each for each in launched if _has(each, having)]):
        raise AnalysisError(f"no study of {name} in {runs} that is meant has all cells of the sweep")
    chosen = max(launched, key=lambda each: str(each["made"]), default=None)
    if chosen is None:
        return StudyResults(name, _table(path, name, None, scale), scale=scale)
    evaluations = _evaluations(chosen)
    found = _load(folder, evaluations)
    begun = set() if found is None else set(found.runs["signature"])
    cells = tuple((TableCell(row["variant"], row["seed"], row["rate"]), row["signature"]) for row in chosen["cells"])
    rows_begun = [cell.variant for cell, signature in cells if signature in begun]
    table = _table(path, name, chosen, chosen["scale"], rows_begun)
    notes = [] if found is None else _committed_notes(found, folder)
    return StudyResults(
        name,
        table.model_copy(update={"notes": [*table.notes, *notes]}) if notes else table,
        found,
        chosen["scale"],
        chosen["study"],
        tuple(chosen["overrides"]),
        chosen["made"],
        cells,
        tuple(_described(each) for each in launched if each is not chosen),
        evaluations,
    )


def tables() -> list[str]:
    """The experiments that have a table."""
    files = sorted(experiments().glob("*.yaml"))
    return [path.stem for path in files if "\ntable:" in path.read_text(encoding="utf-8")]


def _table(
    path: Path, name: str, manifest: Mapping[str, Any] | None, scale: str | None, begun: Collection[str] = ()
) -> Table:
    """Rows, labels and figures as the file says today, at this scale; seeds and rates as they were launched.

    begun: rows of which runs are there. Those that the file no longer has, or no longer runs, stay as launched.
    """
    try:
        written = read_table(path) if path.is_file() else None
        launched = None if manifest is None else parse_table(manifest["table"], f"manifest of {name}").at(scale)
    except TableError as error:
        raise AnalysisError(str(error)) from error
    written = written and written.at(scale)
    if written is None and launched is None:
        if path.is_file() and path.parent != experiments():
            raise AnalysisError(f"{path} holds no table")
        near = difflib.get_close_matches(name, tables(), n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        listed = ", ".join(tables())
        raise AnalysisError(f"{name}: there is no such table.{hint} Tables: {listed}, or the path of a file with one")
    if written is None or launched is None:
        table = written or launched
        assert table is not None
        return table
    rates = {name: variant.rates for name, variant in launched.variants.items()}
    variants = {
        name: variant.model_copy(update={"rates": rates.get(name, {})}) for name, variant in written.variants.items()
    }
    kept, notes = _no_longer_there(written, launched, begun)
    as_launched = {key: getattr(launched, key) for key in ("seeds", "aa_seeds", "rates")}
    return written.model_copy(update=as_launched | {"variants": variants | kept, "notes": [*written.notes, *notes]})


def _no_longer_there(written: Table, launched: Table, begun: Collection[str]) -> tuple[dict[str, Variant], list[str]]:
    """The rows with runs that the file no longer has or runs, by name as they were launched; and what to say of them.

    A row whose partner is in neither cannot be compared, and is named only.
    """
    gone = [
        name
        for name, row in launched.variants.items()
        if name in begun and (name not in written.variants or written.variants[name].overrides is None)
    ]
    there = gone
    while alone := [name for name in there if launched.partner(name) not in {*there, *written.variants}]:
        there = [name for name in there if name not in alone]
    kept = {name: launched.variants[name].model_copy(update={"against": launched.partner(name)}) for name in there}
    notes = [f"as launched, since the table's file no longer has or runs them: {', '.join(there)}"] if there else []
    notes += [
        f"{name} has runs and is not shown: neither it nor {launched.partner(name)}, which it is compared with, is in "
        "the table's file"
        for name in gone
        if name not in kept
    ]
    return kept, notes


def _manifests(runs: Path, name: str) -> list[TableRecord]:
    """Those that can be read; a warning names the others. Raises AnalysisError where all are damaged."""
    found, damaged = [], []
    for path in sorted((runs / FOLDER).glob(f"{escape(name)}-*.json")):
        try:
            manifest = read_table_record(path)
        except RecordError as error:
            damaged.append(f"{error}; launch one of its runs again to renew it")
            continue
        except FileNotFoundError:
            continue
        if manifest["experiment"] == name:
            found.append(manifest)
    if damaged and not found:
        raise AnalysisError(damaged[0])
    for text in damaged:
        _log.warning("passed over: %s", text)
    return found


def _described(manifest: Mapping[str, Any]) -> str:
    words = [f"study={manifest['study'][:8]}"]
    words += [f"scale={manifest['scale']}"] if manifest["scale"] else []
    return " ".join([*words, *manifest["overrides"]])


def _has(manifest: Mapping[str, Any], cells: Mapping[str, str | None]) -> bool:
    """Whether all of these are its cells; where one of the two says of no evaluation, by signature."""
    known: dict[str, set[str | None]] = {}
    for cell in manifest["cells"]:
        known.setdefault(cell["signature"], set()).add(cell.get("evaluation"))
    return all(name is None or {name, None} & known.get(of, set()) for of, name in cells.items()) and (
        cells.keys() <= known.keys()
    )


def _evaluations(manifest: Mapping[str, Any]) -> dict[str, str | None]:
    """{signature: name of its evaluation}; None in manifests from before evaluations had one."""
    names: dict[str, str | None] = {}
    for cell in manifest["cells"]:
        name = cell.get("evaluation")
        if names.setdefault(cell["signature"], name) != name:
            raise AnalysisError(
                f"{manifest['experiment']}: run {cell['signature']} stands in it with two evaluations, "
                f"{names[cell['signature']]} and {name}; a table compares trainings, each evaluated once"
            )
    return names


def _committed_notes(runs: "Runs", folder: Path) -> list[str]:
    """Where runs lie that are not those of the folder of runs (`paths.results`)."""
    places = Counter(str(Path(place).parent) for place in runs.runs["folder"])
    return [
        f"{count} of {len(runs)} runs are done in {place}, and were not trained here"
        for place, count in places.items()
        if place != os.path.abspath(folder)
    ]


def _load(folder: Path, evaluations: Mapping[str, str | None]) -> "Runs | None":
    from analysis.runs import load_runs

    committed = {name: place for name, place in committed_runs(folder).items() if name in evaluations}
    here = any(is_run_folder(folder / name) for name in evaluations)
    if not here and not committed:
        return None
    runs = load_runs([*([folder] if here else ()), *committed.values()])
    meant = runs.runs["signature"].isin(list(evaluations))
    return (runs if meant.all() else runs.where(meant)).with_evaluations(evaluations)
