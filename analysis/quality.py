"""What a row's codecs come to beside the baseline's: BD-rate and R + lmbda D, over seeds and images."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.bd import Invalid, bd_rate
from analysis.crossed import FEWEST_IMAGES, ImagePart, image_part, pseudo_values
from analysis.errors import CurveError
from analysis.image_points import Images, distinct_sets
from analysis.lagrangian import rd_change
from analysis.rows import Estimate, Row
from analysis.studies import StudyResults

SeedPairs = Mapping[int, tuple[list[str], list[str]]]
"""By seed the signatures of the baseline and of the row, one for each rate."""

RDPoints = NDArray[np.float64]
"""bpp, PSNR [dB], lmbda and MSE (..., 4, rates)."""

Change = Callable[[RDPoints, RDPoints, Invalid], Any]
"""Of baseline and test (..., 4, rates) to (...) [%]; what has none is NaN, or a CurveError."""


def _bd_rate(base: RDPoints, test: RDPoints, invalid: Invalid) -> Any:
    return bd_rate(base[..., 0, :], base[..., 1, :], test[..., 0, :], test[..., 1, :], invalid=invalid)


def _rd_change(base: RDPoints, test: RDPoints, _: Invalid) -> Any:
    rates, errors = ([arm[..., measure, :] for arm in (base, test)] for measure in (0, 3))
    lmbdas = [arm.reshape(-1, *arm.shape[-2:])[0, 2] for arm in (base, test)]
    return rd_change(rates[0], errors[0], rates[1], errors[1], *lmbdas, quality="mse")


CHANGES: Mapping[str, tuple[str, Change]] = {
    "bd_rate": ("BD-rate", _bd_rate),
    "rd_change": ("R + lmbda D", _rd_change),
}


def quality(
    study: StudyResults, complete: SeedPairs, equals: Row | None, notes: list[str]
) -> dict[str, Estimate | None]:
    """`bd_rate` and `rd_change` [%]. equals: the A/A row. What is to be known goes to `notes`."""
    return {
        name: _estimate(study, change, title, complete, getattr(equals, name) if equals else None, notes)
        for name, (title, change) in CHANGES.items()
    }


def points_of(study: StudyResults, signatures: Sequence[str]) -> RDPoints:
    """Those of one seed, means over images; raises CurveError where a run was not evaluated."""
    if lacking := [name for name in signatures if name not in study.points]:
        raise CurveError(f"not-evaluated: {', '.join(lacking)}")
    points: RDPoints = np.concatenate([study.points[name] for name in signatures]).T
    return points


def _estimate(
    study: StudyResults, change: Change, title: str, complete: SeedPairs, again: Estimate | None, notes: list[str]
) -> Estimate | None:
    values = {}
    for seed, pair in complete.items():
        if len(_image_sets(study, pair)) > 1:
            notes.append(f"no {title} at seed {seed}: its runs were not all evaluated on the same images")
            return None
        try:
            found = change(points_of(study, pair[0]), points_of(study, pair[1]), "raise")
        except CurveError as error:
            notes.append(f"no {title} at seed {seed}: {error}")
            return None
        notes.extend(flag for flag in getattr(found, "flags", ()) if not flag.startswith("unequal-points"))
        values[seed] = float(found)
    pairs = tuple(again.values.values()) if again else ()
    return Estimate(values, pairs, *_over_images(study, change, complete))


def _over_images(study: StudyResults, change: Change, complete: SeedPairs) -> tuple[ImagePart | None, str]:
    """The images' part of the variance; or why it is not known, in words."""
    names = [name for pair in complete.values() for arm in pair for name in arm]
    if not all(name in study.by_image for name in names):
        return None, "not every run has the images that it was evaluated on, each at every rate"
    sets = _image_sets(study, *complete.values())
    if len(sets) != 1:
        return None, "the seeds were not evaluated on the same images"
    (images,) = sets
    if len(images) < FEWEST_IMAGES:
        return None, f"{len(images)} images are too few to tell how they differ"
    rows = []
    for pair in complete.values():
        arms = np.stack([_images_of(study, signatures) for signatures in pair], 1)
        rows.append(pseudo_values(arms, lambda means: change(means[..., 0, :, :], means[..., 1, :, :], "nan")))
    table = np.array(rows)
    if not np.isfinite(table).all():
        return None, "without one of the images there is no number"
    return image_part(table), ""


def _image_sets(study: StudyResults, *pairs: tuple[list[str], list[str]]) -> set[Images]:
    """The sets of images on which the runs were evaluated, as far as they are known by image."""
    names = [name for pair in pairs for arm in pair for name in arm]
    return distinct_sets(study.by_image[name].images for name in names if name in study.by_image)


def _images_of(study: StudyResults, signatures: Sequence[str]) -> RDPoints:
    """Those of one seed and every image, (images, 4, rates)."""
    points: RDPoints = np.concatenate([study.by_image[name].points for name in signatures], -1)
    return points
