"""Damaged lines of a metrics.jsonl: named, passed over, and the whole ones are all there."""

import json
import logging

import pytest
from damage import DAMAGED_LINES
from run_folders import curve, write_run

from analysis.metric_points import parse_metrics
from analysis.runs import load_runs
from lic_exp.runs.listing import summarise
from lic_exp.runs.run import Run
from lic_exp.tracking.run_folder import RunFolder, encode_metrics

WHOLE = [{"step": step, "epoch": 0, "time": 1e9 + step, "val/rd_loss": 1 / step} for step in range(1, 6)]
WITHOUT_PLACE = [b'{"step": 2, "epoch": 0, "val/rd_loss": 1}', b'{"step": 2, "time": 1, "val/rd_loss": 1}']
HALVES = [
    (b'{"step": 2, "epoch": 0', b'"time": 1}'),
    (b'{"step": 2, "epoch": 0, "time": 1, "x": [{}', b"{}]}"),
    (b'{"step": 2, "epoch": 0, "time": 1},{"step": 3, "epoch": 0, "time": 2}', b"{"),
]
"""Lines that would be JSON together."""


def between(*damaged):
    """The whole lines, and after the second of them these."""
    lines = [encode_metrics(entry).strip().encode() for entry in WHOLE]
    return b"".join(line + b"\n" for line in [*lines[:2], *damaged, *lines[2:]])


@pytest.mark.parametrize("lines", [*((line,) for line in (*DAMAGED_LINES, *WITHOUT_PLACE)), *HALVES])
@pytest.mark.parametrize("wanted", [None, ["val/rd_loss"]])
def test_the_whole_lines_are_kept_and_the_others_counted(lines, wanted):
    points, damaged = parse_metrics(between(*lines), wanted)
    assert list(points.step) == [1, 2, 3, 4, 5]
    assert list(points.value) == [entry["val/rd_loss"] for entry in WHOLE]
    if wanted is None:
        assert [number for number, _ in damaged] == [3 + place for place in range(len(lines))]


@pytest.mark.parametrize("line", DAMAGED_LINES)
def test_every_reader_names_the_line_and_lists_the_run(tmp_path, line, caplog):
    for name in ("aa00", "ab00"):
        write_run(tmp_path / name, curve([3.0, 2.0]))
    (tmp_path / "aa00" / "metrics.jsonl").write_bytes(between(line) + b'{"step": 9, "ep')
    place = f"{tmp_path / 'aa00' / 'metrics.jsonl'}: 1 damaged line is passed over: line 3 ("
    for _ in range(2):  # the second time from the cache
        with caplog.at_level(logging.WARNING):
            read = load_runs(tmp_path)
        assert [record.getMessage().startswith(place) for record in caplog.records] == [True]
        caplog.clear()
        assert list(read.runs["state"]) == ["done", "done"]
        assert list(read.curve("aa00", "val/rd_loss")["step"]) == [1, 2, 3, 4, 5]
    assert list(Run(tmp_path / "aa00").metrics["step"]) == [1, 2, 3, 4, 5]
    assert [record.getMessage().startswith(place) for record in caplog.records] == [True]
    RunFolder(tmp_path / "aa00").status_file.write_text(json.dumps({"state": "running", "heartbeat": 1.0}))
    assert (summarise(tmp_path / "aa00").step, summarise(tmp_path / "aa00").best) == (5, 0.2)


def test_many_damaged_lines_are_counted(tmp_path, caplog):
    write_run(tmp_path / "aa00", curve([3.0]))
    (tmp_path / "aa00" / "metrics.jsonl").write_bytes(between(*[b"\0"] * 1000))
    load_runs(tmp_path)
    assert "1000 damaged lines are passed over: line 3 (" in caplog.text
    assert "and 995 more" in caplog.text
