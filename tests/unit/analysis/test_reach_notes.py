"""Tables say which rows their budget is too short for, and which rows are one experiment by that."""

import json
from types import MappingProxyType

import pytest
from recorded_study import CONF
from run_folders import curve, write_run

from analysis.__main__ import main
from analysis.reach import reach_notes
from analysis.studies import load_study
from lic_exp.ablation_spec import FOLDER, read_table
from lic_exp.config.compose import compose
from lic_exp.config.overrides import parse
from lic_exp.config.validation import validate
from lic_exp.tracking.run_folder import RunFolder

ROWS = {"naive": "none", "intra": "intra", "both": "both", "both_cos": "both_cos"}
WEIGHTLESS = {"naive": "none", "inter_zero": "inter", "intra": "intra"}
STEPS_PER_EPOCH = 10
ALIKE = "since these rows differ only in what they never reach or weigh by 0"


@pytest.fixture(scope="module")
def regularizers():
    found = {}
    for row, option in (ROWS | WEIGHTLESS).items():
        weight = ["spectral_reg.delta=0"] if row == "inter_zero" else []
        config = validate(compose(parse(["model=hpcm_tiny", f"spectral_reg={option}", *weight])), rules_too=False)
        found[row] = config.plain()["spectral_reg"]
    return found


@pytest.fixture
def write_table(tmp_path, regularizers):
    """A study of table2 whose runs have so many epochs; losses: of rows; more: changes of a row's config."""

    def written(epochs, configured=True, rows=ROWS, losses=MappingProxyType({}), **more):
        plan = read_table(CONF / "experiment" / "table2.yaml")
        cells = [vars(cell) for cell in plan.cells() if cell.variant in rows]
        for place, cell in enumerate(cells):
            cell["signature"] = f"{place:016d}"
            changes = {"seed": cell["seed"], "spectral_reg": regularizers[cell["variant"]]} | more.get(
                cell["variant"], {}
            )
            if not configured:
                changes["data__steps_per_epoch"] = None
            values = losses.get(cell["variant"], [2.0] * 40)
            folder = write_run(tmp_path / cell["signature"], curve(values), **changes)
            RunFolder(folder).update_status(max_steps=epochs * STEPS_PER_EPOCH)
        manifest = {"experiment": "table2", "scale": "mini", "study": "0" * 16, "overrides": [], "made": "2026-11-27"}
        manifest |= {"table": plan.model_dump(), "cells": cells}
        (tmp_path / FOLDER).mkdir()
        (tmp_path / FOLDER / "table2-00000000.json").write_text(json.dumps(manifest))
        return list(reach_notes(load_study("table2", runs=tmp_path)))

    return written


@pytest.mark.parametrize("configured", [True, False])
def test_rows_that_end_in_their_first_stage_are_one_experiment(write_table, configured):
    notes = write_table(40, configured)
    stage = "its stage lasts to the end of 100 epochs, and this run has 40: it ends after 40% of the stage"
    assert notes[0].startswith(f"intra-scale: spectral_reg: {stage}")
    begun = "spectral_reg.inter: its term begins at epoch 100, and this run has 40: it is never part of the loss"
    assert [note for note in notes if note.endswith(begun)] == [
        f"intra, then inter, Eq. 6: {begun}",
        f"intra, then inter, bounded control (cosine): {begun}",
    ]
    assert notes[-1] == (
        "intra-scale; intra, then inter, Eq. 6; intra, then inter, bounded control (cosine): one experiment, "
        f"{ALIKE}; their val/rd_loss is equal to the last bit"
    )


def test_long_rows_have_no_note(write_table):
    assert write_table(400) == []


def test_rows_that_differ_elsewhere_are_two(write_table):
    notes = write_table(40, both={"optimizer__lr": 0.5})
    assert "one experiment" in notes[-1]
    assert "Eq. 6" not in notes[-1]


def test_a_row_without_weight_is_its_baseline(write_table):
    (note,) = write_table(400, rows=WEIGHTLESS)
    assert note == (
        "naive; inter-scale, Eq. 6, delta 0, which is naive: one experiment, "
        f"{ALIKE}; their val/rd_loss is equal to the last bit"
    )


@pytest.mark.parametrize("values", [[2.0] * 39 + [2.0000000000000004], [2.0] * 39, [2.0] * 39 + [float("nan")]])
def test_one_experiment_that_was_measured_as_two_is_named(write_table, values):
    (note,) = write_table(400, rows=WEIGHTLESS, losses={"inter_zero": values})
    assert note.endswith("; yet their val/rd_loss differs, at seed 0 for one: they were computed differently")


def test_the_table_has_the_notes(write_table, tmp_path, capsys):
    write_table(40)
    assert main(["ablation", "table2", "--runs", str(tmp_path), "--out", str(tmp_path / "tables")]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "this run has 40: it is never part of the loss" in shown
    assert "one experiment, since these rows differ only in what they never reach" in shown
