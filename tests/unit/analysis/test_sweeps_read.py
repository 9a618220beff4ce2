"""A sweep's cells as a table: by its manifest, with what has not begun, and over seeds."""

import json
import math

import pytest
from run_folders import curve, write_run

from analysis import load_sweep
from analysis.__main__ import main
from analysis.errors import AnalysisError
from analysis.statistics import t_interval


@pytest.fixture
def runs(tmp_path):
    """Two regularizers, three seeds; one cell failed and one has not begun."""
    folder = tmp_path / "runs"
    cells = []
    for name, last in {"none": [3.0, 2.0, 1.0], "intra": [2.0, 1.0, 1.0]}.items():
        for seed, value in enumerate(last):
            signature = f"{name}{seed}"
            cells.append({"signature": signature, "label": signature, "role": {"spectral_reg": name, "seed": seed}})
            if signature != "none2":
                state = "failed" if signature == "intra2" else "done"
                write_run(folder / signature, curve([9.0, value]), seed=seed, state=state)
    for sweep, made in (("grid-1234", "2026-11-01"), ("other-9", "2026-10-01")):
        (folder / ".sweeps" / sweep).mkdir(parents=True)
        manifest = {"made": made, "cells": cells}
        (folder / ".sweeps" / sweep / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_every_cell_is_a_row_with_its_choice_and_state(runs):
    found = load_sweep("grid", runs=runs)
    assert found.name == "grid-1234"
    assert found.keys == ["spectral_reg", "seed"]
    table = found.table("val/rd_loss").set_index("label")
    assert dict(table["state"]) == dict.fromkeys(table.index, "done") | {"none2": "waiting", "intra2": "failed"}
    assert table.loc["none0", "value"] == 3.0
    assert math.isnan(table.loc["none2", "value"])


def test_choices_are_compared_over_their_seeds(runs):
    summary = load_sweep(runs=runs).summary("val/rd_loss").set_index("spectral_reg")
    assert list(summary.index) == ["none", "intra"]
    assert list(summary["done"]) == [2, 2]
    assert list(summary["cells"]) == [3, 3]
    assert summary.loc["none", "mean"] == 2.5
    assert (summary.loc["none", "low"], summary.loc["none", "high"]) == t_interval([3.0, 2.0])
    everything = load_sweep(runs=runs).summary("val/rd_loss", over=["seed", "spectral_reg"])
    assert list(everything["done"]) == [4]
    assert list(load_sweep(runs=runs).summary("val/rd_loss", over=())["mean"])[:2] == [3.0, 2.0]


def test_the_command_prints_it(runs, capsys):
    assert main(["sweep", "grid", "--runs", str(runs)]) == 0
    shown = capsys.readouterr().out
    assert "intra" in shown
    assert "2/3" in shown
    assert main(["sweep", "--csv", "--runs", str(runs)]) == 0
    assert capsys.readouterr().out.startswith("spectral_reg,done,cells,mean,low,high\nnone,2,3,2.5,")


@pytest.mark.parametrize(
    ("name", "message"),
    [("nothing", "no sweep nothing; it has grid-1234, other-9"), ("", "the name of a sweep is empty")],
)
def test_names_that_mean_none_or_several(runs, name, message):
    with pytest.raises(AnalysisError, match=message):
        load_sweep(name, runs=runs)


def test_a_metric_that_nobody_logged(runs):
    with pytest.raises(AnalysisError, match=r"has logged val/nonsense; there is .*val/rd_loss"):
        load_sweep(runs=runs).summary("val/nonsense")


@pytest.mark.parametrize("over", [["optimizer.lr"], ["seed", "spectral_rge"]])
def test_a_key_that_no_cell_has_is_no_repetition(runs, over, capsys):
    assert main(["sweep", "grid", "--runs", str(runs), "--over", *over]) == 2
    assert f"{over[-1]} is no key of sweep grid-1234; it has spectral_reg, seed" in capsys.readouterr().err


@pytest.mark.parametrize(("key", "kind"), [("criterion.lmbda", "lambda sets"), ("criterion", "criteria")])
def test_no_mean_over_losses_that_mean_different_things(runs, key, kind):
    file = runs / ".sweeps" / "grid-1234" / "manifest.json"
    manifest = json.loads(file.read_text())
    for place, cell in enumerate(manifest["cells"]):
        cell["role"][key] = place % 2
    file.write_text(json.dumps(manifest))
    found = load_sweep("grid", runs=runs)
    with pytest.raises(AnalysisError, match=f"{key}: a mean of val/rd_loss over different {kind}"):
        found.summary("val/rd_loss", over=["seed", key])
    assert len(found.summary("val/rd_loss")) == 4
    assert len(found.summary("val/psnr", over=["seed", key])) == 2


@pytest.mark.parametrize("value", [0.1, [0.9, 0.99], None, "linear"])
def test_a_row_is_blank_where_an_arm_has_no_such_key(value, tmp_path, capsys):
    folder = tmp_path / "runs"
    roles = {"none0": {"spectral_reg": "none"}, "intra0": {"spectral_reg": "intra", "spectral_reg.key": value}}
    for name in roles:
        write_run(folder / name, curve([9.0, 1.0]), state="done")
    cells = [{"signature": name, "label": name, "role": role} for name, role in roles.items()]
    (folder / ".sweeps" / "some-1234").mkdir(parents=True)
    (folder / ".sweeps" / "some-1234" / "manifest.json").write_text(json.dumps({"made": "2026-11-01", "cells": cells}))
    assert main(["sweep", "--runs", str(folder)]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if "1/1" in line]
    assert ["nan" in row.lower() or "None" in row for row in rows] == [False, False]
    assert next(row.split()[1] for row in rows) == "none"
