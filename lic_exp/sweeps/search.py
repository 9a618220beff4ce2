"""Hyperparameter search as a sweep that grows: ask for values, run their cells, tell what came of them.

The sweep's folder is the study: its manifest has the trials in order and the runs have the results, so that a search
that was interrupted asks and tells as if it never had been.
"""

import importlib.util
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Le
from pydantic import BaseModel, ConfigDict, ValidationError

from lic_exp import exit_codes
from lic_exp.comparability import ranking_faults
from lic_exp.config.axes import Axis, as_declared, axes_of, corners
from lic_exp.config.composer import Composer
from lic_exp.config.errors import ConfigError
from lic_exp.config.only_some import OnlySome
from lic_exp.config.overrides import MOST_RUNS, is_sweep, parse, parse_each, quoted
from lic_exp.config.request import LaunchRequest
from lic_exp.labels import label
from lic_exp.option_types import PositiveInt, Seed
from lic_exp.runs.lock import writable
from lic_exp.saying import say
from lic_exp.sweeps.control import commands_for, run_sweep, see_to_outdated
from lic_exp.sweeps.create import OF_THE_LAUNCHER
from lic_exp.sweeps.folder import FOLDER, Cell, SweepFolder, kept_manifest, sweep_name, write_sweep
from lic_exp.sweeps.freezing import Frozen, check_beginnings, freeze
from lic_exp.sweeps.launcher import LauncherOptions, launcher_of, launcher_options
from lic_exp.sweeps.samplers import OptunaSampler, RandomSampler, SearchSampler
from lic_exp.sweeps.spec import Values
from lic_exp.sweeps.states import FINISHED, TROUBLE, states
from lic_exp.sweeps.trainings import Training, check_experiments, fitting

Trials = Annotated[PositiveInt, Le(MOST_RUNS)]


class SearchOptions(BaseModel):
    """The options of `hydra/sweeper=search`; conf/hydra/sweeper/search.yaml holds and explains their values."""

    model_config = ConfigDict(extra="forbid", strict=True)

    trials: Trials
    sampler: Literal["random", "tpe"]
    seed: Seed
    batch: Trials | None
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
    if launcher_of(launcher).slots(launcher) is None:
        raise ConfigError(["hydra/sweeper=search waits for its cells: choose a launcher that does, in the foreground"])
    for kind, node in (("table", request.table), ("sweep", request.sweep)):
        if node is not None:
            raise ConfigError([f"hydra/sweeper=search makes its own cells, and this experiment has a {kind} of them"])
    own = [text for text in given if not text.startswith(OF_THE_LAUNCHER)]
    fixed = [text for text in own if not is_sweep(text)]
    parse(own)
    check_experiments(own)
    axes = axes_of(own)
    composer = Composer()
    judging = _trainings(fixed, corners(axes))
    some = OnlySome([one.overrides for one in judging], composer)
    judged = freeze(fitting(judging, some), own, composer=composer)
    if faults := ranking_faults("a search ranks its trials", [config.plain() for config in judged.configs.values()]):
        raise ConfigError(faults)
    check_beginnings(judged)
    devices = max(config.trainer.devices for config in judged.configs.values())
    slots = launcher_of(launcher).slots(launcher, devices) or 1
    axes = as_declared(axes, [config.plain() for config in judged.configs.values()])
    sampling: Callable[[Sequence[Axis], int], SearchSampler]
    sampling = OptunaSampler if options.sampler == "tpe" else RandomSampler
    sampler = sampling(axes, options.seed)
    say(*judged.left_out)
    growing = GrowingSweep(own, fixed, f"{options.sampler} {options.seed}", judged, some, composer)
    stale = next(iter(judged.configs.values())).trainer.stale
    if growing.sweep is not None and (stale != "keep" or not growing.unfinished()):  # else running them says it
        say(*filter(None, [see_to_outdated(growing.sweep, stale)]))
    while True:
        if growing.sweep is not None and (left := growing.unfinished()):
            code = run_sweep(growing.sweep, launcher, left)
            if code in (exit_codes.PREEMPTED, exit_codes.INTERRUPTED) and growing.unfinished():
                return code, growing.sweep.folder
        if len(growing.trials) >= options.trials:
            break
        count = min(options.batch or slots, options.trials - len(growing.trials))
        growing.grow(sampler.ask(growing.told(), count), launcher)
    return growing.conclude(), growing.folder


def _trainings(fixed: Sequence[str], proposed: Sequence[Values]) -> list[Training]:
    own = [[f"{key}={quoted(value)}" for key, value in values.items()] for values in proposed]
    lines = parse_each([[*fixed, *texts] for texts in own])
    return [Training(line, values) for line, values in zip(lines, proposed, strict=True)]


class GrowingSweep:
    """A sweep's folder whose manifest also has the trials: values and signature of each, in order.

    given: the command line that names the search. fixed: its overrides with one value. kind: how values are proposed.
    judged: the corners of what it searches, which `composer` composed. some: what some of them have no option for.
    """

    def __init__(
        self,
        given: Sequence[str],
        fixed: Sequence[str],
        kind: str,
        judged: Frozen,
        some: OnlySome,
        composer: Composer,
    ) -> None:
        self.given, self.fixed, self.some, self.composer = list(given), list(fixed), some, composer
        self.corner = dict(judged.cells[0].role)
        self.sweep: SweepFolder | None = None
        self.trials: list[dict[str, Any]] = []
        title = re.sub(r"-\w{8}$", "", judged.name)
        self.folder = judged.runs / FOLDER / sweep_name(f"{title}-search", [*given, kind])
        if trials := kept_manifest(self.folder).get("trials"):
            self.sweep = SweepFolder(self.folder)
            self.trials = trials

    def told(self) -> list[tuple[Values, float | None]]:
        """Values and score of every trial; None where its cell failed, or its values were refused."""
        now = {} if self.sweep is None else states(self.sweep)
        scores = {name: one.best if one.state in FINISHED else None for name, one in now.items()}
        return [(trial["values"], scores.get(trial["signature"])) for trial in self.trials]

    def unfinished(self) -> list[Cell]:
        """The cells that have neither a result nor failed."""
        assert self.sweep is not None
        return [one.cell for one in states(self.sweep).values() if one.state not in (*FINISHED, *TROUBLE)]

    def grow(self, asked: Sequence[Values], launcher: LauncherOptions) -> None:
        """Add a cell per proposal; one that was proposed before is the same cell.

        What only several values together get wrong is found out here. Such a proposal counts as a trial that failed:
        the next one must not be the same for ever.
        """
        found: list[Frozen] = []
        for training, values in zip(_trainings(self.fixed, asked), asked, strict=True):
            try:
                found.append(self._frozen(training))
            except ConfigError as error:
                for judged in _trainings(self.fixed, [self.corner]):
                    self._frozen(judged)  # raises where it is not these values that are wrong
                self.trials.append({"values": values, "signature": None, "refused": str(error)})
                say(f"trial {len(self.trials)}, {label(values)}, is refused and has no result: {error.messages[0]}")
            else:
                self.trials.append({"values": values, "signature": found[-1].cells[0].signature})
        if self.sweep is None and not found:
            return
        before = {} if self.sweep is None else self.sweep.manifest
        cells = {cell["signature"]: cell for cell in before.get("cells", ())}
        for frozen in found:
            cells.setdefault(frozen.cells[0].signature, asdict(frozen.cells[0]))
        files = {name: file for frozen in found for name, file in frozen.files(self.folder.name).items()}
        more: dict[str, Any] = {"sweep": self.folder.name, "cells": list(cells.values()), "trials": self.trials}
        more |= {"launched_by": launcher.kind, "launcher": launcher.kept()}
        more |= {key: before[key] for key in ("made",) if key in before}
        manifest = before | (found[-1].manifest if found else {}) | more
        # Later on a disk that refuses is how a search ends that has begun.
        with writable(self.folder) if self.sweep is None else nullcontext():
            self.sweep = write_sweep(self.folder, manifest, files)

    def _frozen(self, training: Training) -> Frozen:
        frozen = freeze(fitting([training], self.some), self.given, composer=self.composer)
        check_beginnings(frozen)
        return frozen

    def conclude(self) -> int:
        """Say which trial was best. Returns the exit code: 1 where none has a result.

        Raises ConfigError where none was started, since all were refused.
        """
        if self.sweep is None:
            raise ConfigError(dict.fromkeys(f"every trial is refused: {trial['refused']}" for trial in self.trials))
        scored = [(score, values) for values, score in self.told() if score is not None]
        if not scored:
            say("none of the trials has a result")
            return exit_codes.FAILED
        score, values = min(scored, key=lambda one: one[0])
        say(f"best of {len(self.trials)} trials: val/rd_loss {score:.6g} with {label(values)}")
        say(*commands_for(self.sweep, states(self.sweep).values()))
        return exit_codes.DONE
