"""How a search proposes values: by independent draws, or learning from what came of earlier ones."""

import math
import random
from collections.abc import Sequence
from typing import Any, Protocol

from lic_exp.config.axes import Axis
from lic_exp.sweeps.spec import Values


class SearchSampler(Protocol):
    """Proposes values. told: of every earlier trial its values and score, None where it failed."""

    def ask(self, told: Sequence[tuple[Values, float | None]], count: int) -> list[Values]: ...


class RandomSampler:
    """Independent draws; trial n is a function of the seed and n alone."""

    def __init__(self, axes: Sequence[Axis], seed: int) -> None:
        self.axes, self.seed = axes, seed

    def ask(self, told: Sequence[tuple[Values, float | None]], count: int) -> list[Values]:
        return [self._trial(len(told) + place) for place in range(count)]

    def _trial(self, number: int) -> Values:
        rng = random.Random(f"{self.seed} {number}")
        return {axis.key: _drawn(axis, rng) for axis in self.axes}


class OptunaSampler:
    """Optuna's TPE, made anew from what was told each time: no state of its own that could get lost."""

    def __init__(self, axes: Sequence[Axis], seed: int) -> None:
        self.axes, self.seed = axes, seed

    def ask(self, told: Sequence[tuple[Values, float | None]], count: int) -> list[Values]:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        space = {axis.key: self._distribution(axis) for axis in self.axes}
        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=(self.seed + len(told)) % 2**32))
        for values, score in told:
            state = optuna.trial.TrialState.FAIL if score is None else optuna.trial.TrialState.COMPLETE
            given = {key: self._told(key, value) for key, value in values.items()}
            study.add_trial(optuna.trial.create_trial(params=given, distributions=space, value=score, state=state))
        asked = [study.ask(space).params for _ in range(count)]
        return [{axis.key: self._asked(axis, one[axis.key]) for axis in self.axes} for one in asked]

    def _distribution(self, axis: Axis) -> Any:
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if axis.choices:  # by place, since a choice may be a list
            return CategoricalDistribution(list(range(len(axis.choices))))
        if axis.whole:
            return IntDistribution(int(axis.low), int(axis.high), log=axis.log)
        return FloatDistribution(axis.low, axis.high, log=axis.log)

    def _told(self, key: str, value: Any) -> Any:
        axis = next(axis for axis in self.axes if axis.key == key)
        return axis.choices.index(value) if axis.choices else value

    def _asked(self, axis: Axis, value: Any) -> Any:
        return axis.choices[value] if axis.choices else value


def _drawn(axis: Axis, rng: random.Random) -> Any:
    if axis.choices:
        return rng.choice(axis.choices)
    # Half a number beyond the ends, so that these are drawn as often as the others; rounding brings it back.
    beyond = 0.5 if axis.whole else 0.0
    low, high = axis.low - beyond, axis.high + beyond
    value = math.exp(rng.uniform(math.log(low), math.log(high))) if axis.log else rng.uniform(low, high)
    value = min(max(value, axis.low), axis.high)
    return round(value) if axis.whole else value
