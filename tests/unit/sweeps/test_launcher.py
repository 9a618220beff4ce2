"""How launchers are found, and what they and their cells' processes have in common."""

import ast
import sys
from pathlib import Path

import pytest
from checkout import ROOT

from lic_exp.config.errors import ConfigError
from lic_exp.sweeps.cell_process import cell_command
from lic_exp.sweeps.folder import FOLDER, write_sweep
from lic_exp.sweeps.launcher import find_launcher, launcher_kinds, launcher_options, options_of, queue_of
from lic_exp.sweeps.launchers.slurm.arrays import _executor

SWEEPS = ROOT / "lic_exp" / "sweeps"


def test_launchers_are_found_by_their_kind_and_hydras_own_are_none():
    assert launcher_kinds() == ["local", "slurm"]
    for kind in launcher_kinds():
        assert find_launcher(kind).options.kind == kind
    for name in ("basic", "submitit_slurm", "", "no.such", "__init__"):
        assert find_launcher(name) is None
    with pytest.raises(ConfigError, match="there is no launcher basic: there are local, slurm"):
        launcher_options("basic", {})


def test_a_sweep_that_hydra_launched_has_nothing_to_retry_with(tmp_path):
    for launched in ({}, {"launched_by": "basic", "launcher": {}}):
        sweep = write_sweep(tmp_path / "runs" / FOLDER / "s", {"sweep": "s", "cells": []} | launched, {})
        with pytest.raises(ConfigError, match="sweep s was not run by a launcher of this platform"):
            options_of(sweep, {})


def test_a_job_on_record_is_of_the_launcher_that_it_names_or_else_of_its_sweeps(tmp_path):
    manifest = {"sweep": "s", "launched_by": "slurm", "cells": [{"signature": name, "label": name} for name in "abc"]}
    sweep = write_sweep(tmp_path / "runs" / FOLDER / "s", manifest, {})
    old, other, none = sweep.cells
    sweep.record_job(old, {"job": "1", "submitted": 0.0})
    sweep.record_job(other, {"launcher": "local", "job": "2", "submitted": 0.0})
    assert queue_of(sweep.job(old)).title == "SLURM"
    assert queue_of(sweep.job(other)) is None, "it has no queue"
    assert (sweep.job(none), queue_of(sweep.job(none))) == ({}, None)


def test_no_launcher_is_named_above_them_and_none_knows_another():
    def named(path: Path) -> set[str]:
        tree = ast.parse(path.read_text())
        docs = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        texts = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and node not in docs]
        modules = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        words = {str(node.value) for node in texts} | {part for module in modules for part in module.split(".")}
        return words & set(launcher_kinds())

    assert {path.name: named(path) for path in SWEEPS.glob("*.py") if named(path)} == {}
    for kind in launcher_kinds():
        files = (SWEEPS / "launchers" / kind).glob("*.py")
        assert set().union(*map(named, files)) == {kind}


def test_what_a_queue_may_hold_is_a_word_that_stays():
    assert cell_command(Path("f.json"), 2.5) == [
        *(sys.executable, "-P", "-m", "lic_exp", "cell", "f.json"),
        *("--memory-gb", "2.5"),
    ]
    assert cell_command(Path("f.json"))[-1] == "f.json"


@pytest.mark.parametrize(("use_srun", "begin"), [(True, ""), (False, "exec ")])
def test_what_a_job_of_slurm_starts(use_srun, begin, tmp_path, monkeypatch):
    monkeypatch.setattr("submitit.SlurmExecutor.affinity", lambda *_: 1)  # as where SLURM is installed
    command = _executor(tmp_path, {"use_srun": use_srun}, tmp_path / "a b.json")._submitit_command_str
    assert command.startswith(begin)
    assert command.endswith(f" -P -u -m lic_exp slurm-job '{tmp_path / 'a b.json'}'")
