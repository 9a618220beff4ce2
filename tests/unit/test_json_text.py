"""What is written as JSON is JSON, whatever numbers were found."""

import json
import math

import pytest

from analysis.cli.complexity import as_text
from analysis.complexity import CodecCost
from analysis.curve_files import Curve, write_curves
from lic_exp.__main__ import main
from lic_exp.json_text import json_text
from lic_exp.sweeps.folder import write_sweep

STRANGE = (math.nan, math.inf, -math.inf)


def strictly(text):
    """As a reader has it that knows JSON alone."""

    def refused(word):
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refused)


@pytest.mark.parametrize("number", STRANGE)
def test_wherever_it_stands(number):
    assert strictly(json_text({"a": [number, (1.5, {"b": number})], "c": "NaN"})) == {
        "a": [None, [1.5, {"b": None}]],
        "c": "NaN",
    }
    kept = strictly(json_text([number], infinities=True))
    assert kept == ([None] if math.isnan(number) else [str(number)])


@pytest.mark.parametrize("number", STRANGE)
def test_in_what_sweeps_and_tables_write(number, tmp_path):
    cells = [{"signature": "a", "label": "lr=x", "role": {"lr": number}}]
    sweep = write_sweep(tmp_path / "s", {"cells": cells}, {"a": {"config": {"lr": number}}})
    sweep.record_attempt(sweep.cells[0], {"state": "failed", "reason": "", "best": number})
    sweep.record_job(sweep.cells[0], {"launcher": "slurm", "job": "1", "submitted": number})
    written = [path for path in (tmp_path / "s").rglob("*") if path.is_file()]
    assert len(written) == 4
    write_curves(tmp_path / "curve.json", [Curve("c", {"bpp": (0.5,), "psnr": (number,)}, "", {"note": number})])
    costs = as_text([CodecCost("c", "run", 1, number, None, None, None, None, "", "")], ".json")
    for text in (*(path.read_text() for path in written), (tmp_path / "curve.json").read_text(), costs):
        strictly(text)


@pytest.mark.parametrize("best", ["Infinity", "-Infinity", "NaN"])
def test_in_what_commands_show(best, make_run, capsys):
    """As runs of schema 1 have it that were never validated."""
    folder = make_run("abcd")
    status = (folder / "status.json").read_text()
    (folder / "status.json").write_text(status.replace('"best": 1.25', f'"best": {best}'))
    write_sweep(folder.parent / ".sweeps" / "s", {"made": "2026", "cells": [{"signature": "abcd", "label": "a"}]}, {})
    assert main(["status", "--json"]) == 0
    assert strictly(capsys.readouterr().out)["rd_loss"] is None
