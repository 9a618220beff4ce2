"""Hyperparameter search as a sweep that grows: ask for values, run their cells, tell what came of them.

The sweep's folder is the study: its manifest has the trials in order and the runs have the results, so that a search
that was interrupted asks and tells as if it never had been.
"""

import importlib.util
import math
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from hydra.core.override_parser.types import IntervalSweep, Override
from pydantic import BaseModel, ConfigDict, ValidationError

from lic_exp.launching import exit_codes
from lic_exp.launching.compose import Request
from lic_exp.launching.errors import ConfigError
from lic_exp.launching.overrides import is_sweep, parse, parse_each, parsed, quoted
from lic_exp.launching.studies import Training
from lic_exp.launching.sweeps.cells import freeze
from lic_exp.launching.sweeps.command import run_sweep, say
from lic_exp.launching.sweeps.folder import FOLDER, Sweep, sweep_name, write_sweep
from lic_exp.launching.sweeps.making import OF_THE_POOL
from lic_exp.launching.sweeps.options import local_options, slots
from lic_exp.launching.sweeps.spec import label
from lic_exp.launching.sweeps.states import FINISHED, TROUBLE, states
from lic_exp.ranges import NonNegativeInt, PositiveInt

Values = dict[str, Any]


class Options(BaseModel):
    """The options of `hydra/sweeper=search`; conf/hydra/sweeper/search.yaml holds and explains their values."""

    model_config = ConfigDict(extra="forbid", strict=True)

    trials: PositiveInt
    sampler: Literal["random", "tpe"]
    seed: NonNegativeInt
    batch: PositiveInt | None
    params: None


@dataclass(frozen=True)
class Axis:
    """What one key may be: one of `choices`, or a number from low to high; log: on a logarithmic scale."""

    key: str
    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False


class Sampler(Protocol):
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
        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=self.seed + len(told)))
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
    low, high = (math.log(axis.low), math.log(axis.high)) if axis.log else (axis.low, axis.high)
    value = rng.uniform(low, high)
    value = min(max(math.exp(value) if axis.log else value, axis.low), axis.high)
    return round(value) if axis.whole else value


def axes_of(given: Sequence[str]) -> list[Axis]:
    """The axes of the overrides that have several values. Raises ConfigError where there is none."""
    found = [_axis(text, parsed(text)) for text in given if is_sweep(text)]
    if not found:
        raise ConfigError(
            ["hydra/sweeper=search: give what to search, e.g. 'optimizer.lr=tag(log,interval(1e-4,1e-2))'"]
        )
    return found


def _axis(text: str, override: Override) -> Axis:
    key, value = override.key_or_group, override.value()
    if not isinstance(value, IntervalSweep):
        choices = (parsed(f"{key}={choice}").value() for choice in override.sweep_string_iterator())
        return Axis(key, tuple(choices))
    low, high, tags = float(value.start or 0), float(value.end or 0), set(value.tags)
    if unknown := tags - {"log", "int"}:
        raise ConfigError([f"{text}: the tags of an interval are log and int, not {', '.join(sorted(unknown))}"])
    if not low < high or ("log" in tags and low <= 0):
        raise ConfigError([f"{text}: an interval goes from a lower to a higher number, a logarithmic one from above 0"])
    return Axis(key, (), low, high, "log" in tags, "int" in tags)


def search_options(node: Mapping[str, Any]) -> Options:
    """The options, checked. Raises ConfigError."""
    try:
        options = Options.model_validate(dict(node))
    except ValidationError as error:
        faults = ((".".join(map(str, fault["loc"])), fault["msg"]) for fault in error.errors())
        raise ConfigError(f"hydra.sweeper.{key}: {text}" for key, text in faults) from error
    if options.sampler == "tpe" and importlib.util.find_spec("optuna") is None:
        raise ConfigError(["hydra.sweeper.sampler=tpe needs the package optuna: pip install 'lic-exp[hpo]'"])
    return options


def search(given: Sequence[str], request: Request) -> tuple[int, Path]:
    """Run the search that the overrides describe, from where it stands. Returns the exit code and its folder."""
    options, launcher = search_options(request.sweeper_options), local_options(request.launcher_options)
    own = [text for text in given if not text.startswith(OF_THE_POOL)]
    parse([text for text in own if not is_sweep(text)])
    axes = axes_of(own)
    kind: Callable[[Sequence[Axis], int], Sampler] = OptunaSampler if options.sampler == "tpe" else RandomSampler
    sampler = kind(axes, options.seed)
    fixed = [text for text in own if not is_sweep(text)]
    study = Growing(own, fixed, f"{options.sampler} {options.seed}")
    batch = options.batch or len(slots(launcher))
    while True:
        if study.sweep is not None and (left := study.unfinished()):
            code = run_sweep(study.sweep, launcher, left)
            if code == exit_codes.PREEMPTED:
                return code, study.sweep.folder
        if len(study.trials) >= options.trials:
            break
        study.grow(sampler.ask(study.told(), min(batch, options.trials - len(study.trials))), launcher.model_dump())
    assert study.sweep is not None
    return study.conclude(), study.sweep.folder


class Growing:
    """A sweep's folder whose manifest also has the trials: values and signature of each, in order.

    given: the command line that names the search. fixed: its overrides with one value. kind: how values are proposed.
    """

    def __init__(self, given: Sequence[str], fixed: Sequence[str], kind: str) -> None:
        self.given, self.fixed, self.kind = list(given), list(fixed), kind
        self.sweep: Sweep | None = None
        self.trials: list[dict[str, Any]] = []
        (first,) = parse_each([self.fixed])
        probe = freeze([Training(first)], self.given)
        self.folder = probe.runs / FOLDER / sweep_name(re.sub(r"-\w{8}$", "", probe.name) + "-search", [*given, kind])
        if (self.folder / "manifest.json").is_file():
            self.sweep = Sweep(self.folder)
            self.trials = self.sweep.manifest["trials"]

    def told(self) -> list[tuple[Values, float | None]]:
        """Values and score of every trial; None where its cell failed."""
        if self.sweep is None:
            return []
        now = states(self.sweep)
        scores = {name: one.best if one.state in FINISHED else None for name, one in now.items()}
        return [(trial["values"], scores[trial["signature"]]) for trial in self.trials]

    def unfinished(self) -> list[Any]:
        """The cells that have neither a result nor failed."""
        assert self.sweep is not None
        return [one.cell for one in states(self.sweep).values() if one.state not in (*FINISHED, *TROUBLE)]

    def grow(self, asked: Sequence[Values], launcher: Mapping[str, Any]) -> None:
        """Add a cell per proposal; one that was proposed before is the same cell."""
        own = [[f"{key}={quoted(value)}" for key, value in values.items()] for values in asked]
        lines = parse_each([[*self.fixed, *texts] for texts in own])
        frozen = freeze([Training(line, values) for line, values in zip(lines, asked, strict=True)], self.given)
        names = {cell.label: cell.signature for cell in frozen.cells}
        for values in asked:
            found = names.get(label(values)) or next(c.signature for c in frozen.cells if dict(c.role) == values)
            self.trials.append({"values": values, "signature": found})
        before = [] if self.sweep is None else self.sweep.manifest["cells"]
        seen = {cell["signature"] for cell in before}
        cells = [*before, *(asdict(cell) for cell in frozen.cells if cell.signature not in seen)]
        made = frozen.manifest["made"] if self.sweep is None else self.sweep.manifest["made"]
        more = {"sweep": self.folder.name, "cells": cells, "trials": self.trials, "launcher": launcher, "made": made}
        self.sweep = write_sweep(self.folder, frozen.manifest | more, frozen.files(self.folder.name))

    def conclude(self) -> int:
        """Say which trial was best. Returns the exit code: 1 where none has a result."""
        scored = [(score, values) for values, score in self.told() if score is not None]
        if not scored:
            say("none of the trials has a result")
            return exit_codes.FAILED
        score, values = min(scored, key=lambda one: one[0])
        say(f"best of {len(self.trials)} trials: val/rd_loss {score:.6g} with {label(values)}")
        return exit_codes.DONE
