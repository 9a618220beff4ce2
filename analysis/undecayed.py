"""How much sooner one run gets to a loss of another, judged where neither has begun to lower its learning rate.

At the end of a training the falling learning rate lowers the loss of any run, so a slow one reaches a fast one's final
level inside its own decay, and its ratio comes out too large: a true 0.5x as 0.75x where the decay gains 5 %.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from analysis.censored import Observation
from analysis.errors import AnalysisError
from analysis.smoothing import crossing, smoothed

PLACE = 0.85
"""Where in its undecayed stretch the baseline's loss is the level: late, with evaluations on both sides."""


@dataclass(frozen=True)
class Stretch:
    """A run's evaluations before its learning rate begins to fall: what each cost, and its loss.

    end: the cost at which the rate begins to fall, or at which the run ended before it did.
    """

    costs: NDArray[np.float64]
    losses: NDArray[np.float64]
    end: float

    @cached_property
    def smooth(self) -> NDArray[np.float64]:
        """The logarithm of the losses without its noise, (n,)."""
        return smoothed(self.costs, self.losses)


@dataclass(frozen=True)
class Places:
    """At what cost the baseline has the level by definition, and at what cost the test gets there.

    upper: the test had not got there by the end of its stretch, which stands in its place: the ratio is at most that.
    lower: it was there at its first evaluation, and may have been before: the ratio is at least that.
    """

    baseline: float
    test: float
    upper: bool = False
    lower: bool = False

    @property
    def log_ratio(self) -> Observation:
        return Observation(math.log(self.baseline / self.test), self.upper, self.lower)

    @property
    def swapped(self) -> "Places":
        return Places(self.test, self.baseline, self.lower, self.upper)


def places(baseline: Stretch, test: Stretch) -> Places:
    """Where both are at the baseline's smoothed loss at 0.85 of its stretch; the test by its own smoothed curve.

    Raises AnalysisError where a stretch has fewer than two evaluations or a loss that is no positive number.
    """
    for name, stretch in (("baseline", baseline), ("test", test)):
        if len(stretch.costs) < 2:
            raise AnalysisError(f"the {name} has {len(stretch.costs)} evaluations before its learning rate falls")
    at = PLACE * baseline.end
    level = float(np.interp(math.log(at), np.log(baseline.costs), baseline.smooth))
    reached = crossing(test.costs, test.smooth, level)
    if reached is None:
        return Places(at, test.end, upper=True)
    return Places(at, reached, lower=reached <= test.costs[0])


def places_of_equals(one: Stretch, other: Stretch) -> Places:
    """The same of two runs that differ in their seed alone, never an upper bound: of A/A pairs.

    Both are cut to the shorter stretch. Where the one called test does not get there, it is made the baseline: nothing
    tells the two apart, and the other gets to its level early.
    """
    end = min(one.end, other.end)
    first, second = (Stretch(run.costs[run.costs <= end], run.losses[run.costs <= end], end) for run in (one, other))
    found = places(first, second)
    return places(second, first).swapped if found.upper else found


def log_ratio(baseline: Stretch, test: Stretch) -> Observation:
    """The logarithm of the baseline's cost over the test's, at `places`."""
    return places(baseline, test).log_ratio


def between_equals(one: Stretch, other: Stretch) -> float:
    """The same of `places_of_equals`, always a number."""
    return places_of_equals(one, other).log_ratio.value
