"""The numerics records of a training, compared and said; and shown wherever a run is."""

import json

import pytest

from lic_exp import exit_codes
from lic_exp.__main__ import main
from lic_exp.runs.run import Run
from lic_exp.sweeps.folder import FOLDER
from lic_exp.tracking.numerics import changes, different, gone_on, in_force

HOME = {"from_step": 0, "device": "cpu", "threads": 4, "torch": "2.8.0", "compile": False, "cudnn": None}
AWAY = HOME | {"from_step": 40, "torch": "2.9.0", "threads": 2}


@pytest.mark.parametrize(
    ("history", "step", "expected"),
    [
        ([], 0, [0]),
        ([HOME], 0, [0]),
        ([HOME], 60, [0]),
        ([HOME, AWAY], 60, [0, 40, 60]),
        ([HOME, AWAY], 40, [0]),
        ([HOME, AWAY], 20, [0]),
        ([AWAY], 20, [20]),
        ([], 20, [20]),
    ],
)
def test_a_training_that_goes_on_at_home(history, step, expected):
    """What was recorded of steps that are to be made again is forgotten; a record as before adds none."""
    assert [one["from_step"] for one in gone_on(history, step, HOME)] == expected


@pytest.mark.parametrize(("step", "expected"), [(0, None), (1, HOME), (40, HOME), (41, AWAY), (99, AWAY)])
def test_the_record_of_the_step_before(step, expected):
    assert in_force([HOME, AWAY], step) == expected


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ({}, []),
        ({"from_step": 9}, []),
        ({"torch": "2.9.0"}, ["torch 2.9.0, not 2.8.0"]),
        ({"compile": True, "cudnn": 8}, ["compile on, not off", "cudnn 8, not none"]),
        ({"device": "cuda", "threads": 1}, ["device cuda, not cpu", "threads 1, not 4"]),
        ({"later": 1}, []),
        ({"random_streams": 1}, []),
        (
            {"random_streams": 2},
            ["random_streams 2, not 1 (an earlier version of this package drew qualities and noise otherwise)"],
        ),
    ],
)
def test_what_differs_is_said_key_by_key(now, said):
    assert different(HOME, HOME | now) == said


def test_what_an_earlier_version_did_not_record_is_no_difference():
    assert different({"from_step": 0, "threads": 4}, HOME) == []


@pytest.mark.parametrize(
    ("history", "said"),
    [
        ([], []),
        ([HOME], []),
        ([HOME, AWAY], ["went on elsewhere after step 40: threads 2, not 4; torch 2.9.0, not 2.8.0"]),
        ([AWAY], ["what its first 40 steps were made with is not on record"]),
    ],
)
def test_what_is_said_of_a_training(history, said):
    assert changes(history) == said


@pytest.mark.parametrize("state", ["done", "preempted", "failed"])
def test_every_command_that_shows_a_run_says_it(make_run, tmp_path, state, capsys):
    make_run("aaaa", state, reason="because", numerics=[HOME, AWAY])
    make_run("bbbb", state, reason="because", numerics=[HOME])
    folder = tmp_path / "runs" / FOLDER / "some-00000000"
    (folder / "cells").mkdir(parents=True)
    cells = [{"signature": name, "label": f"cell {name}", "role": {}} for name in ("aaaa", "bbbb")]
    (folder / "manifest.json").write_text(json.dumps({"cells": cells, "made": "2026-01-01"}))
    for command in (["ls"], ["show", "aaaa"], ["status", "some", "--json"]):
        assert main(command) == exit_codes.DONE
        said = " ".join(capsys.readouterr().out.split())
        assert said.count("went on elsewhere after step 40: threads 2, not 4; torch 2.9.0, not 2.8.0") == 1
    assert main(["show", "bbbb"]) == exit_codes.DONE
    shown = "".join(capsys.readouterr().out.split())
    assert "elsewhere" not in shown
    assert "threads4,compileoff,torch2.8.0" in shown


@pytest.mark.parametrize(
    "numerics",
    [3, [3], [{}], [{"from_step": -1}], [{"from_step": 0, "threads": 0}], [{"from_step": 0, "threads": 10**9}]],
    ids=str,
)
def test_a_record_of_another_shape_is_damage(make_run, numerics):
    assert Run(make_run("aaaa", numerics=numerics)).state == "unreadable"
