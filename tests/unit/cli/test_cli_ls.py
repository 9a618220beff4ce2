"""`ls`."""

import json
import time

import pytest
from made_runs import gone_process
from saying import said

from lic_exp import exit_codes
from lic_exp.__main__ import main
from lic_exp.api import list_runs
from lic_exp.runs.code_hash import KIND
from lic_exp.runs.run import Run


def test_ls_shows_runs_latest_last(make_run, capsys):
    make_run("aaaaaaaaaaaaaaaa", name="newer", started=time.time() - 90)
    make_run(
        "bbbbbbbbbbbbbbbb",
        "failed",
        reason="RuntimeError: no\nsecond line",
        started=time.time() - 7200,
        best=float("inf"),
    )
    title, older, newer, why, total = said(capsys, "ls").splitlines()
    assert older.split() == [
        "bbbbbbbb",
        "failed",
        "unknown",
        "200/500",
        "MeanScaleHy…",
        "IntraScale",
        "2",
        "h",
        *older.split()[-2:],
    ]
    assert newer.split()[:6] == ["aaaaaaaa", "newer", "done", "unknown", "200/500", "1.2500"]
    assert "1 min" in newer
    assert title.split() == ["run", "name", "state", "code", "step", "rd_loss", "model", "reg", "age", "size"]
    assert why == "bbbbbbbb failed: RuntimeError: no"
    assert total.startswith("2 runs in runs, ")


@pytest.mark.parametrize("width", [100, 160])
def test_ls_fits_its_terminal(make_run, capsys, monkeypatch, width):
    make_run("a" * 16, "preempted", name="a rather long label of a run", step=123456, max_steps=1500000, best=123.4567)
    make_run("b" * 16, "preempted", name="another", step=1, max_steps=1500000)
    out = said(capsys, "ls", width=width, monkeypatch=monkeypatch)
    assert max(map(len, out.splitlines())) <= width
    assert "123456/1500000" in out
    assert "123.4567" in out
    assert ("tries" in out) == (width == 160)


def test_ls_gives_more_digits_where_runs_are_alike(make_run, capsys):
    make_run("aaaaaaaaaa111111")
    make_run("aaaaaaaaaa222222")
    out = said(capsys, "ls")
    assert "aaaaaaaaaa1 " in out
    assert "aaaaaaaaaa2 " in out


def test_ls_by_state(make_run, capsys):
    make_run("aaaa")
    make_run("bbbb", "failed")
    make_run("cccc", "running", pid=gone_process())
    out = said(capsys, "ls", "--state", "failed,dead")
    assert "aaaa" not in out
    assert "bbbb" in out
    assert "cccc" in out
    assert "2 of 3 runs in runs" in out
    assert main(["ls", "--state", "finished"]) == exit_codes.CONFIG
    assert "there is no state 'finished'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("code", "said_of_it"), [(f"{KIND}0123", "1 of these is stale"), ("0123", "; 1 of unknown code")]
)
def test_ls_says_which_runs_other_code_has_made(make_run, capsys, code, said_of_it):
    run = Run(make_run("aaaa"))
    run.files.update_status(code=[code])
    make_run("bbbb", "created")
    out = said(capsys, "ls")
    assert said_of_it in out
    assert ("stale" in out) is code.startswith(KIND)
    row = next(line for line in out.splitlines() if line.startswith("aaaa")).split()
    assert row[2] == run.code
    assert run.code in set(list_runs("runs")["code"])


LABELS = {
    "a" * 16: "spectral_reg=none, spectral_reg.truncation_length=0.25, criterion.lmbda=0.0018, seed=0",
    "b" * 16: "spectral_reg=intra, criterion.lmbda=0.0483, seed=11",
}


@pytest.mark.parametrize("command", ["ls", "status", "show bbbb"])
@pytest.mark.parametrize("width", [100, 160])
def test_labels_are_the_same_and_never_cut(make_run, capsys, monkeypatch, command, width):
    cells = [{"signature": name, "label": label, "role": {}} for name, label in LABELS.items()]
    for name in LABELS:
        folder = make_run(name, "preempted", step=1, max_steps=1500000)
    for sweep, made in (("later-2", "2026-11-02"), ("older-1", "2026-11-01")):
        place = folder.parent / ".sweeps" / sweep
        place.mkdir(parents=True)
        older = [cell | {"label": "another"} for cell in cells]
        kept = {"made": made, "cells": cells if sweep == "later-2" else older}
        (place / "manifest.json").write_text(json.dumps(kept))
    out = said(capsys, *command.split(), width=width, monkeypatch=monkeypatch)
    assert max(map(len, out.splitlines())) <= width
    for label in list(LABELS.values())[command.startswith("show") :]:
        for part in label.split(" "):
            assert any(part in line.split() for line in out.splitlines()), part
    assert "another" not in out
