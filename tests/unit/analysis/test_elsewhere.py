"""Of runs that went on with other arithmetic than they began with, tables and comparisons say so."""

import numpy as np
import pytest
from recorded_study import write_study
from run_folders import curve, write_run

from analysis.ablation import ablation
from analysis.ablation_text import grid
from analysis.runs import load_runs
from analysis.speedup import speed_up
from analysis.studies import load_study
from lic_exp.tracking.run_folder import RunFolder

HOME = {"from_step": 0, "device": "cpu", "threads": 4, "torch": "2.8.0"}
HISTORIES = {
    "torch": ([HOME, HOME | {"from_step": 70, "torch": "2.9.0"}], "after step 70: torch 2.9.0, not 2.8.0"),
    "threads": ([HOME, HOME | {"from_step": 30, "threads": 1}], "after step 30: threads 1, not 4"),
    "unknown": ([HOME | {"from_step": 50}], "what its first 50 steps were made with is not on record"),
}


@pytest.mark.parametrize(("history", "said"), HISTORIES.values(), ids=list(HISTORIES))
def test_an_ablation_table_names_the_run(tmp_path, history, said):
    write_study(tmp_path)
    first = sorted(tmp_path.glob("0*/"))[0]
    RunFolder(first).update_status(numerics=history)
    notes = grid(ablation(load_study("table2", runs=tmp_path))).notes
    assert [note for note in notes if said in note and first.name in note]


@pytest.mark.parametrize(("history", "said"), HISTORIES.values(), ids=list(HISTORIES))
def test_a_speed_up_has_it_as_a_flag(tmp_path, history, said):
    runs = [write_run(tmp_path / "runs" / name, curve(np.linspace(2, 1, 12))) for name in ("aa", "bb")]
    assert not any("record" in flag or "elsewhere" in flag for flag in speed_up(*runs).flags)
    RunFolder(runs[1]).update_status(numerics=history)
    assert any(said in flag and "bb" in flag for flag in speed_up(*runs).flags)
    assert list(load_runs(tmp_path / "runs").runs["elsewhere"].map(bool)) == [False, True]
