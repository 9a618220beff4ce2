"""The rate-distortion points of runs by image, beside their means."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lic_exp.tracking.tables import PIXELS

if TYPE_CHECKING:
    from analysis.runs import Runs


Images = tuple[tuple[Any, ...], ...]
"""Name, height, width and digest of the pixels of each; the digest "" where an evaluation did not record it."""


class ImagePoints(NamedTuple):
    """points: bpp, PSNR [dB], lmbda and MSE on [0, 1], (images, 4, rates)."""

    images: Images
    points: NDArray[np.float64]


def points_by_image(runs: "Runs", means: Mapping[str, NDArray[np.float64]]) -> dict[str, ImagePoints]:
    """{signature: its points} of runs that have every image, once, at every rate.

    means: (rates, 4) of each, which say its rates in their order.
    """
    rows = runs.evaluation[runs.evaluation["set"] == ""]
    if rows.empty:
        return {}
    by_rate = rows.groupby(["signature", *(["rate"] if "rate" in rows else [])], sort=False, dropna=False).ngroup()
    _, order = np.unique(rows["image"].to_numpy(object), return_inverse=True)
    rows = rows.iloc[np.lexsort((order, by_rate))]
    images, points = images_in(rows), rows[["bpp", "psnr"]].to_numpy(float)
    ends = np.cumsum(np.bincount(by_rate)).tolist()
    signatures = rows["signature"].tolist()
    rates: dict[str, list[slice]] = {}
    for part in map(slice, [0, *ends[:-1]], ends):
        rates.setdefault(str(signatures[part.start]), []).append(part)
    found = {}
    for name, parts in rates.items():
        sets = {images[part] for part in parts}
        if len(sets) > 1 or len(parts) != len(means.get(name, ())):
            continue
        bpp, psnr = np.stack([points[part] for part in parts], 1).T.swapaxes(1, 2)
        lmbda = np.broadcast_to(means[name][:, 2], bpp.shape)
        found[name] = ImagePoints(sets.pop(), np.stack([bpp, psnr, lmbda, 10 ** (-psnr / 10)], 1))
    return found


def distinct_sets(sets: Iterable[Images]) -> set[Images]:
    """Sets of images that are told apart: by their pixels, whatever they are called, where all are on record of both.

    Else by names and sizes, and by such pixels as both have recorded. One that has recorded fewer is no set of its own
    where it could be one of the others.
    """
    found: list[list[Images]] = []
    for images in sorted(dict.fromkeys(sets), key=lambda one: sum(not image[-1] for image in one)):
        same = next((group for group in found if any(_could_be_same(images, other) for other in group)), None)
        if same is None:
            found.append([images])
        else:
            same.append(images)
    return {group[0] for group in found}


def in_one_order(several: Sequence[ImagePoints]) -> list[ImagePoints]:
    """The points of what is one set of images (`distinct_sets`), each in the order of the first on record by pixels."""
    known = [one.images for one in several if _is_recorded(one.images)]
    return [_ordered_as(one, known) for one in several]


def _ordered_as(one: ImagePoints, known: Sequence[Images]) -> ImagePoints:
    """known: what has all pixels on record; of the same names where this has not."""
    recorded = _is_recorded(one.images)
    own = one.images if recorded else next((images for images in known if _could_be_same(one.images, images)), None)
    if own is None:
        return one
    (ours, first), places = map(_by_pixels, (own, known[0])), np.empty(len(own), int)
    places[first] = ours
    return ImagePoints(tuple(one.images[place] for place in places), one.points[places])


def _by_pixels(images: Images) -> NDArray[np.intp]:
    return np.argsort([image[-1] for image in images], kind="stable")


def _is_recorded(images: Images) -> bool:
    return all(image[-1] for image in images)


def _could_be_same(ours: Images, theirs: Images) -> bool:
    if _is_recorded(ours) and _is_recorded(theirs):
        return sorted(image[1:] for image in ours) == sorted(image[1:] for image in theirs)
    return len(ours) == len(theirs) and all(
        a[:-1] == b[:-1] and (a[-1] == b[-1] or not (a[-1] and b[-1])) for a, b in zip(ours, theirs, strict=True)
    )


def images_in(rows: Any) -> Images:
    """The images of these rows of an evaluation's table, in their order."""
    # A store of MLflow's need not have what files have.
    known = rows.reindex(columns=["image", "height", "width", PIXELS]).fillna({"height": 0, "width": 0, PIXELS: ""})
    return tuple(zip(*(known[column].tolist() for column in known), strict=True))
