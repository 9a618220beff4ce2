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
    found = {}
    for name, own in rows.groupby("signature"):
        if str(name) not in means:
            continue
        groups = own.groupby("rate", sort=False, dropna=False) if "rate" in own else [((), own)]
        rates = [_sorted(part) for _, part in groups]
        images = {images_in(part) for part in rates}
        if len(images) > 1 or len(rates) != len(means[str(name)]):
            continue
        bpp, psnr = (np.array([part[column] for part in rates], float).T for column in ("bpp", "psnr"))
        lmbda = np.broadcast_to(means[str(name)][:, 2], bpp.shape)
        found[str(name)] = ImagePoints(images.pop(), np.stack([bpp, psnr, lmbda, 10 ** (-psnr / 10)], 1))
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
    known = rows.reindex(columns=["image", "height", "width", PIXELS])
    return tuple(known.fillna({"height": 0, "width": 0, PIXELS: ""}).itertuples(index=False, name=None))


def _sorted(rows: Any) -> Any:
    return rows.sort_values("image", kind="stable")
