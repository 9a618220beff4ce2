"""A damaged status.json or config.yaml under any command is a message, never a traceback."""

import json
from pathlib import Path

import pytest
from filelock import FileLock

from lic_exp import exit_codes
from lic_exp.__main__ import main

STATUSES = {
    "empty": b"",
    "torn": b'{"state": "done", "st',
    "a list": b"[]",
    "null": b"null",
    "bytes": b"\xff\xfe\x00",
    "a number for a state": b'{"state": 3}',
    "a word for a number": b'{"state": "running", "pid": "one", "heartbeat": "now", "step": "x"}',
    "nothing for a number": b'{"state": "running", "pid": null, "heartbeat": null}',
}
CONFIGS = {"empty": b"", "torn": b"model: [", "a list": b"- 1", "another mapping": b"a: 1", "bytes": b"\xff\xfe\x00"}

LINES = (
    *("ls", "show abcd", "eval abcd", "export abcd", "export abcd --last", "sync", "explain abcd", "status"),
    *("status --json", "logs", "cancel", "extend abcd trainer.max_steps=900", "gc --dry-run", "rm abcd --yes"),
)


@pytest.fixture
def run(make_run):
    """A run that is the one cell of a sweep."""
    folder = make_run("abcd")
    sweep = folder.parent / ".sweeps" / "of_one-01234567"
    (sweep / "cells").mkdir(parents=True)
    manifest = {"made": "2026-01-01", "cells": [{"signature": "abcd", "label": "seed=0"}]}
    (sweep / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("content", STATUSES.values(), ids=list(STATUSES))
def test_of_a_status(run, line, content, capsys):
    (run / "status.json").write_bytes(content)
    assert main(line.split()) in (exit_codes.DONE, exit_codes.FAILED, exit_codes.CONFIG)
    said = capsys.readouterr()
    assert "Traceback" not in said.out + said.err
    if line in ("ls", "show abcd", "status"):
        assert "unreadable" in said.out
        assert "status.json cannot be read" in said.out.replace("\n", " ")


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("content", [*CONFIGS.values(), None], ids=[*CONFIGS, "half"])
def test_of_a_config(run, line, content, capsys):
    half = (run / "config.yaml").read_bytes()[:900]
    (run / "config.yaml").write_bytes(half if content is None else content)
    code = main(line.split())
    said = capsys.readouterr()
    assert "Traceback" not in said.out + said.err
    if line.split()[0] in ("show", "eval", "export", "explain", "extend", "sync"):
        assert code in (exit_codes.FAILED, exit_codes.CONFIG)
        assert "config.yaml" in said.err
    else:
        assert code == exit_codes.DONE
        assert said.err == ""


def test_of_the_status_of_a_run_that_is_held(run, capsys):
    (run / "status.json").write_text("{")
    with FileLock(run / ".lock"):
        assert main(["rm", "abcd", "--yes"]) == exit_codes.BUSY
    assert "run abcd is being trained" in capsys.readouterr().err
    assert run.exists()


@pytest.mark.parametrize("name", ["environment.json", "metrics.jsonl", "eval/evaluation.json"])
@pytest.mark.parametrize("content", ["", "{\n", "[]\n", "[1]\n", '{"packages": 3, "mean": 3, "step": []}\n'])
def test_of_what_else_show_reads(run, name, content, capsys):
    path = Path(run, name)
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    assert main(["show", "abcd"]) == exit_codes.DONE
    assert "files" in capsys.readouterr().out


NULLS = ("started", "finished", "step", "max_steps", "best", "ticks", "lock", "reason", "sweep")


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("state", ["done", "running", "failed", "preempted", "created"])
def test_of_a_status_in_which_nothing_is_known(run, line, state, capsys):
    """Each of these keys may be null, or missing: another version, or a process that had no time, wrote it so."""
    attempt = {"started": 0.0, "pid": 1, "host": "elsewhere", "ended": 1.0, "exit_code": 1}
    (run.parent / ".sweeps" / "of_one-01234567" / "cells" / "abcd.attempt").write_text(json.dumps(attempt))
    for unknown in (dict.fromkeys(NULLS), {}):
        (run / "status.json").write_text(json.dumps({"state": state, "pid": 1, "host": "elsewhere"} | unknown))
        assert main(line.split()) in (exit_codes.DONE, exit_codes.FAILED, exit_codes.CONFIG, exit_codes.BUSY)
        assert "Traceback" not in "".join(capsys.readouterr())
        if line.startswith("rm"):
            break
