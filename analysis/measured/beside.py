"""Anchors that are asked for beside other curves: measured on the photos that those are of."""

from collections.abc import Sequence
from pathlib import Path

from analysis.curve_files import Curve
from analysis.errors import AnalysisError
from analysis.measured.curves import choose, measured_curves
from analysis.measured.photos import photos_of_run
from analysis.measured.progress import ProgressLines


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
    if chosen.missing:
        raise AnalysisError("; ".join(f"{name}: {reason}" for name, reason in chosen.missing.items()))
    photos = photos_of_run(evaluations[0])
    further = [] if metric in ("psnr", "ms-ssim", "ms-ssim-db") else [metric.removesuffix("-db")]
    total = sum(len(qualities) for _, qualities in chosen.codecs.values()) * len(photos.photos)
    with ProgressLines(total) as progress:
        return measured_curves(chosen, photos, metrics=further, progress=progress)
