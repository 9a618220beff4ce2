"""What a table concludes of its claims: each by its interval, and all of them at one level.

Of many rows without an effect some show one by chance: with eight such rows 17 % of tables support a claim that is not
so. The contrast that a table is made for is judged by itself, the others by Holm's procedure.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.censored import LogEstimate, p_value
from analysis.verdicts import Verdict, power, seeds_needed, verdict

POWER = 0.8
"""A claim that a study of this size shows less often, where it is so, cannot be tested by it."""

MANY = 1000
"""Degrees of freedom of a spread that is known."""

WITHOUT_EFFECT: dict[Verdict, Verdict] = {"supported": "not resolvable", "smaller than claimed": "contradicted"}
"""What is said instead where an interval lies beyond no effect, and Holm's procedure does not reject it all the same.

No effect is then as if in the interval: with the claimed one in it too nothing is concluded, else the claim is not so.
"""


@dataclass(frozen=True)
class Contrast:
    """A claim and what was measured of it: both as differences, a speed-up by its logarithm; no effect is 0.

    claim: infinite for a direction alone. again: A/A pairs from which the spread was learnt. primary: whether the table
    is made for it.
    """

    found: LogEstimate
    claim: float
    again: int = 0
    primary: bool = False


def judged(contrasts: Sequence[Contrast], *, level: float = 0.95) -> list[str]:
    """The verdict on each claim, as `analysis.verdicts.verdict`.

    Holm's procedure over those that are not primary is of "there is no effect" alone, without which none is supported
    or smaller than claimed. Whether the claimed effect can be is judged claim by claim. Where the verdict is "not
    resolvable" and the study could not have shown the claimed effect either, it is "untestable here" and how many seeds
    can; or that no number of seeds can on so few images, where the spread has a part of the images.
    """
    others = [contrast for contrast in contrasts if not contrast.primary]
    held = dict(zip(map(id, others), holm([p_value(one.found) for one in others], 1 - level), strict=True))
    return [_judged(contrast, held.get(id(contrast), True)) for contrast in contrasts]


def _judged(contrast: Contrast, held: bool) -> str:
    said: Verdict = verdict(contrast.found.interval, contrast.claim)
    if not held:
        said = WITHOUT_EFFECT.get(said, said)
    spread, seeds = contrast.found.spread, len(contrast.found.observations)
    if said != "not resolvable" or not spread.known or not np.isfinite(contrast.claim):
        return said
    if power(contrast.claim, spread.sd, seeds, again=contrast.again) >= POWER:
        return said
    of_images = spread.sd * np.sqrt(spread.of_images)
    of_seeds = spread.sd * np.sqrt(1 - spread.of_images)
    if power(contrast.claim, of_images, seeds, again=MANY) < POWER:
        return "untestable here: more images"
    wanted = seeds_needed(contrast.claim, of_seeds, again=contrast.again > 0, wanted=POWER)
    more = " or more" if of_images else ""
    return f"untestable here: {f'about {wanted} seeds{more}' if wanted else 'more seeds than anybody has'}"


def holm(p_values: Sequence[float], alpha: float = 0.05) -> list[bool]:
    """Which null hypotheses Holm's step-down procedure rejects (Scandinavian Journal of Statistics 6, 1979)."""
    order = np.argsort(p_values, kind="stable")
    rejected, count = [False] * len(p_values), len(p_values)
    for rank, place in enumerate(order):
        if p_values[place] > alpha / (count - rank):
            break
        rejected[place] = True
    return rejected
