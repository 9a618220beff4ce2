"""The rate-distortion points of runs by image, beside their means."""

from collections.abc import Iterable, Mapping
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
    """Sets of images that are told apart, any two by the pixels that both have recorded, and else by names and sizes.

    One that has recorded fewer is no set of its own where it could be one of the others.
    """
    found: list[Images] = []
    for images in sorted(dict.fromkeys(sets), key=lambda one: sum(not image[-1] for image in one)):
        if not any(_could_be_same(images, other) for other in found):
            found.append(images)
    return set(found)


def _could_be_same(ours: Images, theirs: Images) -> bool:
    return len(ours) == len(theirs) and all(
        a[:-1] == b[:-1] and (a[-1] == b[-1] or not (a[-1] and b[-1])) for a, b in zip(ours, theirs, strict=True)
    )


def images_in(rows: Any) -> Images:
    """The images of these rows of an evaluation's table, in their order."""
    # A store of MLflow's need not have what files have.
    known = rows.reindex(columns=["image", "height", "width", PIXELS]).fillna({"height": 0, "width": 0, PIXELS: ""})
    return tuple(zip(*(known[column].tolist() for column in known), strict=True))
