import json
import math
import os
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from recorded_study import CONF, EFFECT, RATES, write_study

from analysis.__main__ import main
from analysis.ablation import ablation
from analysis.ablation_files import trace
from analysis.ablation_text import bits_grid, grid
from analysis.errors import AnalysisError
from analysis.grid import Grid
from analysis.studies import load_study, tables
from lic_exp.ablation_spec import FOLDER

EXPECTED = Path(__file__).parents[2] / "expected"
REGENERATE = "LIC_EXP_REGENERATE" in os.environ
"""LIC_EXP_REGENERATE=1 python -m pytest tests/unit/analysis/test_ablation.py writes the golden tables anew."""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    runs = tmp_path_factory.mktemp("recorded") / "runs"
    write_study(runs)
    return runs


def cells(runs, **choices):
    """{row: {column: text}}"""
    shown = grid(ablation(load_study("table2", runs=runs, **choices)))
    return {row[0]: dict(zip(shown.header, row, strict=True)) for row in shown.rows}


@pytest.mark.parametrize("ending", ["md", "tex", "csv", "html"])
def test_golden_tables(recorded, tmp_path, ending, capsys):
    assert main(["ablation", "table2", "scale=mini", "--runs", str(recorded), "--out", str(tmp_path)]) == 0
    text = (tmp_path / f"table2-mini.{ending}").read_text()
    golden = EXPECTED / f"table2-mini.{ending}"
    if REGENERATE:
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text()


def test_the_numbers_are_those_the_runs_were_made_with(recorded):
    """The recorded intra runs fall 1.4 times as fast, to a level 3 % lower, with 3 % fewer bits at equal quality."""
    found = ablation(load_study("table2", runs=recorded))
    (row,) = (row for row in found.rows if row.name == "intra")
    assert math.log(1.4) < row.speed.estimate("steps").mean < math.log(row.at_end.ratios["steps"].value)
    assert row.bd_rate.mean == pytest.approx(-3.0, abs=0.3)
    assert -3.0 in row.bd_rate.interval
    assert found.verdicts["intra"] == {"speed_up": "smaller than claimed", "bd_rate": "supported"}


def test_the_baseline_against_itself_shows_no_effect(recorded):
    (row,) = (row for row in ablation(load_study("table2", runs=recorded)).rows if row.role == "A/A")
    assert 0 in row.bd_rate.interval
    assert 0 in row.speed.estimate("steps").interval
    assert all(one.exact for one in row.speed.observations["steps"].values())
    assert row.seeds == len(row.complete) == 3


def test_a_row_that_never_gets_there_is_a_bound_and_contradicts_its_claim(tmp_path, monkeypatch):
    monkeypatch.setitem(EFFECT, "both", (0.5, 1.0))
    write_study(tmp_path)
    found = cells(tmp_path)["intra, then inter, Eq. 6"]
    assert re.fullmatch(r"< 0\.\d\dx", found["speed-up, steps"])
    assert found["speed-up: verdict"] == "contradicted"


def test_a_row_that_is_trained_longer_is_judged_by_its_speed_alone(tmp_path, monkeypatch):
    monkeypatch.setitem(EFFECT, "inter_longer", (0.9, 1.0))
    write_study(tmp_path)
    study = load_study("table2", runs=tmp_path)
    found = ablation(study)
    (row,) = (row for row in found.rows if row.name == "inter_longer")
    assert row.bd_rate is None
    assert row.speed.estimate("steps").mean == pytest.approx(math.log(0.9), abs=0.05)
    assert list(found.verdicts["inter_longer"]) == ["speed_up"]
    assert "1.65 times as long as the others" in " ".join(row.notes)


def test_a_row_against_another_is_compared_with_that_one(tmp_path, monkeypatch):
    monkeypatch.setitem(EFFECT, "linear", (1.4, 0.97))
    monkeypatch.setitem(EFFECT, "exponential", (1.2, 0.99))
    write_study(tmp_path, table="table3a")
    found = ablation(load_study("table3a", runs=tmp_path))
    by_name = {row.name: row for row in found.rows}
    assert by_name["linear"].speed.estimate("steps").mean > 0
    assert by_name["exponential"].speed.estimate("steps").mean < 0
    assert by_name["exponential"].bd_rate.mean > 0
    assert found.verdicts["exponential"] == {"speed_up": "supported", "bd_rate": "supported"}
    shown = [row[0] for row in grid(found).rows]
    assert "exponential, 0.05 to 1 (against linear, 0.05 to 1)" in shown


def test_a_missing_run_leaves_its_seed_out(tmp_path):
    write_study(tmp_path, without=[("intra", 1)])
    found = cells(tmp_path)
    assert found["intra-scale"]["BD-rate %"].endswith("(2/3 seeds)")
    assert found["intra-scale"]["speed-up, steps"].endswith("(2/3 seeds)")
    assert not found["intra-scale"].get("BD-rate: verdict")
    assert found["naive"]["BD-rate %"] == "0"


def test_a_missing_baseline_run_leaves_the_seed_out_everywhere(tmp_path):
    write_study(tmp_path, without=[("naive", 2)])
    found = cells(tmp_path)
    assert found["naive"]["BD-rate %"] == "0 (2/3 seeds)"
    assert found["intra-scale"]["BD-rate %"].endswith("(2/3 seeds)")


def test_a_diverged_run_says_so(tmp_path):
    write_study(tmp_path, diverged=[("intra", 0)])
    cell = cells(tmp_path)["intra-scale"]["BD-rate %"]
    assert cell.startswith("diverged at step 70 (1/3); -")
    assert cell.endswith("(2/3 seeds)")


def test_where_all_diverged_there_is_no_number(tmp_path):
    write_study(tmp_path, diverged=[("intra", 0), ("intra", 1), ("intra", 2)])
    assert cells(tmp_path)["intra-scale"]["BD-rate %"] == "diverged at step 70 (3/3)"


def test_one_finished_seed_has_the_spread_of_the_pairs_of_equals_and_no_verdict(tmp_path):
    write_study(tmp_path, without=[("naive", 1), ("naive", 2)])
    found = cells(tmp_path)["intra-scale"]
    assert re.fullmatch(r"-\d\.\d\d \[.*\] \(1/3 seeds\)", found["BD-rate %"])
    assert "BD-rate: verdict" not in found
    lone = cells(tmp_path)["A/A: naive, other seeds"]["BD-rate %"]
    assert "[" not in lone


@pytest.mark.parametrize("removed", ["runs", "manifest too"])
def test_without_runs_cells_are_blank_and_the_papers_stay(tmp_path, removed):
    write_study(tmp_path)
    for path in tmp_path.glob("0*"):
        shutil.rmtree(path)
    if removed == "manifest too":
        shutil.rmtree(tmp_path / FOLDER)
    row = cells(tmp_path)["intra-scale"]
    assert row["BD-rate %"] == row["speed-up, steps"] == ""
    assert [text for title, text in row.items() if title.startswith("paper")] == ["1.84x", "-1.07"]


def test_what_cannot_be_run_keeps_its_row(recorded, tmp_path):
    text = (CONF / "experiment" / "table2.yaml").read_text()
    away = "overrides: null\n      why: it is not here"
    (tmp_path / "table2.yaml").write_text(text.replace("overrides: [spectral_reg=inter_cos]", away))
    shown = grid(ablation(load_study(str(tmp_path / "table2.yaml"), runs=recorded)))
    (row,) = (row for row in shown.rows if row[0] == "inter-scale, bounded control (cosine)")
    assert set(row[1:]) == {""}
    assert "inter-scale, bounded control (cosine): it is not here" in shown.notes


def test_a_row_that_was_not_launched_is_blank(recorded):
    """The table got it after the study was launched, so that the manifest does not know it."""
    row = cells(recorded)["inter-scale, Eq. 6"]
    assert row["BD-rate %"] == row["speed-up, steps"] == ""


def test_every_cell_can_be_traced(recorded):
    shown = trace(ablation(load_study("table2", runs=recorded)))
    assert len(shown.rows) == len(RATES) * 3 * 3
    assert {row[4] for row in shown.rows} == {"done"}
    signatures = {row[3] for row in shown.rows}
    assert signatures == {path.name for path in recorded.glob("0*")}
    table = pd.read_csv(EXPECTED / "table2-mini.csv", dtype=str)
    assert set(" ".join(table["signatures"].dropna()).split()) == signatures


def test_bits_by_latent(recorded):
    shown = bits_grid(ablation(load_study("table2", runs=recorded)))
    assert shown.header == ("", "y", "z")
    assert shown.rows[0] == ("naive", "90.0", "10.0")


@pytest.mark.parametrize("launched", [False, True])
@pytest.mark.parametrize(("scale", "run"), [("paper", False), ("mini", True), ("gpu", True)])
def test_a_row_that_a_scale_does_not_run_says_why(scale, run, launched, tmp_path):
    if launched:
        manifest = write_study(tmp_path) | {"scale": scale}
        (path,) = (tmp_path / FOLDER).iterdir()
        path.write_text(json.dumps(manifest))
    found = ablation(load_study("table2", runs=tmp_path, scale=scale))
    (row,) = (row for row in found.rows if row.name == "inter_1e4")
    assert (row.role != "absent") is run
    why = "inter-scale, Eq. 6, learning rate 1e-4: at this scale every row has this learning rate"
    assert (why in grid(found).notes) is not run


def test_further_figures_of_the_paper_are_columns_of_their_own(tmp_path):
    text = (CONF / "experiment" / "table2.yaml").read_text()
    given = "paper: {bd_rate: -7.66, others: {Kodak: -19.73, KMACs/pixel: about 1000}}"
    (tmp_path / "table2.yaml").write_text(text.replace("paper: {bd_rate: -7.66}", given))
    shown = grid(ablation(load_study(str(tmp_path / "table2.yaml"), runs=tmp_path)))
    rows = {row[0]: dict(zip(shown.header, row, strict=True)) for row in shown.rows}
    paper = "paper (DHIC 107 M, other data and budget)"
    assert rows["inter-scale, Eq. 6"][f"{paper}: Kodak"] == "-19.73"
    assert rows["inter-scale, Eq. 6"][f"{paper}: KMACs/pixel"] == "about 1000"
    assert rows["naive"][f"{paper}: Kodak"] == ""


def test_codecs_of_different_size_have_columns_for_it(tmp_path):
    write_study(tmp_path)
    for folder in tmp_path.glob("0[01]*"):
        counted = {"parameters": 2e6, "macs_per_pixel": 1000.0 * (1 + int(folder.name[1]))}
        counted |= {"encode_macs_per_pixel": None, "decode_macs_per_pixel": None}
        (folder / "complexity.json").write_text(json.dumps(counted))
    found = cells(tmp_path)
    assert found["naive"]["KMACs/pixel"] == "1.00"
    assert (found["intra-scale"]["KMACs/pixel"], found["intra-scale"]["parameters, M"]) == ("2.00", "2.00")


def test_a_label_changed_later_shows_without_a_new_run(recorded, tmp_path):
    text = (CONF / "experiment" / "table2.yaml").read_text()
    (tmp_path / "table2.yaml").write_text(text.replace("label: intra-scale", "label: truncated batches"))
    shown = grid(ablation(load_study(str(tmp_path / "table2.yaml"), runs=recorded)))
    assert "truncated batches" in [row[0] for row in shown.rows]


def test_the_newest_study_is_taken_and_the_others_named(recorded, tmp_path):
    shutil.copytree(recorded, tmp_path / "runs")
    folder = tmp_path / "runs" / FOLDER
    older = json.loads(next(folder.iterdir()).read_text())
    older |= {"made": "2020-01-01T00:00:00+00:00", "study": "ffff000011112222", "scale": "gpu", "cells": []}
    (folder / "table2-ffff0000.json").write_text(json.dumps(older))
    study = load_study("table2", runs=tmp_path / "runs")
    assert (study.scale, study.others) == ("mini", ("study=ffff0000 scale=gpu trainer.max_epochs=50",))
    assert load_study("table2", runs=tmp_path / "runs", study="ffff").scale == "gpu"
    with pytest.raises(AnalysisError, match="no runs of table2 launched so; it has study=0"):
        load_study("table2", runs=tmp_path / "runs", scale="paper")


@pytest.mark.parametrize(("k", "level"), [(1, "its last evaluation"), (5, "mean of its last 5 evaluations")])
def test_the_note_names_the_evaluations_that_make_a_level(recorded, k, level):
    notes = grid(ablation(load_study("table2", runs=recorded), k=k)).notes
    assert [note for note in notes if f"The final level ({level}) lies after the fall" in note]


def test_a_run_without_an_evaluation_is_no_number(recorded, tmp_path):
    write_study(tmp_path)
    next(tmp_path.glob("01*/eval/images.csv")).unlink()
    row = cells(tmp_path)["intra-scale"]
    assert row["BD-rate %"] == "no number"
    assert row["speed-up, steps"] == cells(recorded)["intra-scale"]["speed-up, steps"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tabel2"], "tabel2: there is no such table. Did you mean table2? Tables: "),
        (["table2", "mini"], "mini: choose with scale=... or study=..."),
        (["table2", "size=mini"], "size=mini: choose with scale=... or study=..."),
    ],
)
def test_refusals(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["ablation", *arguments]) == 2
    assert capsys.readouterr().err.startswith(message)


def test_every_table_can_be_shown_before_it_is_run(tmp_path, capsys):
    for name in tables():
        assert main(["ablation", name, "--runs", str(tmp_path), "--out", str(tmp_path / "out")]) == 0
    assert {path.stem for path in (tmp_path / "out").iterdir()} == set(tables())
    assert "nothing measured yet" in capsys.readouterr().out


def test_signs_that_mean_something_to_a_format_arrive():
    shown = Grid("a & b", ("<x>", "50 %"), (("p|q", "_1_"),), ("c:\\",))
    assert "p\\|q" in shown.markdown()
    assert r"a \& b" in shown.latex()
    assert r"\textless{}x\textgreater{} & 50 \%" in shown.latex()
    assert r"c:\textbackslash{}" in shown.latex()
    assert "<th>&lt;x&gt;</th>" in shown.html()


@pytest.mark.parametrize(
    ("paper", "which"), [({"bd_rate": -7.66}, "BD-rate"), ({"speed_up": 1.84, "bd_rate": -1.07}, "speed-up")]
)
def test_the_primary_contrast_is_judged_by_itself(recorded, tmp_path, monkeypatch, paper, which):
    contrasts = []
    monkeypatch.setattr("analysis.ablation.judged", lambda given: contrasts.extend(given) or ["supported"] * len(given))
    text = (CONF / "experiment" / "table2.yaml").read_text()
    (tmp_path / "table2.yaml").write_text(text.replace("paper: {speed_up: 1.84, bd_rate: -1.07}", f"paper: {paper}"))
    found = ablation(load_study(str(tmp_path / "table2.yaml"), runs=recorded))
    assert [contrast.primary for contrast in contrasts] == [True, False][: len(paper)]
    assert f"verdicts: the {which} of intra is the primary contrast; " in " ".join(grid(found).notes)
