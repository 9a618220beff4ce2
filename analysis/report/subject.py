"""What a report is of: the runs that a name means, in arms, with what was measured of them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.arms import Arm, arms_of
from analysis.curve_files import Curve, told_apart
from analysis.errors import AnalysisError
from analysis.image_points import Images, images_in
from analysis.losses import last_losses, rate_of
from analysis.named_runs import Meaning, NamedRun, begun, named
from analysis.run_curves import curves_of
from analysis.run_places import Place, given_path, no_store, run_folders
from analysis.runs import Runs, load_runs
from analysis.sweep_manifests import committed_runs, table_of
from lic_exp.labels import SEED, VARIANT, label
from lic_exp.manifests import SweepRecord, read_sweep
from lic_exp.records import RecordError
from lic_exp.tracking.run_folder import SWEEPS

if TYPE_CHECKING:
    from analysis.ablation import Ablation
    from analysis.studies import StudyResults

CACHED_FROM = 0.25
"""Where so great a share of a folder's runs is wanted, all are read, since what was read of them is kept."""


@dataclass(frozen=True)
class Subject:
    """What a name means, and what there is of it.

    arms: with all of their cells, begun or not. runs: those that have begun. table: what they are compared in where
    they are those of a table. curves: of arms that are evaluated; why_none: else why there are none. beside: other
    curves, of which the codecs `anchors` were measured for it. metric: the quality that is drawn.
    given: the words that name curves beside. trusted: keys in which runs of one arm may differ.
    """

    name: str
    found: Meaning
    arms: tuple[Arm, ...]
    runs: Runs
    table: "Ablation | None" = None
    curves: tuple[Curve, ...] = ()
    why_none: str = ""
    beside: tuple[Curve, ...] = ()
    metric: str = "psnr"
    place: Path = field(default=Path("runs"))
    anchors: tuple[str, ...] = ()
    given: tuple[str, ...] = ()
    trusted: tuple[str, ...] = ()

    @cached_property
    def rows(self) -> Mapping[str, Mapping[Any, Any]]:
        """{signature: its row of `Runs.runs`} of the runs that have begun."""
        return {row["signature"]: row for row in self.runs.rows()}

    @cached_property
    def points(self) -> Mapping[str, list[Mapping[Any, Any]]]:
        """{signature: the means over images, one per rate} of what is evaluated."""
        if self.runs.evaluation.empty:
            return {}
        found: dict[str, list[Mapping[Any, Any]]] = {}
        for row in self.runs.means().to_dict("records"):
            found.setdefault(row["signature"], []).append(row)
        return found

    @cached_property
    def images(self) -> Mapping[str, Images]:
        """{signature: the images, in the order of their names} of what is evaluated."""
        rows = self.runs.evaluation
        if rows.empty:
            return {}
        own = rows[rows["set"] == ""].drop_duplicates(["signature", "image"]).sort_values("image", kind="stable")
        return {str(name): images_in(of_run) for name, of_run in own.groupby("signature", sort=False)}

    @cached_property
    def losses(self) -> Mapping[str, float]:
        """{signature: its last `val/rd_loss`, or NaN}"""
        return last_losses(self.runs)

    def address(self, arm: Arm, rate: str | None = None) -> str:
        """Where in the page the runs of an arm are, or those of it that are of one rate."""
        number = self.arms.index(arm)
        if rate is None:
            return f"arm-{number}"
        rates = list(dict.fromkeys(map(rate_of, arm.cells)))
        return f"arm-{number}-{rates.index(rate)}"

    def of_row(self, row: str) -> str:
        """The same of the row of a table by its name, with or without ` again`; "" where none of its runs is meant."""
        wanted = row.removesuffix(" again")
        rows = ((arm, (arm.cells[0].role or {}).get(VARIANT)) for arm in self.arms)
        return next((self.address(arm) for arm, variant in rows if variant == wanted), "")

    @property
    def manifest(self) -> SweepRecord | None:
        """What a sweep's launch left; None of what is no sweep, and where it cannot be read."""
        if self.found.kind != "sweep":
            return None
        try:
            return read_sweep(self.place / SWEEPS / self.found.title / "manifest.json")
        except (OSError, RecordError):
            return None


def subject(
    name: str,
    *,
    beside: Sequence[Curve] = (),
    runs: Place = "runs",
    metric: str = "psnr",
    trusted: Collection[str] = (),
    choices: Mapping[str, str] | None = None,
    anchors: Sequence[str] = (),
    given: Sequence[str] = (),
) -> Subject:
    """What a name means, read. choices: scale and study of a table, as `load_study` takes them.

    anchors: codecs that are measured on the photos of the runs. given: what the curves beside were named by, as
    commands have it. Raises AnalysisError.
    """
    no_store(runs, "reports")
    found = named(name, runs)
    place = found.place or (found.runs[0].folder.parent if found.runs else given_path(runs))
    table = found.title if found.kind == "table" else None
    having: dict[str, str | None] = {}
    if found.kind == "sweep" and (table := table_of(found.title, place)) is not None:
        having = {run.signature: run.evaluation for run in found.runs}
    study = None
    if table is not None:
        from analysis.studies import load_study

        study = load_study(table, runs=place, having=having, **(choices or {}))
        if found.kind == "table":
            found = _of_study(found, study, place)
    elif choices:
        raise AnalysisError(f"{name} is no table: --scale and --study choose between studies of one")
    there = begun(found)
    arms = tuple(arms_of(found, trusted))
    read = study.runs if study is not None and study.runs is not None and found.kind == "table" else _read(there)
    compared = None
    if study is not None:
        from analysis.ablation import ablation

        compared = ablation(study)
    curves, why = _curves(found, metric, trusted)
    measured = _measured(anchors, curves, metric) if anchors else []
    everything = told_apart([*curves, *beside, *measured])
    mine, others = tuple(everything[: len(curves)]), tuple(everything[len(curves) :])
    said = (tuple(anchors), tuple(given), tuple(trusted))
    return Subject(name, found, arms, read, compared, mine, why, others, metric, place, *said)


def _measured(anchors: Sequence[str], curves: Sequence[Curve], metric: str) -> list[Curve]:
    from analysis.measured.beside import anchors_beside

    single = [one for curve in curves for one in (curve, *curve.by_seed.values())]
    return anchors_beside(list(anchors), [folder for one in single for folder in one.of_runs], metric)


def _of_study(found: Meaning, study: "StudyResults", runs: Path) -> Meaning:
    """The runs of the study that was chosen, each with the evaluation that is meant."""
    roles = (({VARIANT: cell.variant, SEED: cell.seed, **cell.rate}, name) for cell, name in study.signatures)
    committed = committed_runs(runs)
    cells = (
        NamedRun(committed.get(name, runs / name), study.evaluations.get(name), role, label(role))
        for role, name in roles
    )
    return Meaning(found.title, "table", tuple(cells), runs)


def _read(there: Sequence[NamedRun]) -> Runs:
    """The runs, by what was kept of their folder's where most of it is wanted."""
    wanted = {run.signature: run.evaluation for run in there}
    folders = {run.folder.parent for run in there}
    place = folders.pop()
    if not folders and len(wanted) >= CACHED_FROM * len(run_folders(place)):
        return load_runs(place).of(list(wanted)).with_evaluations(wanted)
    return load_runs(list(dict.fromkeys(run.folder for run in there))).with_evaluations(wanted)


def _curves(found: Meaning, metric: str, trusted: Collection[str]) -> tuple[list[Curve], str]:
    """The curves of the arms that have the metric, and why there are none.

    Raises AnalysisError where there are some, and none of them has it.
    """
    try:
        curves = curves_of(found, trusted)
    except AnalysisError as error:
        return [], str(error)
    having = [curve for curve in curves if metric in curve.metrics]
    if not having:
        try:
            curves[0].quality(metric)
        except AnalysisError as error:
            raise AnalysisError(f"--metric: {error}") from error
    return having, ""
