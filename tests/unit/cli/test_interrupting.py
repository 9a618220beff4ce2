"""Commands that wait for others' runs end when they are told to."""

import json
import signal
import time

import pytest
from commands import start

from lic_exp import exit_codes
from lic_exp.__main__ import main
from lic_exp.cli import launch
from lic_exp.sweeps.folder import FOLDER, write_sweep

WAITING = (["wait"], ["logs", "--follow"], ["status", "--watch"])


@pytest.fixture
def folder(tmp_path):
    """A sweep whose only cell runs on a machine whose clock is ten minutes ahead."""
    manifest = {
        "sweep": "s",
        "cells": [{"signature": "a", "label": "cell a"}],
        "path": [],
        "plugins": [],
        "made": "now",
    }
    write_sweep(tmp_path / "runs" / FOLDER / "s", manifest, {"a": {"signature": "a"}})
    (tmp_path / "runs" / "a").mkdir()
    status = {"state": "running", "host": "elsewhere", "pid": 4, "heartbeat": time.time() + 590, "started": 1.0}
    (tmp_path / "runs" / "a" / "status.json").write_text(json.dumps(status))
    return tmp_path


@pytest.mark.parametrize("command", WAITING, ids=" ".join)
def test_ctrl_c_ends_what_waits_without_a_traceback(folder, monkeypatch, capsys, command):
    looks = []

    def interrupted(seconds):
        looks.append(seconds)
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupted)
    expected = exit_codes.DONE if "--watch" in command else exit_codes.INTERRUPTED
    assert main([*command, "--runs", str(folder / "runs")]) == expected
    assert len(looks) == 1
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_process_that_waits_ends_by_a_signal(folder, number):
    with start("-m", "lic_exp", "logs", "--follow", folder=folder) as process:
        log = next((folder / "runs").rglob("cells")) / "a.log"
        log.write_text("it runs\n")
        assert process.stdout.readline() == "it runs\n"
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == (exit_codes.INTERRUPTED if number == signal.SIGINT else -signal.SIGTERM)
    assert "Traceback" not in said


def test_a_launch_that_is_interrupted_before_it_began_says_so(monkeypatch, capsys):
    def interrupted(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(launch, "parse_arguments", interrupted)
    assert launch.main(["seed=0"]) == exit_codes.INTERRUPTED
    assert capsys.readouterr().err == "interrupted\n"
