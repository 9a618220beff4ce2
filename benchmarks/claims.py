"""How often the tables conclude rightly, by studies that are made up: known speed-ups, noise, decays.

    python benchmarks/claims.py --studies 500
    python benchmarks/claims.py --studies 500 --truths 1.84 1.3 --claims 1.84 --seeds 3 5 --sd 0.1

Prints a Markdown table: by truth, claim, seeds, spread and decay the share of each verdict, and the upper 95 % bound
(Clopper-Pearson) of the share of wrong ones. A training's loss is 0.6 + 6 (t s)^-0.45 over steps t at speed s, times
log-normal noise at each evaluation; s is log-normal about the truth, so that the log ratio of a pair has the given
spread. At 0.7 of the training the learning rate falls, and with it the loss, by the decay's gain. Evaluations come as
often as in `scale=mini`. Rows whose claim is below 1, and their A/A rows, are trained longer, as the tables do.
Wrong: supported where the truth is no effect or one the other way; contradicted, or smaller than claimed, where the
truth is the claim or more.
"""

import argparse
import itertools
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

import numpy as np
from measuring import machine
from scipy import special

from analysis.censored import estimate, pooled
from analysis.undecayed import Stretch, between_equals, log_ratio
from analysis.verdicts import Verdict, verdict

STEPS, EVERY, DECAY_FROM = 1600, 40, 0.7
LONGER = 1.5
"""Times 1 / claim: the undecayed stretch of a row whose claim is below 1."""


@dataclass(frozen=True)
class Cell:
    """truth, claim: speed-ups. sd: of a pair's log ratio. gain: share of the loss that the decay takes away.

    noise: standard deviation of an evaluation's log loss.
    """

    truth: float
    claim: float
    seeds: int
    sd: float
    gain: float
    noise: float = 0.005

    def wrong(self, said: str) -> bool:
        truth, claim = math.log(self.truth), math.log(self.claim)
        beyond = truth if claim > 0 else -truth
        if said == "supported":
            return beyond <= 0
        return said in ("contradicted", "smaller than claimed") and beyond >= abs(claim) - 1e-9


def training(
    random: np.random.Generator, cell: Cell, speed: float, length: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """Steps and losses of all evaluations, and the step at which the decay begins."""
    decay = DECAY_FROM * length * STEPS
    steps = np.arange(EVERY, length * STEPS + 1, EVERY, dtype=float)
    s = speed * math.exp(random.normal(0, cell.sd / math.sqrt(2)))
    losses = 0.6 + 6 * (steps * s) ** -0.45
    losses *= 1 - cell.gain * (1 - np.exp(-np.maximum(steps - decay, 0) / (0.05 * STEPS)))
    return steps, losses * np.exp(random.normal(0, cell.noise, len(steps))), decay


def stretch(random: np.random.Generator, cell: Cell, speed: float, length: float = 1.0) -> Stretch:
    steps, losses, decay = training(random, cell, speed, length)
    before = steps <= decay
    return Stretch(steps[before], losses[before], decay)


def study(random: np.random.Generator, cell: Cell) -> Verdict:
    """What a study of this kind concludes."""
    length = max(1.0, LONGER / cell.claim) if cell.claim < 1 else 1.0
    again = [between_equals(stretch(random, cell, 1.0), stretch(random, cell, 1.0, length)) for _ in range(cell.seeds)]
    row = [log_ratio(stretch(random, cell, 1.0), stretch(random, cell, cell.truth, length)) for _ in range(cell.seeds)]
    return verdict(estimate(row, pooled(again, row)).interval, math.log(cell.claim))


def shares(cell: Cell, studies: int, seed: int = 0) -> dict[str, float]:
    """Of each verdict, and `wrong`: of those that are, its upper 95 % Monte-Carlo bound."""
    random = np.random.default_rng([seed, int(1e4 * cell.truth), int(1e4 * cell.claim), cell.seeds, int(1e4 * cell.sd)])
    said = Counter(study(random, cell) for _ in range(studies))
    wrong = sum(count for name, count in said.items() if cell.wrong(name))
    bound = float(special.betaincinv(wrong + 1, studies - wrong, 0.95)) if wrong < studies else 1.0
    return {name: said[name] / studies for name in get_args(Verdict)} | {"wrong": bound}


def cells(options: argparse.Namespace) -> Iterator[Cell]:
    for claim, truth, seeds, sd, gain in itertools.product(
        options.claims, options.truths, options.seeds, options.sd, options.gains
    ):
        yield Cell(truth, claim, seeds, sd, gain)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=500, help="of each kind (default: %(default)s)")
    parser.add_argument("--truths", type=float, nargs="+", default=[0.5, 0.7, 0.91, 1.0, 1.3, 1.84])
    parser.add_argument("--claims", type=float, nargs="+", default=[1.84, 0.91])
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 8])
    parser.add_argument("--sd", type=float, nargs="+", default=[0.05, 0.1, 0.2])
    parser.add_argument("--gains", type=float, nargs="+", default=[0.05, 0.2])
    options = parser.parse_args()
    names = [name for name in get_args(Verdict) if name != "untestable here"]
    print(f"{machine()}; {options.studies} studies of each kind\n")
    print(f"| claim | truth | seeds | spread | decay | {' | '.join(names)} | wrong, at most |")
    print("|---" * (len(names) + 6) + "|")
    for cell in cells(options):
        found = shares(cell, options.studies)
        told = " | ".join(f"{100 * found[name]:.0f}" for name in names)
        print(
            f"| {cell.claim:g}x | {cell.truth:g}x | {cell.seeds} | {cell.sd:g} | {cell.gain:.0%} | {told} | "
            f"{100 * found['wrong']:.1f} % |",
            flush=True,
        )


if __name__ == "__main__":
    main()
