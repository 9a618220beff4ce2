"""`gc`."""

import io
import json
import os
import re
from pathlib import Path

import pytest
from filelock import FileLock
from saying import said

from lic_exp import exit_codes
from lic_exp.__main__ import main
from lic_exp.config.errors import ConfigError
from lic_exp.runs import cleaning
from lic_exp.runs.cleaning import find_litter, remove_litter
from lic_exp.runs.listing import bytes_in
from lic_exp.text import size_text


@pytest.fixture
def littered(make_run):
    """Runs of every kind with something to remove, and something to keep."""
    done = make_run("a" * 16)
    (done / ".lock").touch()
    (done / ".status.json.123.tmp").write_bytes(b"x" * 10)
    make_run("b" * 16, "failed", files=())
    make_run("c" * 16, "failed")
    make_run("d" * 16, "preempted")
    make_run("e" * 16, "running", files=("step_00000100.pt", ".step_00000200.pt.9.tmp"))
    make_run("f" * 16, "created", files=())
    old = Path("runs") / ("0" * 16)
    (old / "checkpoints").mkdir(parents=True)
    os.utime(old, (0, 0))
    (Path("runs") / ("1" * 16)).mkdir()
    half = Path("runs/.dddd.removed")
    half.mkdir()
    (half / "file").write_bytes(b"x" * 7)
    return Path("runs")


def tree(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_gc_removes_what_nobody_needs_and_keeps_the_rest(littered, capsys):
    before, size = tree(littered), bytes_in(littered)
    out = said(capsys, "gc", "--yes")
    a, b = "a" * 16, "b" * 16
    gone = {f"{a}/.lock", f"{a}/.status.json.123.tmp", f"{a}/checkpoints/step_00000100.pt", ".dddd.removed/file"}
    gone |= {f"{b}/config.yaml", f"{b}/status.json"}
    assert before - tree(littered) == gone
    assert not (littered / ("0" * 16)).exists()
    assert (littered / ("1" * 16)).exists(), "a run may be about to begin there"
    assert out.splitlines()[-1] == f"removed {size_text(size - bytes_in(littered))}"
    assert said(capsys, "gc", "--yes") == "nothing to remove in runs\n"


def test_gc_on_trial_removes_nothing(littered, capsys):
    before = tree(littered)
    out = said(capsys, "gc", "--dry-run")
    assert tree(littered) == before
    for kind in ("step checkpoints of a finished run", "left-over temporary files", "before its first checkpoint"):
        assert kind in out
    assert re.search(r"^total +6 +\d", out, flags=re.MULTILINE)


def test_gc_without_a_terminal_needs_yes(littered, capsys, monkeypatch):
    before = tree(littered)
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert main(["gc"]) == exit_codes.CONFIG
    assert "--yes" in capsys.readouterr().err
    assert tree(littered) == before


def test_gc_of_last_checkpoints_keeps_what_a_child_still_needs(make_run, capsys):
    parent, other, lost = make_run("aaaa"), make_run("bbbb"), make_run("cccc", files=("step_00000100.pt",))
    make_run("dddd", "preempted", parent="aaaa")
    said(capsys, "gc", "--no-keep-last", "--yes")
    assert [path.name for path in (parent / "checkpoints").glob("step*")] == ["step_00000200.pt"]
    assert [path.name for path in (other / "checkpoints").iterdir()] == ["best.pt"]
    assert [path.name for path in (lost / "checkpoints").iterdir()] == ["step_00000100.pt"], "its only weights"


@pytest.mark.parametrize(
    ("option", "kept"),
    [("--keep-last", ["step_00000100.pt", "step_00000200.pt"]), ("--no-keep-last", ["step_00000100.pt"])],
)
def test_gc_keeps_the_checkpoint_that_an_unfinished_branch_begins_at(make_run, capsys, option, kept):
    trunk = make_run("aaaa", files=("best.pt", "step_00000050.pt", "step_00000100.pt", "step_00000200.pt"))
    branch = make_run("dddd", "preempted", parent="aaaa")
    config = (branch / "config.yaml").read_text()
    assert "\nparent_step: null\n" in config
    (branch / "config.yaml").write_text(config.replace("parent_step: null", "parent_step: 100"))
    said(capsys, "gc", option, "--yes")
    assert [path.name for path in sorted((trunk / "checkpoints").glob("step*"))] == kept


def test_gc_leaves_a_run_alone_that_has_just_begun(make_run, capsys):
    folder = make_run("aaaa", "failed", files=())
    with FileLock(folder / ".lock"):
        assert main(["gc", "--yes"]) == exit_codes.DONE
    assert "left alone: run aaaa is being trained" in capsys.readouterr().err
    assert (folder / "config.yaml").exists()


def test_gc_looks_again_at_a_run_that_was_begun_anew_meanwhile(make_run, capsys):
    """What it listed of a done run is what the training needs that began between the list and the lock."""
    done, failed = make_run("a" * 16), make_run("b" * 16, "failed", files=())
    litter = find_litter("runs", keep_last=False)
    assert {item.run.name for item in litter} == {done.name, failed.name}
    for run in (done, failed):
        status = json.loads((run / "status.json").read_text())
        (run / "status.json").write_text(json.dumps(status | {"state": "preempted"}))
    before, said = tree(Path("runs")), []
    remove_litter(litter, said.append)
    assert before - tree(Path("runs")) <= {f"{run.name}/.lock" for run in (done, failed)}
    assert said == [f"run {failed.name} was taken by another process meanwhile"]


@pytest.mark.parametrize("error", [ConfigError(["paths.runs: no"]), PermissionError(13, "Permission denied", "no")])
def test_gc_of_a_run_that_cannot_be_written_to_goes_on_with_the_others(littered, error, monkeypatch, capsys):
    lock = cleaning.run_lock

    def locked(run):
        if run.root.name == "a" * 16:
            raise error
        return lock(run)

    monkeypatch.setattr(cleaning, "run_lock", locked)
    assert main(["gc", "--yes"]) == exit_codes.FAILED
    out = capsys.readouterr()
    assert re.search(r"^not removed: .*no", out.err, flags=re.MULTILINE)
    assert "removed " in out.out
    assert (littered / ("a" * 16) / ".lock").exists()
    assert not (littered / ("b" * 16)).exists()
    assert not (littered / ".dddd.removed").exists()


def test_gc_that_removes_nothing_says_so_by_its_exit_code(make_run, monkeypatch, capsys):
    def locked(run):
        raise ConfigError(["paths.runs: no"])

    make_run("a" * 16)
    monkeypatch.setattr(cleaning, "run_lock", locked)
    assert main(["gc", "--yes"]) == exit_codes.CONFIG
    assert capsys.readouterr().err == "paths.runs: no\n"
