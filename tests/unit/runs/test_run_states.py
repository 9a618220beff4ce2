"""The states of runs as people see them, from run folders made by hand: no training, no torch."""

import os
import re
import socket
import time
from pathlib import Path

import pandas as pd
import pytest
from checkout import ROOT
from made_runs import gone_process

import lic_exp
from lic_exp import exit_codes
from lic_exp.config.errors import ConfigError
from lic_exp.runs.listing import summaries, summarise
from lic_exp.runs.run import SHOWN_STATES, find_run, shown_state
from lic_exp.tracking.kinds import STATES
from lic_exp.tracking.run_folder import DEAD_AFTER_S, encode_metrics


def test_a_running_run_is_dead_once_its_process_is_gone(make_run):
    alive, gone = make_run("aa", "running"), make_run("bb", "running", pid=gone_process())
    assert find_run(str(alive)).state == "running"
    assert find_run(str(gone)).state == "dead"


def test_a_running_run_is_dead_once_it_is_silent_wherever_it_is():
    elsewhere = {"state": "running", "host": "elsewhere", "pid": gone_process(), "heartbeat": time.time()}
    assert shown_state(elsewhere) == "running", "its process cannot be seen from here"
    assert shown_state(elsewhere | {"heartbeat": time.time() - DEAD_AFTER_S - 1}) == "dead"
    assert shown_state({**elsewhere, "host": socket.gethostname(), "pid": os.getpid(), "heartbeat": 0}) == "dead"


@pytest.mark.parametrize("state", sorted(set(STATES) - {"running"}))
def test_other_states_are_shown_as_they_are(state):
    assert shown_state({"state": state, "heartbeat": 0}) == state


def test_no_status_yet_and_a_damaged_one(make_run):
    fresh, damaged = make_run("aa"), make_run("bb")
    (fresh / "status.json").unlink()
    (damaged / "status.json").write_text("{")
    assert summarise(fresh).state == "created"
    assert summarise(damaged).state == "unreadable"
    assert "status.json cannot be read" in summarise(damaged).reason


def documented(heading):
    """The first column of the table under a heading of docs/states.md, code marks taken off."""
    text = (ROOT / "docs/states.md").read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `([^`]+)` \| .+ \| .+ \|$", text, flags=re.MULTILINE)


def test_the_documented_states_are_those_that_are_shown():
    assert sorted(documented("States")) == sorted(SHOWN_STATES)
    assert set(SHOWN_STATES) == {*STATES, "dead", "unreadable", "newer"}


def test_the_documented_exit_codes_are_those_that_there_are():
    ours = {value for name, value in vars(exit_codes).items() if name.isupper()}
    by_signal = {130, 137, 143}
    assert sorted(int(code) for code in documented("Exit codes")) == sorted(ours | by_signal)


def test_a_running_runs_progress_comes_from_its_metrics(make_run):
    folder = make_run("aaaa", "running", step=3, best=None)
    entries = [{"step": 10, "val/rd_loss": 5.0}, {"step": 20, "val/rd_loss": 7.0}, {"step": 25, "train/loss": 1.0}]
    (folder / "metrics.jsonl").write_text("".join(map(encode_metrics, entries)) + '{"step": 30, "val/rd')
    found = summarise(folder)
    assert (found.step, found.best) == (25, 5.0)


def test_runs_as_a_data_frame(make_run):
    make_run("aaaa", name="x", parent="bbbb")
    frame = lic_exp.list_runs("runs")
    assert isinstance(frame, pd.DataFrame)
    (row,) = frame.to_dict("records")
    expected = {"signature": "aaaa", "name": "x", "state": "done", "step": 200, "max_steps": 500, "best": 1.25}
    assert row.items() >= (expected | {"model": "MeanScaleHyperprior", "attempts": 2, "parent": "bbbb"}).items()
    assert row["bytes"] == sum(path.stat().st_size for path in Path("runs").rglob("*") if path.is_file())


def test_no_runs_are_an_empty_data_frame_with_columns(tmp_path):
    assert {"signature", "state"} <= set(lic_exp.list_runs(tmp_path).columns)
    with pytest.raises(ConfigError, match="there is no folder"):
        lic_exp.list_runs(tmp_path / "nosuch")


def test_what_only_looks_like_a_run_is_none(make_run):
    make_run("aaaa")
    (Path("runs") / ".hydra").mkdir()
    (Path("runs") / ".hydra" / "config.yaml").touch()
    assert [run.signature for run in summaries("runs")] == ["aaaa"]
