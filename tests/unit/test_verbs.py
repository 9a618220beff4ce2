"""The verbs on run folders made by hand: no training, no torch."""

import io
import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml
from checkout import ROOT
from commands import HEAVY, finish, start
from filelock import FileLock
from rich.console import Console

import lic_exp
from lic_exp.__main__ import main
from lic_exp.launching import exit_codes, summary, verbs_doctor
from lic_exp.launching.compose import compose
from lic_exp.launching.errors import ConfigError
from lic_exp.launching.listing import bytes_in, summaries, summarise
from lic_exp.launching.overrides import parse
from lic_exp.launching.run import SHOWN_STATES, find_run, shown_state
from lic_exp.launching.validation import validate
from lic_exp.launching.verbs import age_text, size_text
from lic_exp.tracking.run_folder import DEAD_AFTER_S, STATES, encode_metrics

VERBS = ("launch", "ls", "show", "eval", "extend", "export", "rm", "gc", "doctor")


@pytest.fixture(scope="module")
def config():
    return validate(
        compose(parse(["model=mean_scale_hyperprior_tiny", "spectral_reg=intra", "optimizer.lr=3e-4", "tracker=none"]))
    )


@pytest.fixture
def make(tmp_path, config, monkeypatch):
    """Makes a run folder in ./runs, which a fresh working folder holds."""
    monkeypatch.chdir(tmp_path)

    def made(signature, state="done", *, files=("best.pt", "step_00000100.pt", "step_00000200.pt"), **status):
        folder = tmp_path / "runs" / signature
        (folder / "checkpoints").mkdir(parents=True)
        (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
        now = {"heartbeat": time.time(), "started": time.time() - 90, "host": socket.gethostname(), "pid": os.getpid()}
        shown = {"state": state, "step": 200, "max_steps": 500, "best": 1.25, "attempt": 2, "name": None}
        (folder / "status.json").write_text(json.dumps(now | shown | status))
        for name in files:
            (folder / "checkpoints" / name).write_bytes(b"x" * 1000)
        return folder

    return made


def gone_process():
    """The number of a process that has ended."""
    return subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    ).stdout


# States


def test_a_running_run_is_dead_once_its_process_is_gone(make):
    alive, gone = make("aa", "running"), make("bb", "running", pid=int(gone_process()))
    assert find_run(str(alive)).state == "running"
    assert find_run(str(gone)).state == "dead"


def test_a_running_run_is_dead_once_it_is_silent_wherever_it_is():
    elsewhere = {"state": "running", "host": "elsewhere", "pid": int(gone_process()), "heartbeat": time.time()}
    assert shown_state(elsewhere) == "running", "its process cannot be seen from here"
    assert shown_state(elsewhere | {"heartbeat": time.time() - DEAD_AFTER_S - 1}) == "dead"
    assert shown_state({**elsewhere, "host": socket.gethostname(), "pid": os.getpid(), "heartbeat": 0}) == "dead"


@pytest.mark.parametrize("state", sorted(set(STATES) - {"running"}))
def test_other_states_are_shown_as_they_are(state):
    assert shown_state({"state": state, "heartbeat": 0}) == state


def test_no_status_yet_and_a_damaged_one(make):
    fresh, damaged = make("aa"), make("bb")
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
    assert set(SHOWN_STATES) == {*STATES, "dead", "unreadable"}


def test_the_documented_exit_codes_are_those_that_there_are():
    ours = {value for name, value in vars(exit_codes).items() if name.isupper()}
    by_signal = {130, 137, 143}
    assert sorted(int(code) for code in documented("Exit codes")) == sorted(ours | by_signal)


# The command itself


def test_without_a_verb_every_verb_is_listed(capsys):
    assert main([]) == exit_codes.DONE
    listed = capsys.readouterr().out
    for verb in VERBS:
        assert re.search(rf"^ +{verb}  +\w+", listed, flags=re.MULTILINE)


def test_a_misspelt_verb(capsys):
    assert main(["shwo", "abc"]) == exit_codes.CONFIG
    said = capsys.readouterr().err
    assert said.startswith("there is no verb shwo. Did you mean show? Verbs: launch, ls, show, ")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    "words", ["show RUN", "eval RUN", "export RUN", "extend RUN trainer.max_steps=9", "rm RUN --yes"]
)
@pytest.mark.parametrize("run", ["nosuch", "/nosuch/run", "[x", ""])
def test_a_wrong_run_is_one_line_and_exit_code_2(make, words, run, capsys):
    make("abcd")
    assert main([word.replace("RUN", run) if word == "RUN" else word for word in words.split()]) == exit_codes.CONFIG
    assert capsys.readouterr().err == (f"there is no run {run} in runs, nor a run folder of that path. It has: abcd\n")


@pytest.mark.parametrize("verb", ["ls", "gc"])
def test_a_wrong_folder_of_runs(verb, tmp_path, capsys):
    assert main([verb, "--runs", str(tmp_path / "nosuch")]) == exit_codes.CONFIG
    assert f"there is no folder {tmp_path}/nosuch" in capsys.readouterr().err


def test_listing_showing_and_deleting_load_nothing_heavy(make, tmp_path):
    make("abcd")
    code = f"""
import sys
from lic_exp.__main__ import main
for line in (["ls"], ["show", "abcd"], ["gc", "--yes"], ["rm", "abcd", "--yes"]):
    assert main(line) == 0, line
print("LOADED", [name for name in {HEAVY!r} if name in sys.modules])
"""
    done = finish(start("-c", code, folder=tmp_path))
    assert done.stdout.endswith("LOADED []\n"), done.stderr
    assert not list((tmp_path / "runs").iterdir())


@pytest.mark.parametrize("line", [["show", "abcd"], ["rm", "abcd", "--yes"]])
def test_a_reader_that_leaves_gets_no_traceback(make, tmp_path, line):
    """One prints by rich, one without."""
    make("abcd")
    with start("-m", "lic_exp", *line, folder=tmp_path) as process:
        process.stdout.close()
        process.wait(timeout=60)
        assert process.stderr.read() == ""


# ls


def said(capsys, *arguments, width=None, monkeypatch=None):
    if width:
        monkeypatch.setattr(summary, "console_for", lambda file: Console(file=file, width=width))
    assert main(list(arguments)) == exit_codes.DONE
    return capsys.readouterr().out


def test_ls_shows_runs_latest_last(make, capsys):
    make("aaaaaaaaaaaaaaaa", name="newer", started=time.time() - 90)
    make(
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
        "200/500",
        "MeanScaleHyperp…",
        "IntraScale",
        "2",
        "h",
        *older.split()[-2:],
    ]
    assert newer.split()[:5] == ["aaaaaaaa", "newer", "done", "200/500", "1.2500"]
    assert "1 min" in newer
    assert title.split() == ["run", "name", "state", "step", "rd_loss", "model", "reg", "age", "size"]
    assert why == "bbbbbbbb failed: RuntimeError: no"
    assert total.startswith("2 runs in runs, ")


@pytest.mark.parametrize("width", [100, 160])
def test_ls_fits_its_terminal(make, capsys, monkeypatch, width):
    make("a" * 16, "preempted", name="a rather long label of a run", step=123456, max_steps=1500000, best=123.4567)
    make("b" * 16, "preempted", name="another", step=1, max_steps=1500000)
    out = said(capsys, "ls", width=width, monkeypatch=monkeypatch)
    assert max(map(len, out.splitlines())) <= width
    assert "123456/1500000" in out
    assert "123.4567" in out
    assert ("tries" in out) == (width == 160)


def test_ls_gives_more_digits_where_runs_are_alike(make, capsys):
    make("aaaaaaaaaa111111")
    make("aaaaaaaaaa222222")
    out = said(capsys, "ls")
    assert "aaaaaaaaaa1 " in out
    assert "aaaaaaaaaa2 " in out


def test_ls_by_state(make, capsys):
    make("aaaa")
    make("bbbb", "failed")
    make("cccc", "running", pid=int(gone_process()))
    out = said(capsys, "ls", "--state", "failed,dead")
    assert "aaaa" not in out
    assert "bbbb" in out
    assert "cccc" in out
    assert "2 of 3 runs in runs" in out
    assert main(["ls", "--state", "finished"]) == exit_codes.CONFIG
    assert "there is no state 'finished'" in capsys.readouterr().err


def test_a_running_runs_progress_comes_from_its_metrics(make):
    folder = make("aaaa", "running", step=3, best=None)
    entries = [{"step": 10, "val/rd_loss": 5.0}, {"step": 20, "val/rd_loss": 7.0}, {"step": 25, "train/loss": 1.0}]
    (folder / "metrics.jsonl").write_text("".join(map(encode_metrics, entries)) + '{"step": 30, "val/rd')
    found = summarise(folder)
    assert (found.step, found.best) == (25, 5.0)


def test_runs_as_a_data_frame(make):
    make("aaaa", name="x", parent="bbbb")
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


def test_what_only_looks_like_a_run_is_none(make):
    make("aaaa")
    (Path("runs") / ".hydra").mkdir()
    (Path("runs") / ".hydra" / "config.yaml").touch()
    assert [run.signature for run in summaries("runs")] == ["aaaa"]


# show


def test_show_tells_the_whole_story(make, capsys):
    folder = make(
        "aaaa", "failed", reason="RuntimeError: it broke\nin two lines", device="cpu", name="label", parent="cccc"
    )
    make("bbbb", parent="aaaa")
    (folder / "metrics.jsonl").write_text(
        encode_metrics({"step": 100, "epoch": 1, "time": 1.0, "train/loss": 2.5, "val/rd_loss": 3.5})
        + encode_metrics({"step": 200, "epoch": 2, "time": 2.0, "train/loss": 1.5})
    )
    (folder / "run.log").write_text("".join(f"line {number}\n" for number in range(40)))
    (folder / "eval").mkdir()
    evaluation = {"mean": {"bpp": 0.5, "ms_ssim": None}, "exact": False, "mismatches": ["a"]}
    (folder / "eval" / "evaluation.json").write_text(json.dumps(evaluation))
    environment = {"git_commit": "deadbeef", "git_dirty": True, "packages": {"torch": "2.9"}, "overrides": ["seed=0"]}
    (folder / "environment.json").write_text(json.dumps(environment))
    out = said(capsys, "show", "aaaa")
    told = {key: text.strip() for key, text in re.findall(r"^(\S+(?: \S+)*)  +(.+)$", out, flags=re.MULTILINE)}
    assert told["state"] == "failed"
    assert told["reason"] == "RuntimeError: it broke"
    assert "in two lines" in out
    assert told["step"] == "200 of 500"
    assert told["extends"] == "cccc"
    assert told["extended by"] == "bbbb (done, step 200 of 500)"
    assert told["train/loss"] == "1.5  (step 200)"
    assert told["val/rd_loss"] == "3.5  (step 100)"
    assert told["eval"] == "bpp 0.5  decoding DIFFERS on 1 images"
    assert told["checkpoints/best.pt"] == "1.0 kB"
    assert told["git commit"] == "deadbeef, with uncommitted changes: git.diff"
    assert told["torch"] == "2.9"
    assert "line 39" in out
    assert "line 20" not in out


def test_show_names_only_the_keys_that_differ(make, capsys):
    make("aaaa")
    out = said(capsys, "show", "aaaa").split("differs from the defaults\n")[1].split("\n\n")[0]
    assert "optimizer.lr " in out
    assert "0.0003  (default: 0.002)" in out
    assert "spectral_reg.tau_init " in out
    assert not re.search(r"^(seed|optimizer\.aux_lr|data\.\w+) ", out, flags=re.MULTILINE)


def test_show_of_a_run_whose_files_are_damaged(make, capsys):
    folder = make("aaaa")
    for name in ("status.json", "environment.json", "metrics.jsonl"):
        (folder / name).write_text("{\n")
    out = said(capsys, "show", "aaaa")
    assert "unreadable" in out
    assert out.count("is damaged") == 2
    (folder / "config.yaml").write_text("a: [")
    assert main(["show", "aaaa"]) == exit_codes.CONFIG


def test_a_run_is_shown_from_inside_its_folder(make, capsys, monkeypatch):
    monkeypatch.chdir(make("aaaa"))
    assert said(capsys, "show", ".").startswith("run aaaa in ")


# rm


def test_rm_deletes_what_it_names_and_nothing_else(make, capsys):
    first, second, other = make("aaaa"), make("bbbb", "failed"), make("cccc")
    out = said(capsys, "rm", "aaaa", str(second), "aaaa", "--yes")
    assert out.splitlines()[-2:] == [f"removed {Path('runs/aaaa')}", f"removed {second}"]
    assert not first.exists()
    assert list(Path("runs").iterdir()) == [other.relative_to(Path.cwd())]


def test_rm_deletes_nothing_where_one_of_several_is_wrong(make, capsys):
    make("aaaa")
    assert main(["rm", "aaaa", "nosuch", "--yes"]) == exit_codes.CONFIG
    assert Path("runs/aaaa/config.yaml").exists()
    assert "no run nosuch" in capsys.readouterr().err


def test_rm_refuses_a_run_that_is_being_trained(make, capsys):
    folder = make("aaaa")
    with FileLock(folder / ".lock"):
        assert main(["rm", "aaaa", "--yes"]) == exit_codes.BUSY
    assert "run aaaa is being trained by process" in capsys.readouterr().err
    make("bbbb", "running", host="elsewhere")
    assert main(["rm", "bbbb", "--yes"]) == exit_codes.BUSY
    assert "on elsewhere" in capsys.readouterr().err
    assert Path("runs/bbbb").exists()
    assert folder.exists()


def test_rm_without_a_terminal_needs_yes(make, capsys, monkeypatch):
    make("aaaa")
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert main(["rm", "aaaa"]) == exit_codes.CONFIG
    assert "--yes" in capsys.readouterr().err
    assert Path("runs/aaaa").exists()


@pytest.mark.parametrize(("answer", "stays"), [("n\n", True), ("\n", True), ("y\n", False)])
def test_rm_asks_on_a_terminal(make, monkeypatch, answer, stays):
    class Terminal:
        def isatty(self):
            return True

        def readline(self):
            return answer

    make("aaaa")
    monkeypatch.setattr("sys.stdin", Terminal())
    assert main(["rm", "aaaa"]) == exit_codes.DONE
    assert Path("runs/aaaa").exists() == stays


def test_rm_warns_of_children_that_stay(make, capsys):
    make("aaaa")
    make("bbbb", parent="aaaa")
    make("cccc", "preempted", parent="aaaa")
    out = said(capsys, "rm", "aaaa", "bbbb", "--yes")
    assert "warning: run cccc (preempted) extends aaaa" in out
    assert "warning: run bbbb" not in out


def test_rm_touches_no_folder_that_is_no_run(make, tmp_path, capsys):
    make("aaaa")
    elsewhere = tmp_path / "conf"
    elsewhere.mkdir()
    (elsewhere / "config.yaml").touch()
    (tmp_path / "runs" / "linked").symlink_to(elsewhere)
    for words in (["rm", "conf"], ["rm", "--runs", str(tmp_path), "conf"], ["rm", "linked"]):
        assert main([*words, "--yes"]) == exit_codes.CONFIG
    assert (elsewhere / "config.yaml").exists()


# gc


@pytest.fixture
def littered(make):
    """Runs of every kind with something to remove, and something to keep."""
    done = make("a" * 16)
    (done / ".lock").touch()
    (done / ".status.json.123.tmp").write_bytes(b"x" * 10)
    make("b" * 16, "failed", files=())
    make("c" * 16, "failed")
    make("d" * 16, "preempted")
    make("e" * 16, "running", files=("step_00000100.pt", ".step_00000200.pt.9.tmp"))
    make("f" * 16, "created", files=())
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


def test_gc_of_last_checkpoints_keeps_what_a_child_still_needs(make, capsys):
    parent, other, lost = make("aaaa"), make("bbbb"), make("cccc", files=("step_00000100.pt",))
    make("dddd", "preempted", parent="aaaa")
    said(capsys, "gc", "--no-keep-last", "--yes")
    assert [path.name for path in (parent / "checkpoints").glob("step*")] == ["step_00000200.pt"]
    assert [path.name for path in (other / "checkpoints").iterdir()] == ["best.pt"]
    assert [path.name for path in (lost / "checkpoints").iterdir()] == ["step_00000100.pt"], "its only weights"


def test_gc_leaves_a_run_alone_that_has_just_begun(make, capsys):
    folder = make("aaaa", "failed", files=())
    with FileLock(folder / ".lock"):
        assert main(["gc", "--yes"]) == exit_codes.DONE
    assert "left alone: run aaaa is being trained" in capsys.readouterr().err
    assert (folder / "config.yaml").exists()


# doctor


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A PATH of one empty folder, to put commands into."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("CXX", raising=False)

    def add(name):
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)

    return add


def test_doctor_says_what_is_there(tmp_path, monkeypatch, capsys):
    findings = {"first": verbs_doctor.ok("fine"), "second": verbs_doctor.warning("[hm]")}
    monkeypatch.setattr(verbs_doctor, "checks", lambda runs: {k: lambda v=v: v for k, v in findings.items()})
    assert main(["doctor"]) == exit_codes.DONE
    out = capsys.readouterr().out
    assert re.search(r"^second +warning +\[hm\] *$", out, flags=re.MULTILINE)
    assert "1 ok, 1 warning, 0 problem" in out


def test_doctor_reports_a_check_that_breaks_and_fails(monkeypatch, capsys):
    def broken():
        raise OSError("libcudart.so.12: cannot open shared object file\nmore")

    monkeypatch.setattr(verbs_doctor, "checks", lambda runs: {"torch": broken})
    assert main(["doctor"]) == exit_codes.FAILED
    assert "problem  OSError: libcudart.so.12: cannot open" in capsys.readouterr().out


def test_the_torchvision_of_another_torch_is_explained(monkeypatch):
    def mismatched(name):
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(verbs_doctor.importlib, "import_module", mismatched)
    finding = verbs_doctor.check_torchvision()
    assert finding.verdict == "problem"
    assert "do not belong together" in finding.text


def test_commands_on_the_path(places):
    assert verbs_doctor.check_compiler().verdict == "warning"
    assert verbs_doctor.check_slurm() == verbs_doctor.ok("not on this machine")
    assert verbs_doctor.check_git().verdict == "warning"
    places("g++")
    places("sbatch")
    assert verbs_doctor.check_compiler().verdict == "ok"
    assert verbs_doctor.check_slurm().verdict == "warning"
    places("sinfo")
    assert verbs_doctor.check_slurm().verdict == "ok"


def test_the_store_is_looked_at_from_outside(tmp_path):
    import sqlite3

    path = tmp_path / "mlflow.db"
    assert "none at" in verbs_doctor.check_store(path).text
    assert not path.exists()
    path.write_bytes(b"no database" * 1000)
    assert "damaged, or no store" in verbs_doctor.check_store(path).text
    path.unlink()
    store = sqlite3.connect(path)
    store.executescript(
        "CREATE TABLE alembic_version (version_num); CREATE TABLE runs (x); INSERT INTO runs VALUES (1)"
    )
    store.execute("INSERT INTO alembic_version VALUES ('ffffffffffff')")
    store.commit()
    assert "written by a newer MLflow" in verbs_doctor.check_store(path).text
    store.execute("UPDATE alembic_version SET version_num = '451aebb31d03'")
    store.commit()
    assert verbs_doctor.check_store(path).verdict == "ok"
    assert "1 MLflow runs, version 451aebb31d03" in verbs_doctor.check_store(path).text
    store.execute("BEGIN EXCLUSIVE")
    assert "locked" in verbs_doctor.check_store(path).text
    store.close()


def test_disk_and_locks_at_a_folder_that_is_not_there_yet(tmp_path):
    checks = verbs_doctor.checks(tmp_path / "later" / "runs")
    assert str(tmp_path) in checks["disk"]().text
    assert checks["locks"]() == verbs_doctor.ok(f"work at {tmp_path}")
    assert not list(tmp_path.iterdir())


def test_a_file_system_without_locks_is_a_problem(tmp_path, monkeypatch):
    monkeypatch.setattr(verbs_doctor.fcntl, "flock", lambda file, how: None)
    assert "two processes could train one run" in verbs_doctor.check_locks(tmp_path).text

    def refuse(file, how):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(verbs_doctor.fcntl, "flock", refuse)
    assert "no locks at" in verbs_doctor.check_locks(tmp_path).text


# Words


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_960, "1.0 MB"), (5.4e6, "5.4 MB"), (2e12, "2.0 TB")],
)
def test_sizes(count, text):
    assert size_text(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(-1, "0 s"), (59.4, "59 s"), (60, "1 min"), (7199, "1 h"), (90000, "1 d")]
)
def test_ages(seconds, text):
    assert age_text(seconds) == text
