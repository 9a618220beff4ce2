"""Which pairs a row's interval has its spread from: the A/A pairs are of the table's baseline, and of its recipe."""

import numpy as np
import pytest
from recorded_study import EFFECT, write_study

from analysis.ablation import ablation
from analysis.ablation_text import grid
from analysis.studies import load_study
from lic_exp.ablation_spec import Table

ROW = {"label": "", "overrides": []}
OTHERS = {
    "table2": {"naive_1e4": (0.8, 1.0), "inter_1e4": (0.9, 0.99)},
    "table3a": {"linear": (1.4, 0.97), "exponential": (1.5, 0.96)},
}


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    found = {}
    for table, rows in OTHERS.items():
        folder = tmp_path_factory.mktemp(table)
        with pytest.MonkeyPatch.context() as patch:
            for name, effect in rows.items():
                patch.setitem(EFFECT, name, effect)
            write_study(folder, table=table)
        found[table] = ablation(load_study(table, runs=folder))
    return found


@pytest.mark.parametrize(
    ("table", "name", "pooled"),
    [
        ("table2", "intra", True),
        ("table2", "inter_1e4", False),
        ("table3a", "linear", True),
        ("table3a", "exponential", True),
    ],
)
def test_only_rows_of_the_tables_baseline_have_the_spread_of_its_pairs(measured, table, name, pooled):
    row = next(row for row in measured[table].rows if row.name == name)
    own = np.array(row.speed.exact("steps"))
    assert row.speed.spread("steps").degrees == (5 if pooled else 2)
    assert (row.speed.spread("steps").sd == pytest.approx(own.std(ddof=1))) is not pooled
    assert len(row.bd_rate.again) == len(row.rd_change.again) == (3 if pooled else 0)


def test_the_notes_say_so(measured):
    (general,), (apart,) = (
        [note for note in grid(measured["table2"]).notes if words in note]
        for words in ("interval by Student t", "compared with another baseline")
    )
    assert "the spread pooled with the A/A row, but for rows with another baseline; " in general
    assert "inter-scale, Eq. 6, learning rate 1e-4; their spread is that of their own pairs alone" in apart
    assert "naive, learning rate 1e-4" not in apart
    notes = " ".join(grid(measured["table3a"]).notes)
    assert "the spread pooled with the A/A row; " in notes
    assert "another baseline" not in notes


def test_a_table_without_pairs_of_equals_says_nothing_of_them(tmp_path, monkeypatch):
    monkeypatch.setitem(EFFECT, "high", (1.0, 1.0))
    monkeypatch.setitem(EFFECT, "high_regu", (1.4, 0.97))
    write_study(tmp_path, table="table8")
    (general,) = (note for note in grid(ablation(load_study("table8", runs=tmp_path))).notes if "Student t" in note)
    assert "the spread its own; " in general


@pytest.mark.parametrize(
    ("against", "root"),
    [
        ({}, "plain"),
        ({"a": "b"}, "plain"),
        ({"a": "b", "b": "c"}, "plain"),
        ({"a": "a"}, "a"),
        ({"a": "b", "b": "b"}, "b"),
        ({"a": "b", "b": "c", "c": "a"}, "a"),
        ({"a": "plain", "plain": "b", "b": "b"}, "plain"),
    ],
)
def test_where_comparisons_end(against, root):
    rows = {name: ROW | {"against": against.get(name)} for name in ("plain", "a", "b", "c")}
    assert Table(title="", paper="", baseline="plain", seeds=[0], variants=rows).root("a") == root
