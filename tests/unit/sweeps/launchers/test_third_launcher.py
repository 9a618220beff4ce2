"""A launcher that this house has never heard of: one code file and one yaml, in a copy of the checkout."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from checkout import copy_checkout

from lic_exp import exit_codes

CODE = '''"""Cells as lines of a notebook, which somebody else reads."""

import time
from typing import ClassVar

from lic_exp.sweeps.launcher import JobQueue, Launcher, LauncherOptions
from lic_exp.saying import say


class NotebookOptions(LauncherOptions):
    kind: ClassVar = "notebook"
    retried_with: ClassVar = {"colour": "red"}

    colour: str


class Lines(JobQueue):
    title = "a notebook"
    trouble = "its pencil is blunt"

    def state(self, sweep, cell, job, attempt, status):
        return ("cancelled", "struck out") if sweep.cancelled(cell).exists() else ("queued", f"line {job['job']}")

    def cancel(self, jobs):
        return [f"{cell.label}: line {number} is struck out" for number, cell in jobs.items()]

    def logs(self, sweep, job):
        path = sweep.folder / f"{job}.txt"
        path.write_text("as read from the notebook")
        return [path]


class Notebook(Launcher[NotebookOptions]):
    options = NotebookOptions
    queue = Lines()

    def run(self, sweep, options, cells):
        for number, cell in enumerate(cells):
            sweep.record_job(cell, {"launcher": "notebook", "job": str(number), "submitted": time.time()})
            say(f"{cell.label} in {options.colour}")
        return 7


LAUNCHER = Notebook()
'''
OPTION = "kind: notebook\ncolour: blue\nsnapshot: false\nbudget_min: null\n"
SWEEP = ("-m", "model=hyperprior_tiny", "data=synthetic", "debug=limit", "tracker=none", "seed=0,1")


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the checkout with the launcher's two files."""
    folder = copy_checkout(tmp_path_factory.mktemp("third"), "lic_exp", "conf", "launch.py")
    (folder / "lic_exp" / "sweeps" / "launchers" / "notebook.py").write_text(CODE)
    (folder / "conf" / "hydra" / "launcher" / "paper.yaml").write_text(OPTION)
    return folder


@pytest.fixture
def python(copy, tmp_path):
    """What runs Python by the copy's code, in a folder of its own."""

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        environment = os.environ | {"PYTHONPATH": str(copy)}
        command = [sys.executable, *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    return run


def test_it_gets_the_cells_and_every_verb_knows_of_its_queue(copy, python, tmp_path):
    launch = str(copy / "launch.py")
    done = python(launch, *SWEEP, "hydra/launcher=paper", "hydra.launcher.colour=green")
    assert done.returncode == 7, done.stderr
    assert "seed=0 in green\nseed=1 in green\n" in done.stderr

    cells = [json.loads(line) for line in python("-m", "lic_exp", "status", "--json").stdout.splitlines()]
    assert [(cell["state"], cell["reason"], cell["job"]) for cell in cells] == [
        ("queued", "line 0", "0"),
        ("queued", "line 1", "1"),
    ]
    table = " ".join(python("-m", "lic_exp", "status").stdout.split())
    assert "2 queued; run by a notebook" in table
    assert "a notebook could not be asked, and this is from files alone: its pencil is blunt" in table
    sweep = next(path.parent.name for path in tmp_path.glob("runs/.sweeps/*/manifest.json"))
    assert "as read from the notebook" in python("-m", "lic_exp", "logs", sweep, "seed=0").stdout

    assert python("-m", "lic_exp", "cancel").stdout == "seed=0: line 0 is struck out\nseed=1: line 1 is struck out\n"
    waited = python("-m", "lic_exp", "wait")
    assert waited.returncode == exit_codes.PREEMPTED, waited.stderr
    assert "2 cancelled" in waited.stderr
    again = python("-m", "lic_exp", "retry")
    assert (again.returncode, again.stderr) == (7, "seed=0 in red\nseed=1 in red\n")


def test_its_options_are_checked_and_it_plans_and_starts_nothing(copy, python, tmp_path):
    launch = str(copy / "launch.py")
    wrong = python(launch, *SWEEP, "hydra/launcher=paper", "hydra.launcher.color=red")
    assert wrong.returncode == exit_codes.CONFIG
    assert "hydra.launcher.color: there is no such key. Did you mean hydra.launcher.colour?" in wrong.stderr
    plan = python(launch, *SWEEP, "hydra/launcher=paper", "plan=true", "hydra.launcher.budget_min=1")
    assert plan.returncode == exit_codes.FAILED
    assert "2 cells, 2 to run: 0.0 min of computing, and 2 of unknown length\n" in plan.stdout, "it measures nothing"
    search = python(launch, *SWEEP, "hydra/launcher=paper", "hydra/sweeper=search")
    assert search.returncode == exit_codes.CONFIG
    assert "hydra/sweeper=search waits for its cells: choose a launcher that does" in search.stderr
    assert not list(Path(tmp_path).iterdir())
