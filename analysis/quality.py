"""What a row's codecs come to beside the baseline's: BD-rate and R + lmbda D, over seeds and images."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.bd import BD, BDSamples, Invalid, bd_rate
from analysis.crossed import FEWEST_IMAGES, ImagePart, image_part, pseudo_values
from analysis.errors import CurveError
from analysis.image_points import ImagePoints, Images, distinct_sets, in_one_order
from analysis.lagrangian import rd_change
from analysis.rows import Estimate, Row
from analysis.studies import StudyResults
from analysis.study_pairs import SeedPairs

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
    sets = _image_sets(study, *complete.values())
    return {
        name: _estimate(study, change, title, complete, sets, getattr(equals, name) if equals else None, notes)
        for name, (title, change) in CHANGES.items()
    }


def points_of(study: StudyResults, signatures: Sequence[str]) -> RDPoints:
    """Those of one seed, means over images; raises CurveError where a run was not evaluated."""
    if lacking := [name for name in signatures if name not in study.points]:
        raise CurveError(f"not-evaluated: {', '.join(lacking)}")
    points: RDPoints = np.concatenate([study.points[name] for name in signatures]).T
    return points


def _estimate(
    study: StudyResults,
    change: Change,
    title: str,
    complete: SeedPairs,
    sets: set[Images],
    again: Estimate | None,
    notes: list[str],
) -> Estimate | None:
    values = _at_once(study, change, complete, notes) if len(sets) <= 1 else None
    if values is None:
        values = _seed_by_seed(study, change, title, complete, notes)
    if values is None:
        return None
    pairs = tuple(again.values.values()) if again else ()
    return Estimate(values, pairs, *_over_images(study, change, complete, sets))


def _at_once(study: StudyResults, change: Change, complete: SeedPairs, notes: list[str]) -> dict[int, float] | None:
    """The values by seed; None where one has none, or the seeds have not the same rates."""
    try:
        base, test = (_stacked([points_of(study, pair[arm]) for pair in complete.values()]) for arm in (0, 1))
        if base is None or test is None:
            return None
        found = change(base, test, "nan")
    except CurveError:
        return None
    values = np.asarray(found)
    if not np.isfinite(values).all():
        return None
    if isinstance(found, BDSamples):
        notes.extend(flag for place in range(len(values)) for flag in _told(found.flags_of(place)))
    return dict(zip(complete, values.tolist(), strict=True))


def _seed_by_seed(
    study: StudyResults, change: Change, title: str, complete: SeedPairs, notes: list[str]
) -> dict[int, float] | None:
    """The values; None where a seed has none, which a note tells."""
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
        notes.extend(_told(found.flags) if isinstance(found, BD) else ())
        values[seed] = float(found)
    return values


def _told(flags: Sequence[str]) -> list[str]:
    """The flags of a BD-rate that a table tells."""
    return [flag for flag in flags if not flag.startswith("unequal-points")]


def _stacked(arms: Sequence[RDPoints], axis: int = 0) -> RDPoints | None:
    """The seeds' points (..., 4, rates), one axis of them more; None where their rates are not the same."""
    first = arms[0]
    if any(arm.shape != first.shape or not np.array_equal(arm[..., 2, :], first[..., 2, :], True) for arm in arms):
        return None
    return np.stack(arms, axis)


def _over_images(
    study: StudyResults, change: Change, complete: SeedPairs, sets: set[Images]
) -> tuple[ImagePart | None, str]:
    """The images' part of the variance; or why it is not known, in words."""
    names = [name for pair in complete.values() for arm in pair for name in arm]
    if not all(name in study.by_image for name in names):
        return None, "not every run has the images that it was evaluated on, each at every rate"
    if len(sets) != 1:
        return None, "the seeds were not evaluated on the same images"
    (images,) = sets
    if len(images) < FEWEST_IMAGES:
        return None, f"{len(images)} images are too few to tell how they differ"

    def measured(means: RDPoints) -> Any:
        return change(means[..., 0, :, :], means[..., 1, :, :], "nan")

    ordered = dict(zip(names, in_one_order([study.by_image[name] for name in names]), strict=True))
    seeds = [np.stack([_images_of(ordered, signatures) for signatures in pair], 1) for pair in complete.values()]
    together = _stacked(seeds, 1)
    if together is None:
        table = np.array([pseudo_values(arms, measured) for arms in seeds])
    else:
        table = pseudo_values(together, measured).T
    if not np.isfinite(table).all():
        return None, "without one of the images there is no number"
    return image_part(table), ""


def _image_sets(study: StudyResults, *pairs: tuple[list[str], list[str]]) -> set[Images]:
    """The sets of images on which the runs were evaluated, as far as they are known by image."""
    names = [name for pair in pairs for arm in pair for name in arm]
    return distinct_sets(study.by_image[name].images for name in names if name in study.by_image)


def _images_of(by_image: Mapping[str, ImagePoints], signatures: Sequence[str]) -> RDPoints:
    """Those of one seed and every image, (images, 4, rates)."""
    points: RDPoints = np.concatenate([by_image[name].points for name in signatures], -1)
    return points
