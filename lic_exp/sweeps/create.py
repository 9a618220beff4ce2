"""A command line as a sweep: its cells, frozen, with the launcher that it names and that launcher's options."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lic_exp.atomic import write_atomically
from lic_exp.config.chosen import targets
from lic_exp.config.errors import ConfigError
from lic_exp.config.overrides import values_of
from lic_exp.config.request import LaunchRequest
from lic_exp.data.unchanged import files_unchanged
from lic_exp.json_text import json_text
from lic_exp.runs.code_hash import code_hash, forget, packages
from lic_exp.runs.lock import writable
from lic_exp.runs.provenance import record_origin
from lic_exp.saying import say
from lic_exp.sweeps.ablation_study import AblationStudy
from lic_exp.sweeps.control import run_sweep
from lic_exp.sweeps.folder import SweepFolder
from lic_exp.sweeps.freezing import Frozen, check_beginnings, freeze
from lic_exp.sweeps.launcher import Launcher, LauncherOptions, find_launcher, launcher_options
from lic_exp.sweeps.spec import Spec, parse_spec
from lic_exp.sweeps.states import at_work
from lic_exp.sweeps.trainings import requested, trainings

OF_THE_LAUNCHER = ("hydra.launcher", "hydra/launcher", "hydra.sweeper")
"""Overrides that say how cells are run, not what they are."""

COPY = "code"
"""The folder in a sweep's that holds its copy of the code."""


@dataclass(frozen=True)
class SweepRequest:
    """A sweep that nothing has been done with yet.

    launched_by: the kind of its launcher, or the name of one of Hydra's own. node: the values of that option. spec: the
    experiment's `sweep`, if it has one.
    """

    frozen: Frozen
    launched_by: str
    node: dict[str, Any]
    spec: Spec | None
    study: AblationStudy | None

    @property
    def launcher(self) -> Launcher[Any] | None:
        """None where it is one of Hydra's own, which gets no frozen cells."""
        return find_launcher(self.launched_by)

    @cached_property
    def options(self) -> LauncherOptions:
        """The launcher's options. Raises ConfigError."""
        return launcher_options(self.launched_by, self.node)

    @files_unchanged()
    def write(self) -> SweepFolder:
        """Put it on disk, with a copy of the code where that was asked for. Raises ConfigError where it cannot be."""
        with writable(self.frozen.runs):
            return self._write()

    def _write(self) -> SweepFolder:
        if self.study is not None:
            self.study.record(next(iter(self.frozen.configs.values())))
        self.frozen.manifest["launched_by"] = self.launched_by
        self.frozen.manifest["launcher"] = self.options.kept()
        sweep = self.frozen.write()
        if self.options.snapshot and not sweep.manifest.get("snapshot"):
            sweep = _with_snapshot(sweep)
        elif sweep.manifest.get("snapshot") and self._is_other(sweep.folder / COPY):
            sweep = self._keep_or_renew(sweep)
        return sweep

    def _is_other(self, copy: Path) -> bool:
        """Whether for any cell the sweep's copy of the code is other than the code there is now."""
        parts = {(tuple(targets(config.plain())), tuple(config.plugins)) for config in self.frozen.configs.values()}
        return any(code_hash(*each, root=copy) != code_hash(*each) for each in parts)

    def _keep_or_renew(self, sweep: SweepFolder) -> SweepFolder:
        """The sweep, with a new copy of the code where its cells are to be made anew. Raises ConfigError."""
        said = f"sweep {sweep.name} runs its own copy of the code, which is other than there is now"
        stale = next(iter(self.frozen.configs.values())).trainer.stale
        if stale == "refuse":
            raise ConfigError([f"trainer.stale=refuse: {said}"])
        if stale == "keep":
            say(f"{said}; trainer.stale=again renews it, and makes anew what it has made")
            return sweep
        if at_work(sweep):
            raise ConfigError([f"trainer.stale=again: {said}, and it is at work: cancel it first, or wait for it"])
        shutil.rmtree(sweep.folder / COPY)
        renewed = _with_snapshot(sweep)
        forget()
        return renewed

    def run(self) -> int:
        """Write and run it. Returns the exit code."""
        options = self.options
        for text in self.frozen.merged:
            say(text)
        stale = next(iter(self.frozen.configs.values())).trainer.stale
        return run_sweep(self.write(), options, stale=stale)


@files_unchanged()
def sweep_request(given: Sequence[str], *, several: bool, request: LaunchRequest | None = None) -> SweepRequest:
    """Expand, compose, validate and sign what the overrides describe. Raises ConfigError.

    several: whether `-m` was given. request: what `requested(given)` has found already.
    """
    request = request or requested(given)
    keys = {text.partition("=")[0] for text in given}
    params = [text for text in request.params if several and text.partition("=")[0] not in keys]
    given = [*params, *(text for text in given if not text.startswith(OF_THE_LAUNCHER))]
    asked = trainings(given, several=several, request=request)
    experiment = values_of(given, "experiment")
    spec = None
    if request.sweep is not None and request.table is None and experiment:
        spec = parse_spec(request.sweep, f"experiment={experiment[0]}")
    frozen = freeze(asked, given, keep=spec.screen.keep if spec and spec.screen else 0)
    sweep = SweepRequest(frozen, request.launcher, request.launcher_options, spec, asked[0].study)
    if sweep.launcher is not None:
        sweep.options  # noqa: B018 (a wrong option is refused before anything is written)
    check_beginnings(frozen)
    return sweep


def _with_snapshot(sweep: SweepFolder) -> SweepFolder:
    """Copy this package and the user's own into the sweep, and have its cells run the copy; note where it is from."""
    for source in packages(sweep.manifest["plugins"]):
        target = sweep.folder / COPY / source.name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    record_origin(sweep.folder / COPY, sweep.manifest["plugins"])
    manifest = sweep.manifest | {"snapshot": sweep.manifest["code"]}
    write_atomically(sweep.folder / "manifest.json", json_text(manifest, indent=1, ensure_ascii=False) + "\n")
    return SweepFolder(sweep.folder)
