"""What an interval says about a claimed effect, and how many seeds it takes to say it."""

import math
from typing import Literal

from scipy import special

from analysis.errors import AnalysisError
from analysis.statistics import Interval

Verdict = Literal["supported", "smaller than claimed", "contradicted", "not resolvable", "untestable here"]
MOST_SEEDS = 10_000
"""Beyond it a number of seeds is not looked for."""


def verdict(interval: Interval, claim: float, *, null: float = 0.0) -> Verdict:
    """What the interval of an effect says about a claimed one, a claim below `null` as its mirror image.

    - supported: all of it lies beyond no effect, and it holds the claimed one or more.
    - smaller than claimed: all of it lies between no effect and the claimed one.
    - contradicted: all of it lies on the other side of no effect, or it holds no effect and not the claimed one.
    - not resolvable: it holds both, no effect and the claimed one.

    With a claim of a direction alone (infinite) nothing is smaller than claimed.
    Raises AnalysisError where the claim is no effect, or the interval is none.
    """
    low, high = interval
    if claim == null or math.isnan(claim):
        raise AnalysisError(f"a claim of no effect ({null:g}) cannot be judged by an interval; claim a direction")
    if not low <= high:
        raise AnalysisError(f"({low}, {high}) is no interval")
    size = claim - null
    low, high = (low - null, high - null) if size > 0 else (null - high, null - low)
    short = high < abs(size) < math.inf
    if low > 0:
        return "smaller than claimed" if short else "supported"
    return "contradicted" if high < 0 or short else "not resolvable"


def power(effect: float, sd: float, seeds: int, *, again: int = 0, level: float = 0.95) -> float:
    """The probability that the interval of `seeds` differences lies beyond no effect, on the side of the true one.

    effect, sd: of a pair, in one unit. again: A/A pairs from which the spread is learnt as well. 0 where one pair
    leaves it unknown.
    """
    degrees = seeds - 1 + again
    if degrees < 1 or seeds < 1:
        return 0.0
    if sd == 0:
        return 1.0
    critical = special.stdtrit(degrees, (1 + level) / 2)
    return float(1 - special.nctdtr(degrees, abs(effect) / sd * math.sqrt(seeds), critical))


def seeds_needed(
    effect: float, sd: float, *, again: bool = True, wanted: float = 0.8, level: float = 0.95
) -> int | None:
    """The fewest seeds that show a true effect with probability `wanted`; None beyond `MOST_SEEDS`.

    again: whether there are as many A/A pairs as seeds. Raises AnalysisError for an effect of 0 or a spread below 0.
    """
    if effect == 0 or not sd >= 0:
        raise AnalysisError(f"a number of seeds wants an effect other than 0 and a spread, got {effect} and {sd}")

    def enough(seeds: int) -> bool:
        return power(effect, sd, seeds, again=seeds if again else 0, level=level) >= wanted

    if not enough(MOST_SEEDS):
        return None
    low, high = 1, MOST_SEEDS  # `low` is never enough
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
