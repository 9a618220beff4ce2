"""How much of a difference hangs on the images it is measured on, beside the seeds it was trained with.

All seeds are evaluated on the same images: both are samples of what could have been, and they are crossed. With y_si
of seed s and image i (of a function of means over images its jackknife pseudo-value), in the two-way random model
y_si = mu + a_s + b_i + e_si, the mean squares are

    M_b = S sum_i (y_.i - y_..)^2 / (I - 1)
    M_e = sum_si (y_si - y_s. - y_.i + y_..)^2 / ((S - 1) (I - 1))

and the images' part of the variance of the mean is max(0, M_b - M_e) / (S I). The seeds' part, which has that of e in
it, is the variance of the seeds' own results over S. How often intervals so made hold the truth is simulated in
benchmarks/crossed.py.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from analysis.censored import Spread

Floats = NDArray[np.float64]

FEWEST_IMAGES = 8
"""Of fewer the intervals hold the truth too seldom where a few images differ much more than the others."""

UPPER = 0.975
"""Of Student t, to the intervals' ends."""


@dataclass(frozen=True)
class ImagePart:
    """The part that images have in the variance of a mean over seeds, and how many images there are."""

    variance: float
    images: int


def image_part(values: Floats) -> ImagePart:
    """The part of the images from values (seeds, images): pseudo-values, or what was measured of each image.

    Of one seed what is of seed and image together cannot be told from the images' own and is counted with it.
    """
    seeds, images = values.shape
    by_image = values.mean(0)
    between = seeds * ((by_image - by_image.mean()) ** 2).sum() / (images - 1)
    rest = values - values.mean(1, keepdims=True) - by_image + values.mean()
    noise = (rest**2).sum() / ((seeds - 1) * (images - 1)) if seeds > 1 else 0.0
    return ImagePart(float(max(0.0, between - noise) / (seeds * images)), images)


def crossed(spread: Spread, seeds: int, part: ImagePart) -> Spread:
    """The spread of a pair, such that its square over the seeds is the variance of the mean over seeds and images.

    spread: over the seeds alone; where it is not known, neither is this. The degrees of freedom are those of a Student
    t whose square is the mean of two: Satterthwaite's, with which too few intervals hold the truth where few seeds or
    images are, and Banerjee's (Annals of Mathematical Statistics 32, 1961), sum t_k^2 v_k / sum v_k of the parts v_k,
    with which never too few do; and so large that no interval over one part alone is wider.
    """
    if not spread.known or part.variance == 0:
        return spread
    whole = spread.sd**2 / seeds + part.variance
    share, parts = part.variance / whole, (spread.degrees, part.images - 1)
    joint = 1 / ((1 - share) ** 2 / parts[0] + share**2 / parts[1])
    joint, *each = special.stdtrit((joint, *parts), UPPER) ** 2
    alone = (1 - share) * each[0], share * each[1]
    squared = max((joint + sum(alone)) / 2, *alone)
    degrees = float(special.stdtridf(UPPER, np.sqrt(squared)))
    return replace(spread, sd=float(np.sqrt(whole * seeds)), degrees=degrees, of_images=float(share))


def pseudo_values(images: Floats, measure: Callable[[Floats], Any]) -> Floats:
    """Of a function of means over images: I f(all) - (I - 1) f(all but i), (I,); NaN where it has no value.

    images (I, ...): one entry per image. measure: takes means, (..., the axes of one image) -> (...).
    """
    count = len(images)
    without = measure((images.sum(0) - images) / (count - 1))
    values: Floats = count * np.asarray(measure(images.mean(0)[None]))[0] - (count - 1) * np.asarray(without)
    return values
