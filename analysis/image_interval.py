"""How sure a BD-rate between trainings is, as far as it hangs on the images: over them alone, by bootstrap."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.bd import Method, bd_rate
from analysis.crossed import FEWEST_IMAGES
from analysis.curve_files import Curve
from analysis.errors import AnalysisError
from analysis.image_points import ImagePoints, distinct_sets, in_one_order, points_by_image
from analysis.runs import load_runs
from analysis.statistics import Interval, bca_interval


class OverImages(NamedTuple):
    """A 95 % interval [%] over so many images; it says nothing of other seeds."""

    interval: Interval
    images: int

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"BD-rate [{low:+.2f}, {high:+.2f}] at 95 % over {self.images} images alone (BCa bootstrap), "
            "not over seeds: of these trainings"
        )


def bd_rate_over_images(ours: ImagePoints, theirs: ImagePoints | None, method: Method = "pchip") -> OverImages | None:
    """Of anchor and test (`curve_by_image`) that were evaluated on the same images; else None.

    None as well of fewer than `FEWEST_IMAGES`, and where some of the images give no BD-rate.
    """
    if theirs is None or len(distinct_sets([ours.images, theirs.images])) > 1 or len(ours.images) < FEWEST_IMAGES:
        return None
    if ours.points.shape != theirs.points.shape:
        return None

    def of(samples: NDArray[np.float64]) -> Any:
        means = samples.mean(-4)
        points = [means[..., arm, measure, :] for arm in (0, 1) for measure in (0, 1)]
        return np.asarray(bd_rate(points[0], points[1], points[2], points[3], method, invalid="nan"))

    try:
        points = np.stack([one.points for one in in_one_order([ours, theirs])], 1)[:, :, :2]
        return OverImages(bca_interval(points, of), len(ours.images))
    except AnalysisError:
        return None


def curve_by_image(curve: Curve) -> ImagePoints | None:
    """The points of a curve of runs, image by image.

    None where it is none, or a mean over seeds, and where its runs were evaluated on other images than the first.
    """
    found: list[ImagePoints] = []
    for folder in curve.of_runs:
        own = folder.name == "eval"
        run = folder.parent if own else folder.parents[1]
        runs = load_runs(run, metrics=(), cache=False).with_evaluations({run.name: None if own else folder.name})
        rows = runs.evaluation[runs.evaluation["set"] == ""]
        rates = rows["rate"].nunique(dropna=False) if "rate" in rows else 1
        found += points_by_image(
            runs, {str(key): np.full((rates, 4), np.nan) for key in rows["signature"].unique()}
        ).values()
    if not found or len(found) < len(curve.of_runs) or len(distinct_sets(one.images for one in found)) > 1:
        return None
    ordered = in_one_order(found)
    return ImagePoints(ordered[0].images, np.concatenate([one.points for one in ordered], -1))
