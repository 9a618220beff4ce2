"""Hyperparameter search as a sweep that grows: ask for values, run their cells, tell what came of them.

The sweep's folder is the study: its manifest has the trials in order and the runs have the results, so that a search
that was interrupted asks and tells as if it never had been.
"""

import importlib.util
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from lic_exp import exit_codes
from lic_exp.config.axes import Axis, axes_of
from lic_exp.config.errors import ConfigError
from lic_exp.config.overrides import is_sweep, parse, parse_each, quoted
from lic_exp.config.request import LaunchRequest
from lic_exp.option_types import NonNegativeInt, PositiveInt
from lic_exp.saying import say
from lic_exp.sweeps.control import run_sweep
from lic_exp.sweeps.create import OF_THE_LAUNCHER
from lic_exp.sweeps.folder import FOLDER, Cell, SweepFolder, kept_manifest, sweep_name, write_sweep
from lic_exp.sweeps.freezing import freeze
from lic_exp.sweeps.launcher import LauncherOptions, launcher_of, launcher_options
from lic_exp.sweeps.samplers import OptunaSampler, RandomSampler, SearchSampler
from lic_exp.sweeps.spec import Values, label
from lic_exp.sweeps.states import FINISHED, TROUBLE, states
from lic_exp.sweeps.trainings import Training


class SearchOptions(BaseModel):
    """The options of `hydra/sweeper=search`; conf/hydra/sweeper/search.yaml holds and explains their values."""

    model_config = ConfigDict(extra="forbid", strict=True)

    trials: PositiveInt
    sampler: Literal["random", "tpe"]
    seed: NonNegativeInt
    batch: PositiveInt | None
    params: None


def search_options(node: Mapping[str, Any]) -> SearchOptions:
    """The options, checked. Raises ConfigError."""
    try:
        options = SearchOptions.model_validate(dict(node))
    except ValidationError as error:
        faults = ((".".join(map(str, fault["loc"])), fault["msg"]) for fault in error.errors())
        raise ConfigError(f"hydra.sweeper.{key}: {text}" for key, text in faults) from error
    if options.sampler == "tpe" and importlib.util.find_spec("optuna") is None:
        raise ConfigError(["hydra.sweeper.sampler=tpe needs the package optuna: pip install 'lic-exp[hpo]'"])
    return options


def search(given: Sequence[str], request: LaunchRequest) -> tuple[int, Path]:
    """Run the search that the overrides describe, from where it stands. Returns the exit code and its folder.

    Raises ConfigError, also for a launcher that does not wait for its cells.
    """
    options = search_options(request.sweeper_options)
    launcher = launcher_options(request.launcher, request.launcher_options)
    slots = launcher_of(launcher).slots(launcher)
    if slots is None:
        raise ConfigError(["hydra/sweeper=search waits for its cells: choose a launcher that does, in the foreground"])
    own = [text for text in given if not text.startswith(OF_THE_LAUNCHER)]
    fixed = [text for text in own if not is_sweep(text)]
    parse(fixed)
    axes = axes_of(own)
    kind: Callable[[Sequence[Axis], int], SearchSampler] = OptunaSampler if options.sampler == "tpe" else RandomSampler
    sampler = kind(axes, options.seed)
    growing = GrowingSweep(own, fixed, f"{options.sampler} {options.seed}")
    while True:
        if growing.sweep is not None and (left := growing.unfinished()):
            code = run_sweep(growing.sweep, launcher, left)
            if code == exit_codes.PREEMPTED:
                return code, growing.sweep.folder
        if len(growing.trials) >= options.trials:
            break
        count = min(options.batch or slots, options.trials - len(growing.trials))
        growing.grow(sampler.ask(growing.told(), count), launcher)
    assert growing.sweep is not None
    return growing.conclude(), growing.sweep.folder


class GrowingSweep:
    """A sweep's folder whose manifest also has the trials: values and signature of each, in order.

    given: the command line that names the search. fixed: its overrides with one value. kind: how values are proposed.
    """

    def __init__(self, given: Sequence[str], fixed: Sequence[str], kind: str) -> None:
        self.given, self.fixed, self.kind = list(given), list(fixed), kind
        self.sweep: SweepFolder | None = None
        self.trials: list[dict[str, Any]] = []
        (first,) = parse_each([self.fixed])
        probe = freeze([Training(first)], self.given)
        self.folder = probe.runs / FOLDER / sweep_name(re.sub(r"-\w{8}$", "", probe.name) + "-search", [*given, kind])
        if trials := kept_manifest(self.folder).get("trials"):
            self.sweep = SweepFolder(self.folder)
            self.trials = trials

    def told(self) -> list[tuple[Values, float | None]]:
        """Values and score of every trial; None where its cell failed."""
        if self.sweep is None:
            return []
        now = states(self.sweep)
        scores = {name: one.best if one.state in FINISHED else None for name, one in now.items()}
        return [(trial["values"], scores[trial["signature"]]) for trial in self.trials]

    def unfinished(self) -> list[Cell]:
        """The cells that have neither a result nor failed."""
        assert self.sweep is not None
        return [one.cell for one in states(self.sweep).values() if one.state not in (*FINISHED, *TROUBLE)]

    def grow(self, asked: Sequence[Values], launcher: LauncherOptions) -> None:
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
        more = {"sweep": self.folder.name, "cells": cells, "trials": self.trials, "made": made}
        more |= {"launched_by": launcher.kind, "launcher": launcher.kept()}
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
