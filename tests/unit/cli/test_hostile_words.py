"""Whatever a name, a reason, a path or a log holds, commands show it as text."""

import json
import logging
from pathlib import Path

import pytest
from hostile import WORDS, is_harmless

from lic_exp import exit_codes
from lic_exp.__main__ import main as command
from lic_exp.cli.launch import main as launch
from lic_exp.runs.log_file import log_file
from lic_exp.text import uncoloured, visible
from lic_exp.tracking.run_folder import RunFolder

ALL = " ".join(WORDS.values())


@pytest.fixture(params=WORDS)
def word(request):
    """By its name, since not every word can be a parameter."""
    return WORDS[request.param]


LINES = (
    *("ls", "show abcd", "status", "logs", "cancel", "explain abcd", "gc --dry-run", "export abcd"),
    *("rm abcd --yes", "sync", "extend abcd trainer.max_steps=900", "signature"),
)


def harmless(capsys):
    """What was said, once it is seen to be harmless."""
    said = capsys.readouterr()
    assert is_harmless(uncoloured(said.out + said.err))
    assert "Traceback" not in said.out + said.err
    return said


@pytest.fixture
def known(make_run):
    """Makes a run that is the one cell of a sweep, with a word in all that may hold one."""

    def made(word):
        word = word.encode(errors="replace").decode()  # a file of ours holds no other
        status = {"name": word, "reason": f"RuntimeError: {word}", "device": word, "host": word}
        folder = make_run("abcd", "failed", **status, skipped=[1])
        in_a_line = " ".join(word.splitlines())
        (folder / "run.log").write_text(f"{in_a_line}\n" * 3)
        (folder / f"note{word[:3]}".replace("\x00", "")).touch()
        environment = {"overrides": [f"name={word}"], "command": [word], "python": word, "packages": {"torch": word}}
        (folder / "environment.json").write_text(json.dumps(environment))
        sweep = folder.parent / ".sweeps" / "of_one-01234567"
        (sweep / "cells").mkdir(parents=True)
        cell = {"signature": "abcd", "label": f"name={word}", "role": {"name": word}}
        (sweep / "manifest.json").write_text(json.dumps({"made": "2026-01-01", "cells": [cell]}))
        (sweep / "cells" / "abcd.log").write_text(f"begin\n{in_a_line}\n")
        attempt = {"state": "failed", "reason": word, "host": word, "exit_code": 1}
        (sweep / "cells" / "abcd.attempt").write_text(json.dumps(attempt))
        return folder

    return made


@pytest.mark.parametrize("line", LINES)
def test_in_what_is_read_back(known, line, capsys):
    known(ALL)
    assert command(line.split()) in (exit_codes.DONE, exit_codes.FAILED, exit_codes.CONFIG)
    harmless(capsys)


@pytest.mark.parametrize("coloured", [False, True])
def test_each_word(known, word, coloured, capsys, monkeypatch):
    """On a terminal colours are ours."""
    if coloured:
        monkeypatch.setenv("FORCE_COLOR", "1")
    known(word)
    for line in ("ls", "show abcd", "status"):
        assert command(line.split()) == exit_codes.DONE
        said = harmless(capsys)
        assert ("\x1b[" in said.out) == coloured
        if line == "show abcd":
            assert visible(word.encode(errors="replace").decode()) in said.out.replace("\n", "")


def test_a_table_has_straight_columns(known, capsys):
    """What is shown of a word is counted."""
    known("\x1b\x1b\u202e")
    assert command(["show", "abcd"]) == exit_codes.DONE
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("state ", "name ", "device "))]
    assert [row.partition("  ")[2].strip() for row in rows] == ["failed", *[r"\x1b\x1b\u202e"] * 2]


def test_one_json_object_a_cell(known, word, capsys):
    known(word)
    assert command(["status", "--json"]) == exit_codes.DONE
    (line,) = harmless(capsys).out.splitlines()
    assert json.loads(line)["role"]["name"] == word.encode(errors="replace").decode()


def test_in_arguments(word, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = (["ls", "--runs", word], ["show", word], [word], ["ls", "--state", word], ["ls", f"--{word}"])
    for given in (*arguments, ["status", word], ["logs", "-n", word], ["explain", word], ["complexity", word]):
        try:
            code = command([text.replace("\x00", "") for text in given])
        except SystemExit as end:  # argparse's
            code = end.code
        assert code == exit_codes.CONFIG
        harmless(capsys)


def test_a_folder_that_looks_like_markup(make_run, capsys):
    folder = make_run("abcd").parent
    Path("a[").mkdir()
    folder.rename("a[/b] :skull:")
    assert command(["ls", "--runs", "a[/b] :skull:"]) == exit_codes.DONE
    assert "1 run in a[/b] :skull:, " in capsys.readouterr().out


@pytest.mark.parametrize("form", ["seed={}", "{}=1", "{}", "model={}", "--{}", "trainer.{}=1", "--cfg={}"])
def test_in_overrides(form, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    try:
        code = launch([form.format(ALL).replace("\x00", "")])
    except SystemExit as end:
        code = end.code
    assert code == exit_codes.CONFIG
    harmless(capsys)


def test_in_a_config_that_is_shown(word, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert launch([f'name="{word}"'.replace("\x00", ""), "--cfg", "job"]) in (exit_codes.DONE, exit_codes.CONFIG)
    harmless(capsys)


def test_in_a_log(word, tmp_path, monkeypatch):
    # Else pytest reports what was logged, in an encoding that some of it has not.
    monkeypatch.setattr(logging.getLogger("lic_exp"), "propagate", False)
    run = RunFolder(tmp_path / "run")
    run.create()
    with log_file(run):
        logging.getLogger("lic_exp.test").warning("passed over: %s", word)
        try:
            raise ValueError(word)
        except ValueError:
            logging.getLogger("lic_exp.test").exception("failed")
    text = run.log.read_text()
    assert all(line.isprintable() for line in text.split("\n"))
    assert f"passed over: {visible(word)}\n" in text


def test_colours_of_a_log_are_left_out(known, capsys):
    folder = known("plain")
    (folder.parent / ".sweeps" / "of_one-01234567" / "cells" / "abcd.log").write_text("\x1b[1;31mbad\x1b[0m\x1b[2J\n")
    assert command(["logs"]) == exit_codes.DONE
    assert capsys.readouterr().out.splitlines()[1:] == [r"bad\x1b[2J"]
