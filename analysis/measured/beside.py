"""Anchors by the names of codecs and photos, and beside other curves: on the photos that those are of."""

from collections.abc import Sequence
from pathlib import Path

from analysis.curve_files import Curve
from analysis.errors import AnalysisError
from analysis.measured.curves import Chosen, choose, measured_curves
from analysis.measured.photos import PhotoSet, photos_of_folder, photos_of_run
from analysis.measured.progress import ProgressLines
from lic_exp.tracking.run_folder import is_run_folder


def measure_anchors(place: str | Path, codecs: Sequence[str] | None = None, metrics: Sequence[str] = ()) -> list[Curve]:
    """The curves of these codecs (None: all that are here) on the photos of a folder, or those of a run's evaluation.

    metrics: beside PSNR and MS-SSIM. Raises AnalysisError, also where a codec that is named is not here.
    """
    chosen = choose(codecs)
    if codecs is not None:
        _demand_all(chosen)
    return measured_curves(chosen, photos_named(place), metrics=metrics)


def _demand_all(chosen: Chosen) -> None:
    """Raise AnalysisError where one of the codecs is not here."""
    if chosen.missing:
        raise AnalysisError("; ".join(f"{name}: {reason}" for name, reason in chosen.missing.items()))


def photos_named(place: str | Path, limit: int | None = None) -> PhotoSet:
    """Those of a folder, or the first `limit` of them; or those that a run was evaluated on."""
    if not is_run_folder(Path(place)):
        return photos_of_folder(place, limit)
    if limit is not None:
        raise AnalysisError("--limit: a run was evaluated on all of its photos")
    return photos_of_run(place)


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
