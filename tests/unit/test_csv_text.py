"""Tables hold what was put in them, and nothing that a spreadsheet would compute."""

import csv
import io
import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.curve_files import Curve, write_curves
from lic_exp.csv_text import csv_text, field_text, frame_text, records_text, text_field
from lic_exp.evaluation.unfinished import KeptRows
from lic_exp.runs.run import Run
from lic_exp.text import visible
from lic_exp.tracking.tables import parse_table

FORMULAS = ("=1+1", "@SUM(A1)", "+cmd|' /C calc'!A0", "-2+3", "\t=1", "\r=1", " =1", "＝1", "'=1", "-1_000", "=a,b\n=c")


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_is_text_and_reads_back(text):
    written = csv_text([[text, -3.2, None, True], ["plain", "-3.2", "", 7]])
    (first, *numbers), second = csv.reader(io.StringIO(written, newline=""))
    assert first == (f"'{visible(text)}" if text[0] not in "\t\r" else visible(text))
    assert field_text(first) == visible(text)
    assert (numbers, second) == (["-3.2", "", "True"], ["plain", "-3.2", "", "7"])


@pytest.mark.parametrize("value", [-3.2, 1e-300, math.inf, -math.inf, "-3.2", "+1e5", "-inf", "nan", "-.5", -7])
def test_a_number_stays_one(value):
    assert text_field(value) is value or text_field(value) == value
    assert float(next(csv.reader([csv_text([[value]])]))[0]) == float(value) or value == "nan"


@given(st.text())
def test_what_is_written_is_read(text):
    assert field_text(text_field(text)) == visible(text)
    assert text_field(text).isprintable()


@pytest.mark.parametrize("name", FORMULAS)
def test_in_all_that_writes_tables(name, tmp_path):
    frame = pd.DataFrame(
        [{"image": name, "bpp": -0.5, "exact": True}, {"image": "NA", "bpp": math.nan, "exact": False}]
    )
    texts = [frame_text(frame), records_text(frame.to_dict("records"))]
    with KeptRows(tmp_path) as kept:
        kept.add(frame.to_dict("records"))
    texts.append(kept.path.read_text())
    for text in texts:
        rows = list(csv.reader(io.StringIO(text, newline="")))
        assert [row[0] for row in rows] == ["image", text_field(name), "NA"]
        assert parse_table("images.csv", text)[1][0] == visible(name)
    assert "-0.5" in rows[1]
    (tmp_path / "run" / "eval").mkdir(parents=True)
    (tmp_path / "run" / "eval" / "images.csv").write_text(texts[0], newline="")
    (tmp_path / "run" / "status.json").write_text("{}")
    assert list(Run(tmp_path / "run").evaluation["image"]) == [visible(name), "NA"]


def test_names_of_columns_and_of_curves(tmp_path):
    frame = pd.DataFrame({"=key": ["=a"], "mean": [-1.23456789]})
    assert frame_text(frame, "%.3g") == "'=key,mean\n'=a,-1.23\n"
    curve = Curve("=cmd()", {"bpp": (0.5, 1.0), "psnr": (30.0, 32.0)}, "", {"dataset": "@d", "source": {"repo": "-r"}})
    write_curves(tmp_path / "a.csv", [curve])
    rows = list(csv.reader(io.StringIO((tmp_path / "a.csv").read_text())))
    assert rows[1] == ["'=cmd()", "'@d", "0.5", "30.0", "", "", "'-r"]
