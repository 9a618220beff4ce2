"""Anchors by the names of codecs and photos, and beside other curves: on the photos that those are of."""

from collections.abc import Sequence
from pathlib import Path

from analysis.curve_files import Curve
from analysis.errors import AnalysisError
from analysis.measured.curves import Chosen, choose, measured_curves
from analysis.measured.photos import PhotoSet, photos_of_folder, photos_of_run
from analysis.measured.progress import ProgressLines
from analysis.named_runs import UnknownNameError, named
from lic_exp.runs.run import Run
from lic_exp.tracking.run_folder import EVALUATION_FILE, is_run_folder


def measure_anchors(
    place: str | Path,
    codecs: Sequence[str] | None = None,
    metrics: Sequence[str] = (),
    runs: str | Path = "runs",
) -> list[Curve]:
    """The curves of these codecs (None: all that are here) on the photos of a folder, or those of a run's evaluation.

    place, runs: as `photos_named` takes them. metrics: beside PSNR and MS-SSIM.
    Raises AnalysisError, also where a codec that is named is not here.
    """
    chosen = choose(codecs)
    if codecs is not None:
        _demand_all(chosen)
    return measured_curves(chosen, photos_named(place, runs=runs), metrics=metrics)


def _demand_all(chosen: Chosen) -> None:
    """Raise AnalysisError where one of the codecs is not here."""
    if chosen.missing:
        raise AnalysisError("; ".join(f"{name}: {reason}" for name, reason in chosen.missing.items()))


def photos_named(place: str | Path, limit: int | None = None, runs: str | Path = "runs") -> PhotoSet:
    """Those of a folder, or the first `limit` of them; or those that a run was evaluated on.

    A run is a run folder, or what names one in the folder `runs` (`analysis.named_runs.named`), where there is nothing
    else of that path; of several the first that was evaluated.
    """
    evaluations = [] if _is_no_run(place) else _evaluations(str(place), runs)
    if not evaluations:
        return photos_of_folder(place, limit)
    if limit is not None:
        raise AnalysisError("--limit: a run was evaluated on all of its photos")
    return photos_of_run(next((one for one in evaluations if (one / EVALUATION_FILE).is_file()), evaluations[0]))


def _is_no_run(place: str | Path) -> bool:
    path = Path(place).expanduser()
    return path.exists() and not is_run_folder(path)


def _evaluations(name: str, runs: str | Path) -> list[Path]:
    """The folders of the evaluations that are meant of the runs of this name; none where it is no such name."""
    try:
        found = named(name, runs).runs
    except UnknownNameError:
        return []
    return [
        Run(one.folder).evaluation_folder(one.evaluation) if one.evaluation else one.folder / "eval" for one in found
    ]


def anchors_beside(names: Sequence[str], evaluations: Sequence[Path], metric: str = "psnr") -> list[Curve]:
    """The curves of these codecs on the photos of the first of these evaluations (`photos_of_run`).

    metric: what is asked of the curves. Raises AnalysisError where a codec is not here, or there is no evaluation.
    """
    if not evaluations:
        raise AnalysisError(
            "anchors are measured on the photos of a run, and no curve here is a run's; for a folder of photos there "
            "is `python -m analysis anchors --data FOLDER --out DIR`, whose files are curves"
        )
    chosen = choose(names)
    _demand_all(chosen)
    photos = photos_of_run(evaluations[0])
    further = [] if metric in ("psnr", "ms-ssim", "ms-ssim-db") else [metric.removesuffix("-db")]
    total = sum(len(qualities) for _, qualities in chosen.codecs.values()) * len(photos.photos)
    with ProgressLines(total) as progress:
        return measured_curves(chosen, photos, metrics=further, progress=progress)
