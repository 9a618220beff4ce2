"""How much sooner a row's runs get to a loss of the baseline's, over seeds and rates, in every unit of cost."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from analysis.censored import LogEstimate, Observation, Spread, estimate, pooled
from analysis.errors import AnalysisError
from analysis.runs import Runs
from analysis.training_cost import UNITS, Trajectory, trajectory
from analysis.undecayed import Places, Stretch, places, places_of_equals
from lic_exp.tracking import names

DECAYED = 0.9
"""Share of its largest learning rate below which a run's own decay has begun."""

BySeed = Mapping[int, Sequence[tuple[str, str]]]
"""Of every seed the pairs of signatures, baseline and test, one for each rate."""


class Descent(NamedTuple):
    """A run: what was spent at each evaluation, and the part before its learning rate falls, in steps."""

    spent: Trajectory
    undecayed: Stretch


@dataclass(frozen=True)
class Speed:
    """Log ratios of costs, baseline over test, by unit and seed; several rates of a seed are averaged.

    observations: {unit: {seed: ...}}; a unit that no run recorded is left out. again: {unit: log ratios of A/A pairs}.
    notes: what a reader should know.
    """

    observations: Mapping[str, Mapping[int, Observation]]
    again: Mapping[str, Sequence[float]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def between_equals(self) -> dict[str, list[float]]:
        """Of an A/A row: {unit: its values}, all exact."""
        return {unit: [one.value for one in found.values()] for unit, found in self.observations.items()}

    def exact(self, unit: str) -> list[float]:
        """The log ratios that are no bounds."""
        return [one.value for one in self.observations.get(unit, {}).values() if one.exact]

    def spread(self, unit: str) -> Spread:
        return pooled(self.again.get(unit, ()), list(self.observations[unit].values()))

    def estimate(self, unit: str) -> LogEstimate | None:
        """None where the unit's costs are not known."""
        found = self.observations.get(unit)
        return estimate(list(found.values()), self.spread(unit)) if found else None


def speed(runs: Runs, pairs: BySeed, again: Mapping[str, Sequence[float]]) -> Speed:
    """Of a row against its baseline. again: `Speed.between_equals` of the A/A row. Raises AnalysisError."""
    return _measured(runs, pairs, places, again)


def speed_of_equals(runs: Runs, pairs: BySeed) -> Speed:
    """Of A/A pairs: no bound is among them. Raises AnalysisError."""
    return _measured(runs, pairs, places_of_equals, {})


def _measured(
    runs: Runs,
    pairs: BySeed,
    find: Callable[[Stretch, Stretch], Places],
    again: Mapping[str, Sequence[float]],
) -> Speed:
    found: dict[str, dict[int, Observation]] = {unit: {} for unit in UNITS}
    notes: list[str] = []
    for seed, signatures in pairs.items():
        arms = [(descent(runs, base), descent(runs, test)) for base, test in signatures]
        rates = [_by_unit(base, test, find(base.undecayed, test.undecayed)) for base, test in arms]
        for unit in UNITS:
            mean = _mean([at[unit] for at in rates]) if all(unit in at for at in rates) else None
            if mean is not None:
                found[unit][seed] = mean
            elif all(unit in at for at in rates):
                notes.append(f"seed {seed}: at some rates it is there at once, at others never, which says nothing")
    whole = {unit: values for unit, values in found.items() if values}
    return Speed(whole, again, tuple(dict.fromkeys(notes)))


def descent(runs: Runs, signature: str) -> Descent:
    """Of a run's `val/rd_loss`. Its decay begins where `train/lr` first is below `DECAYED` of its largest."""
    asked = (descent, signature)
    if asked not in runs.remembered:
        runs.remembered[asked] = _descent(runs, signature)
    found: Descent = runs.remembered[asked]
    return found


def _descent(runs: Runs, signature: str) -> Descent:
    spent = trajectory(runs, signature, names.VAL_RD_LOSS)
    lr = runs.series(signature, names.TRAIN_LR)
    end = float(spent["steps"][-1])
    if len(lr["value"]):
        peak = int(lr["value"].argmax())
        fallen = np.flatnonzero(lr["value"][peak:] < DECAYED * lr["value"][peak])
        # Logged at a step is the rate that this step was made with; the last one that is not lower yet counts.
        end = float(lr["step"][peak + fallen[0] - 1]) if len(fallen) and fallen[0] else end
    before = spent["steps"] <= end
    if before.sum() < 2:
        raise AnalysisError(f"run {signature} has {before.sum()} evaluations before its learning rate falls")
    return Descent(spent, Stretch(spent["steps"][before], spent["value"][before], end))


def _by_unit(baseline: Descent, test: Descent, found: Places) -> dict[str, Observation]:
    """The log ratio in every unit that both runs recorded."""
    ratios = {}
    for unit in UNITS:
        cost, other = _at(baseline.spent, unit, found.baseline), _at(test.spent, unit, found.test)
        if np.isfinite(cost) and np.isfinite(other) and cost > 0 and other > 0:
            ratios[unit] = Observation(float(np.log(cost / other)), found.upper, found.lower)
    return ratios


def _at(spent: Trajectory, unit: str, step: float) -> float:
    """The cost at a step: a line between evaluations, from 0 at the beginning, on as before beyond the last."""
    steps, costs = np.concatenate([[0.0], spent["steps"]]), np.concatenate([[0.0], spent[unit]])
    beyond = step / steps[-1] if step > steps[-1] else 1.0
    return float(np.interp(step, steps, costs) * beyond)


def _mean(observations: Sequence[Observation]) -> Observation | None:
    """Of one seed's rates; a bound where one is. None where there are bounds of both kinds."""
    upper, lower = (any(getattr(one, side) for one in observations) for side in ("upper", "lower"))
    if upper and lower:
        return None
    return Observation(float(np.mean([one.value for one in observations])), upper, lower)
