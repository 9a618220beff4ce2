"""`rm`."""

import io
import json
from pathlib import Path

import pytest
from filelock import FileLock
from saying import said

from lic_exp import exit_codes
from lic_exp.__main__ import main


def test_rm_deletes_what_it_names_and_nothing_else(make_run, capsys):
    first, second, other = make_run("aaaa"), make_run("bbbb", "failed"), make_run("cccc")
    out = said(capsys, "rm", "aaaa", str(second), "aaaa", "--yes")
    assert out.splitlines()[-2:] == [f"removed {Path('runs/aaaa')}", f"removed {second}"]
    assert not first.exists()
    assert list(Path("runs").iterdir()) == [other.relative_to(Path.cwd())]


def test_rm_deletes_nothing_where_one_of_several_is_wrong(make_run, capsys):
    make_run("aaaa")
    assert main(["rm", "aaaa", "nosuch", "--yes"]) == exit_codes.CONFIG
    assert Path("runs/aaaa/config.yaml").exists()
    assert "no run nosuch" in capsys.readouterr().err


def test_rm_refuses_a_run_that_is_being_evaluated_or_trained(make_run, capsys):
    folder = make_run("aaaa")
    with FileLock(folder / ".lock"):
        assert main(["rm", "aaaa", "--yes"]) == exit_codes.BUSY
    assert "run aaaa is being evaluated by process" in capsys.readouterr().err
    make_run("bbbb", "running", host="elsewhere")
    assert main(["rm", "bbbb", "--yes"]) == exit_codes.BUSY
    assert "on elsewhere" in capsys.readouterr().err
    assert Path("runs/bbbb").exists()
    assert folder.exists()


def test_rm_without_a_terminal_needs_yes(make_run, capsys, monkeypatch):
    make_run("aaaa")
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert main(["rm", "aaaa"]) == exit_codes.CONFIG
    assert "--yes" in capsys.readouterr().err
    assert Path("runs/aaaa").exists()


@pytest.mark.parametrize(("answer", "stays"), [("n\n", True), ("\n", True), ("y\n", False)])
def test_rm_asks_on_a_terminal(make_run, monkeypatch, answer, stays):
    class Terminal:
        def isatty(self):
            return True

        def readline(self):
            return answer

    make_run("aaaa")
    monkeypatch.setattr("sys.stdin", Terminal())
    assert main(["rm", "aaaa"]) == exit_codes.DONE
    assert Path("runs/aaaa").exists() == stays


def test_rm_warns_of_children_that_stay(make_run, capsys):
    make_run("aaaa")
    make_run("bbbb", parent="aaaa")
    make_run("cccc", "preempted", parent="aaaa")
    out = said(capsys, "rm", "aaaa", "bbbb", "--yes")
    assert "warning: run cccc (preempted) extends aaaa" in out
    assert "warning: run bbbb" not in out


@pytest.mark.parametrize(
    ("state", "said_of_it"),
    [("done", "it is finished and keeps its own files"), ("preempted", "it could not be started over")],
)
def test_rm_warns_of_what_starts_from_its_weights(make_run, capsys, state, said_of_it):
    parent, child = make_run("aaaa"), make_run("bbbb", state)
    config = child / "config.yaml"
    config.write_text(config.read_text().replace("init_from: null", "init_from: 'aaaa'"))
    sweep = Path("runs/.sweeps/chain-00000000")
    (sweep / "cells").mkdir(parents=True)
    cells = [{"signature": name, "label": f"cell {name}", "parent": "aaaa"} for name in ("bbbb", "cccc")]
    manifest = {"cells": [{"signature": "aaaa", "label": "first"}, *cells]}
    (sweep / "manifest.json").write_text(json.dumps(manifest))
    out = said(capsys, "rm", "aaaa", "--yes")
    assert f"warning: run bbbb ({state}) starts from the weights of aaaa; {said_of_it}" in out
    assert "warning: cell cell cccc of sweep chain-00000000 has not begun, and starts from the weights of aaaa" in out
    assert out.count("warning") == 2
    assert not parent.exists()


def test_rm_touches_no_folder_that_is_no_run(make_run, tmp_path, capsys):
    make_run("aaaa")
    elsewhere = tmp_path / "conf"
    elsewhere.mkdir()
    (elsewhere / "config.yaml").touch()
    (tmp_path / "runs" / "linked").symlink_to(elsewhere)
    for words in (["rm", "conf"], ["rm", "--runs", str(tmp_path), "conf"], ["rm", "linked"]):
        assert main([*words, "--yes"]) == exit_codes.CONFIG
    assert (elsewhere / "config.yaml").exists()
