"""Runs that are killed at chosen moments end bit-equal to one that nobody disturbed, in whatever they have written."""

import os
import signal
import subprocess
import sys

import faults
import pytest

from lic_exp import fault_points


@pytest.fixture(scope="module")
def references(tmp_path_factory):
    """{overrides: the folders of undisturbed runs}, each made when it is first asked for."""
    folder, found = tmp_path_factory.mktemp("references"), {}

    def of(overrides):
        if overrides not in found:
            found[overrides] = faults.made(folder / str(len(found)), overrides)
        return found[overrides]

    return of


@pytest.mark.slow
@pytest.mark.parametrize("title", faults.FAULTS)
def test_killed_at_a_chosen_moment(references, tmp_path, title):
    faults.trial(tmp_path, references(faults.FAULTS[title].overrides), title, seed=0)


def ended(kill_at, code):
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)} | ({fault_points.VARIABLE: kill_at} if kill_at else {})
    return subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode


@pytest.mark.parametrize(
    ("kill_at", "code"),
    [(None, 0), ("a.point:3", -signal.SIGKILL), ("a.point:4", 0), ("another:1", 0), ("a.point", 0), ("", 0)],
)
def test_only_the_point_and_time_that_a_test_names_kills(kill_at, code):
    thrice = "from lic_exp.fault_points import reached\nfor _ in range(3): reached('a.point')"
    assert ended(kill_at, thrice) == code
