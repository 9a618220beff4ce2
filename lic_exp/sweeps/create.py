"""A command line as a sweep: its cells, frozen, with the launcher that it names and that launcher's options."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from lic_exp.atomic import write_atomically
from lic_exp.config.chosen import targets
from lic_exp.config.composer import Composer
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
from lic_exp.sweeps.committed_cells import committed_cells
from lic_exp.sweeps.control import run_sweep, see_to_outdated
from lic_exp.sweeps.folder import COPY, SweepFolder, kept_manifest
from lic_exp.sweeps.freezing import Frozen, check_beginnings, freeze
from lic_exp.sweeps.launcher import Launcher, LauncherOptions, find_launcher, launcher_options
from lic_exp.sweeps.spec import Spec, parse_spec
from lic_exp.sweeps.states import at_work
from lic_exp.sweeps.trainings import requested, trainings

OF_THE_LAUNCHER = ("hydra.launcher", "hydra/launcher", "hydra.sweeper")
"""Overrides that say how cells are run, not what they are."""


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
        self.check_code()
        with writable(self.frozen.runs):
            return self._write()

    def _write(self) -> SweepFolder:
        if self.study is not None:
            self.study.record(next(iter(self.frozen.configs.values())))
        self.frozen.manifest["launched_by"] = self.launched_by
        self.frozen.manifest["launcher"] = self.options.kept()
        sweep = self.frozen.write()
        copied = sweep.copy is not None and sweep.copy.is_dir()
        if not copied and (self.options.snapshot or sweep.copy):
            return _with_snapshot(sweep)
        if self._is_other(sweep):
            if self.stale == "again":
                return _with_snapshot(sweep)
            say(f"{_other_copy(sweep)}; trainer.stale=again renews it, and makes anew what it has made")
        return sweep

    @property
    def stale(self) -> Literal["keep", "again", "refuse"]:
        """What becomes of what other code has made."""
        return next(iter(self.frozen.configs.values())).trainer.stale

    def planned(self) -> SweepFolder:
        """The sweep as its folder would be read once it is written; nothing is. Raises ConfigError."""
        sweep = self._kept()
        if not (sweep.folder / COPY).is_dir() or (self.stale == "again" and self._is_other(sweep)):
            sweep.manifest.pop("snapshot", None)  # its copy of the code is to be that of now
        return sweep

    def check_code(self) -> None:
        """Raise ConfigError where what there is of the sweep is of other code and to be refused, or cannot be renewed.

        Such an error promises that nothing was changed: it comes before all else.
        """
        if self.stale == "keep":
            return
        sweep = self._kept()
        other = f"trainer.stale={self.stale}: {_other_copy(sweep)}" if self._is_other(sweep) else ""
        if other and self.stale == "refuse":
            raise ConfigError([other])
        if other and at_work(sweep):
            raise ConfigError([f"{other}, and it is at work: cancel it first, or wait for it"])
        if self.stale == "refuse":
            see_to_outdated(self.planned(), self.stale)

    def _kept(self) -> SweepFolder:
        """The sweep with what is on record of it, whether it is there or not."""
        sweep = SweepFolder(self.frozen.folder)
        sweep.__dict__["manifest"] = kept_manifest(sweep.folder) | self.frozen.manifest
        return sweep

    def _is_other(self, sweep: SweepFolder) -> bool:
        """Whether the sweep runs a copy of the code that is, for any cell, other than the code there is now."""
        copy = sweep.copy
        if copy is None or not copy.is_dir():
            return False
        parts = {(tuple(targets(config.plain())), tuple(config.plugins)) for config in self.frozen.configs.values()}
        return any(code_hash(*each, root=copy) != code_hash(*each) for each in parts)

    def run(self) -> int:
        """Write and run it. Returns the exit code."""
        options = self.options
        for text in (*self.frozen.left_out, *self.frozen.merged):
            say(text)
        return run_sweep(self.write(), options, stale=self.stale)


@files_unchanged()
def sweep_request(given: Sequence[str], *, several: bool, request: LaunchRequest | None = None) -> SweepRequest:
    """Expand, compose, validate and sign what the overrides describe. Raises ConfigError.

    several: whether `-m` was given. request: what `requested(given)` has found already.
    """
    request = request or requested(given)
    keys = {text.partition("=")[0] for text in given}
    params = [text for text in request.params if several and text.partition("=")[0] not in keys]
    given = [*params, *(text for text in given if not text.startswith(OF_THE_LAUNCHER))]
    composer = Composer()
    asked = trainings(given, several=several, request=request, composer=composer)
    experiment = values_of(given, "experiment")
    spec = None
    if request.sweep is not None and request.table is None and experiment:
        spec = parse_spec(request.sweep, f"experiment={experiment[0]}")
    frozen = freeze(asked, given, keep=spec.screen.keep if spec and spec.screen else 0, composer=composer)
    sweep = SweepRequest(frozen, request.launcher, request.launcher_options, spec, asked[0].study)
    if sweep.launcher is not None:
        sweep.options  # noqa: B018 (a wrong option is refused before anything is written)
    frozen.manifest["committed"] = committed_cells(frozen)
    check_beginnings(frozen)
    return sweep


def _other_copy(sweep: SweepFolder) -> str:
    return f"sweep {sweep.name} runs its own copy of the code, which is other than there is now"


def _with_snapshot(sweep: SweepFolder) -> SweepFolder:
    """Copy this package and the user's own into the sweep, and have its cells run the copy; note where it is from.

    A copy that is there already is replaced once the new one is whole.
    """
    copy = sweep.folder / COPY
    new, former = (copy.with_name(f".{COPY}.{name}") for name in ("new", "former"))
    for left_over in (new, former):
        if left_over.exists():
            shutil.rmtree(left_over)
    new.mkdir()
    for source in packages(sweep.manifest["plugins"]):
        if source.is_dir():
            shutil.copytree(source, new / source.name, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
        else:
            shutil.copy2(source, new / source.name)
    record_origin(new, sweep.manifest["plugins"])
    if copy.exists():
        copy.rename(former)
    new.rename(copy)
    if former.exists():
        shutil.rmtree(former)
        forget()
    manifest = sweep.manifest | {"snapshot": sweep.manifest["code"]}
    write_atomically(sweep.folder / "manifest.json", json_text(manifest, indent=1, ensure_ascii=False) + "\n")
    return SweepFolder(sweep.folder)
