"""Which of a training's evaluations is read: the one that a manifest's cell names, in `eval/` or `eval/<name>/`."""

import json
from pathlib import Path

import pytest
from recorded_study import write_study
from run_folders import curve, write_run

from analysis import load_curve, load_runs, load_sweep
from analysis.ablation import ablation
from analysis.errors import AnalysisError
from analysis.studies import load_study
from lic_exp.ablation_spec import FOLDER

OWN, OTHER, NEITHER = "0a1b2c3d", "99990000", "12345678"


def images(bpp: float) -> str:
    return f"image,height,width,bpp,psnr\na,64,64,{bpp},30.0\n"


def evaluate(folder: Path, name: str | None, bpp: float) -> None:
    """name: None leaves evaluation.json as runs of schema 1 have it, with the run's own name."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "images.csv").write_text(images(bpp))
    (folder / "evaluation.json").write_text(
        json.dumps({"name": "pilot", "rows": []} | ({"evaluation": name} if name else {}))
    )
    (folder / "rd_point.json").write_text(json.dumps({"name": "x", "results": {"bpp": [bpp], "psnr": [30.0]}}))


def make(runs: Path, signature: str = "aa00", *, own: str | None = OWN, other: bool = True) -> Path:
    """A training whose own evaluation is at 1 bpp, another at 2, and one of named images at 3."""
    run = write_run(runs / signature, curve([2.0, 1.0]), schema_version=1 if own is None else 2)
    evaluate(run / "eval", own, 1.0)
    evaluate(run / "eval" / "kodak", own, 3.0)
    if other:
        evaluate(run / "eval" / OTHER, OTHER, 2.0)
    return run


def sweep(runs: Path, *cells: dict) -> None:
    folder = runs / ".sweeps" / "grid-1"
    folder.mkdir(parents=True)
    cells = [{"label": f"cell {i}", "role": {"number": i}} | cell for i, cell in enumerate(cells)]
    (folder / "manifest.json").write_text(json.dumps({"made": "2026-11-26", "cells": cells}))


def rates(runs, images: str = "") -> list[float]:
    return list(runs.means(images)["bpp"])


@pytest.mark.parametrize(
    ("own", "named", "found"),
    [
        pytest.param(OWN, {"evaluation": OWN}, [1.0], id="its own"),
        pytest.param(OWN, {"evaluation": OTHER}, [2.0], id="another"),
        pytest.param(OWN, {"evaluation": NEITHER}, [], id="one that is not made yet"),
        pytest.param(OWN, {}, [1.0], id="an older manifest"),
        pytest.param(None, {}, [1.0], id="a run of schema 1"),
        pytest.param(None, {"evaluation": NEITHER}, [1.0], id="one without a name is taken for any"),
        pytest.param(None, {"evaluation": OTHER}, [2.0], id="one with the name comes first"),
    ],
)
def test_a_sweeps_cell_has_the_evaluation_that_it_names(tmp_path, own, named, found):
    make(tmp_path, own=own)
    sweep(tmp_path, {"signature": "aa00"} | named)
    read = load_sweep(runs=tmp_path)
    assert rates(read.runs) == found
    assert list(read.evaluation["bpp"]) == found
    assert rates(read.runs, "kodak") == [3.0]
    assert read.keys == ["number"]


def test_the_evaluation_in_whose_place_another_stands_keeps_its_name(tmp_path):
    make(tmp_path)
    read = load_runs(tmp_path)
    assert list(read.runs["evaluation"]) == [OWN]
    chosen = read.with_evaluations({"aa00": OTHER})
    assert list(chosen.runs["evaluation"]) == [OTHER]
    assert (rates(chosen), rates(chosen, OWN), rates(chosen, "kodak")) == ([2.0], [1.0], [3.0])
    assert rates(chosen.with_evaluations({"aa00": OWN})) == [1.0], "and back"
    assert rates(read.with_evaluations({"aa00": None, "unknown": OTHER})) == [1.0]


def test_cells_that_are_one_training_have_each_its_own(tmp_path):
    make(tmp_path)
    make(tmp_path, "bb00", other=False)
    named = [("aa00", OTHER), ("aa00", OWN), ("bb00", OWN), ("bb00", OTHER)]
    sweep(tmp_path, *({"signature": signature, "evaluation": name} for signature, name in named))
    read = load_sweep(runs=tmp_path)
    found = dict(zip(read.evaluation["label"], read.evaluation["bpp"], strict=True))
    assert found == {"cell 0": 2.0, "cell 1": 1.0, "cell 2": 1.0}
    assert list(read.table("val/rd_loss")["value"]) == [1.0] * 4
    assert len(read.runs) == 2


def test_a_run_named_by_itself_has_its_own(tmp_path):
    run = make(tmp_path)
    assert rates(load_runs(run)) == [1.0]
    assert load_curve(run).bpp == [1.0]


def test_runs_of_both_schemas_are_read_side_by_side(tmp_path):
    """They differ in the version, in what the weights that are judged are called, and in the evaluation's name."""
    old = write_run(tmp_path / "aa00", curve([2.0, 1.0]), schema_version=1, trainer={"judged_weights": "ema"})
    new = write_run(tmp_path / "bb00", curve([2.0, 1.5]), schema_version=2, trainer={"eval_weights": "ema"})
    evaluate(old / "eval", None, 1.0)
    evaluate(new / "eval", OWN, 2.0)
    read = load_runs(tmp_path)
    assert list(read.runs["state"]) == ["done", "done"]
    assert list(read.runs["evaluation"]) == [None, OWN]
    assert list(read.runs["schema_version"]) == [1, 2]
    assert rates(read) == [1.0, 2.0]
    assert list(read.final(["val/rd_loss"])["val/rd_loss"]) == [1.0, 1.5]


def test_a_cached_reading_knows_the_name(tmp_path):
    make(tmp_path)
    load_runs(tmp_path)
    assert list(load_runs(tmp_path).runs["evaluation"]) == [OWN]
    evaluate(tmp_path / "aa00" / "eval", NEITHER, 5.0)
    read = load_runs(tmp_path)
    assert (list(read.runs["evaluation"]), rates(read)) == ([NEITHER], [5.0])


def rewrite(runs: Path, change) -> None:
    (path,) = (runs / FOLDER).iterdir()
    manifest = json.loads(path.read_text())
    change(manifest["cells"])
    path.write_text(json.dumps(manifest))


def test_a_table_is_made_of_the_evaluations_that_it_names(tmp_path):
    """The other evaluations have 10 % fewer bits in all runs but the baseline's, so only the rows differ."""
    write_study(tmp_path)
    (before,) = (row for row in ablation(load_study("table2", runs=tmp_path)).rows if row.name == "intra")
    for run in tmp_path.glob("0*"):
        header, *rows = (run / "eval" / "images.csv").read_text().splitlines()
        smaller = 0.9 if run.name.startswith("01") else 1.0
        cells = [row.split(",") for row in rows]
        rows = [",".join([*cell[:3], repr(float(cell[3]) * smaller), *cell[4:]]) for cell in cells]
        evaluate(run / "eval" / OTHER, OTHER, 0.0)
        (run / "eval" / OTHER / "images.csv").write_text("\n".join([header, *rows]) + "\n")
        (run / "eval" / "evaluation.json").write_text(json.dumps({"evaluation": OWN}))
    rewrite(tmp_path, lambda cells: [cell.update(evaluation=OTHER) for cell in cells])
    (after,) = (row for row in ablation(load_study("table2", runs=tmp_path)).rows if row.name == "intra")
    for seed, value in before.bd_rate.values.items():
        assert 1 + after.bd_rate.values[seed] / 100 == pytest.approx(0.9 * (1 + value / 100))
    assert after.speed.estimate("steps") == before.speed.estimate("steps")


def test_a_table_with_two_evaluations_of_one_training_is_refused(tmp_path):
    write_study(tmp_path)
    rewrite(tmp_path, lambda cells: cells.append(cells[0] | {"evaluation": OTHER}))
    with pytest.raises(AnalysisError, match=rf"two evaluations, None and {OTHER}; a table compares trainings"):
        load_study("table2", runs=tmp_path)
