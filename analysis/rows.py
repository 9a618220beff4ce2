"""A row of an ablation table: what its runs say, over seeds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from analysis.censored import LogEstimate, Observation, estimate, pooled
from analysis.crossed import ImagePart, crossed
from analysis.speed import Speed
from analysis.speedup import SpeedUp
from analysis.statistics import Interval
from lic_exp.ablation_spec import Claim

BASELINE, VARIANT, AGAIN, ABSENT = "baseline", "variant", "A/A", "absent"
"""What a row is: the reference, one compared with it, the reference with other seeds, or one that cannot be run."""


@dataclass(frozen=True)
class Estimate:
    """A per-seed quantity: its mean, its interval, and the values by seed.

    again: what the same quantity is between A/A pairs, from which its spread is learnt as well.
    part: what its variance has of the images, which the interval then covers too; None where the interval covers the
    seeds alone, and why in words.
    """

    values: Mapping[int, float]
    again: tuple[float, ...] = ()
    part: ImagePart | None = None
    why: str = ""

    @cached_property
    def found(self) -> LogEstimate:
        values = [Observation(value) for value in self.values.values()]
        spread = pooled(self.again, values)
        return estimate(values, crossed(spread, len(values), self.part) if self.part else spread)

    @property
    def covers(self) -> str:
        """Of what the interval says how much hangs on it."""
        return f"seeds and {self.part.images} images" if self.part else "seeds"

    @property
    def mean(self) -> float:
        return self.found.mean

    @property
    def interval(self) -> Interval:
        return self.found.interval


@dataclass(frozen=True)
class Row:
    """A row of the table.

    against: the label of the row that it is compared with, where that is not the table's baseline. apart: whether its
    comparisons end at another baseline than the table's, of another recipe, whose spread the A/A row does not have.
    seeds: how many there should be. complete: those that could be compared. launched: trainings that have a folder.
    diverged: {seed: step}. speed: to a loss of the baseline's before its learning rate falls, which is judged; at_end:
    to its final level, which is shown. bd_rate, rd_change: against the baseline [%]; anchors: BD-rate against published
    curves [%]. bits: {latent: share of the estimated bits in the last validation}, of more than one latent.
    parameters, kmacs: of the codec, as its runs recorded them: [million], [thousand per pixel].
    longer: times the others' length. notes: what a reader should know.
    """

    name: str
    label: str
    role: str
    seeds: int
    against: str = ""
    apart: bool = False
    longer: float = 1.0
    complete: tuple[int, ...] = ()
    launched: int = 0
    diverged: Mapping[int, int] = field(default_factory=dict)
    speed: Speed | None = None
    at_end: SpeedUp | None = None
    bd_rate: Estimate | None = None
    rd_change: Estimate | None = None
    anchors: Mapping[str, Estimate] = field(default_factory=dict)
    bits: Mapping[str, float] = field(default_factory=dict)
    parameters: float | None = None
    kmacs: float | None = None
    paper: Claim = field(default_factory=Claim)
    notes: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether all of its seeds could be compared."""
        return len(self.complete) == self.seeds
