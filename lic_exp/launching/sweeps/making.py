"""A command line as a sweep: its cells, frozen, with the launcher that it names and that launcher's options."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lic_exp.atomic import write_atomically
from lic_exp.launching.code import packages
from lic_exp.launching.compose import Request
from lic_exp.launching.overrides import values_of
from lic_exp.launching.studies import Study, requested, trainings
from lic_exp.launching.sweeps.cells import Frozen, freeze
from lic_exp.launching.sweeps.command import run_sweep, say
from lic_exp.launching.sweeps.folder import Sweep
from lic_exp.launching.sweeps.launchers import KINDS, Launcher, launcher_options
from lic_exp.launching.sweeps.spec import Spec, parse_spec

OF_THE_POOL = ("hydra.launcher", "hydra/launcher", "hydra.sweeper")
"""Overrides that say how cells are run, not what they are."""


@dataclass(frozen=True)
class Made:
    """A sweep that nothing has been done with yet.

    launcher: the option of hydra/launcher. node: its values. spec: the experiment's `sweep`, if it has one.
    """

    frozen: Frozen
    launcher: str
    node: dict[str, Any]
    spec: Spec | None
    study: Study | None

    @property
    def options(self) -> Launcher:
        """The launcher's options. Raises ConfigError."""
        return launcher_options(self.launcher, self.node)

    def write(self) -> Sweep:
        """Put it on disk, with a copy of the code where that was asked for."""
        if self.study is not None:
            self.study.record(next(iter(self.frozen.configs.values())))
        self.frozen.manifest["launched_by"] = self.launcher
        # What was not set stays so: a rule for some cells must not reset what it does not name.
        self.frozen.manifest["launcher"] = self.options.model_dump(exclude_unset=True) | self.options.KEPT
        sweep = self.frozen.write()
        if self.options.snapshot and not sweep.manifest.get("snapshot"):
            sweep = _with_snapshot(sweep)
        return sweep

    def run(self) -> int:
        """Write and run it. Returns the exit code."""
        options = self.options
        for text in self.frozen.merged:
            say(text)
        return run_sweep(self.write(), options)

    def show_plan(self) -> int:
        """Print what would run. Returns the exit code: 1 over the budget."""
        from lic_exp.launching.sweeps.plan import show

        return show(self)


def make(given: Sequence[str], *, several: bool, request: Request | None = None) -> Made:
    """Expand, compose, validate and sign what the overrides describe. Raises ConfigError.

    several: whether `-m` was given. request: what `requested(given)` has found already.
    """
    request = request or requested(given)
    keys = {text.partition("=")[0] for text in given}
    params = [text for text in request.params if several and text.partition("=")[0] not in keys]
    given = [*params, *(text for text in given if not text.startswith(OF_THE_POOL))]
    asked = trainings(given, several=several, request=request)
    experiment = values_of(given, "experiment")
    spec = None
    if request.sweep is not None and request.table is None and experiment:
        spec = parse_spec(request.sweep, f"experiment={experiment[0]}")
    frozen = freeze(asked, given, keep=spec.screen.keep if spec and spec.screen else 0)
    made = Made(frozen, request.launcher, request.launcher_options, spec, asked[0].study)
    if made.launcher in KINDS:
        made.options  # noqa: B018 (a wrong option is refused before anything is written)
    return made


def _with_snapshot(sweep: Sweep) -> Sweep:
    """Copy this package and the user's own into the sweep, and have its cells run the copy."""
    for source in packages(sweep.manifest["plugins"]):
        target = sweep.folder / "code" / source.name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    manifest = sweep.manifest | {"snapshot": sweep.manifest["code"]}
    write_atomically(sweep.folder / "manifest.json", json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
    return Sweep(sweep.folder)
