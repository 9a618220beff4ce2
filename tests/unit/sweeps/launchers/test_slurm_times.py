"""SLURM's times are those of another machine, and of a clock that strikes some hours twice."""

import json
import os
import time

import pytest

from lic_exp.config.errors import ConfigError
from lic_exp.sweeps.folder import write_sweep
from lic_exp.sweeps.launchers.slurm import queue
from lic_exp.sweeps.launchers.slurm.arrays import adopt, array_folder
from lic_exp.sweeps.launchers.slurm.queue import seconds_of

NOW = 1_792_890_000.0
"""01:00 UTC on 25 October 2026: in Berlin the second time 02:00."""


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("00:07:00", 420),
        ("1-00:00:01", 86_401),
        ("25:00:00", 90_000),
        *[(word, None) for word in ("UNLIMITED", "INVALID", "Partition_Limit", "", "12", "-1-00:00:00", "1:2")],
    ],
)
def test_lengths(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "UTC", "Australia/Lord_Howe"])
@pytest.mark.parametrize("end", ["2026-10-25T02:30:00", "2026-10-25T03:30:00", "Unknown"])
def test_the_end_of_a_job_hangs_on_no_clock_of_the_day(zone, end, monkeypatch):
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        monkeypatch.setattr(queue.time, "time", lambda: NOW)
        known = {"EndTime": end, "TimeLimit": "00:30:00", "RunTime": "00:00:02"}
        assert queue.end_time(known) == NOW + 1798
        assert queue.end_time(known | {"TimeLimit": "UNLIMITED"}) is queue.end_time({"EndTime": end}) is None
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("clock_ahead_s", [-86_400, -600, 0, 600, 86_400])
def test_an_sbatch_under_way_is_told_by_its_file(clock_ahead_s, tmp_path):
    """Whatever the clock of the submitter said."""
    manifest = {"sweep": "s", "cells": [{"signature": "a", "label": "a"}], "path": [], "plugins": [], "made": "2026"}
    sweep = write_sweep(tmp_path / "runs" / ".sweeps" / "s", manifest, {})
    path = array_folder(sweep) / "s.0a1b.json"
    path.parent.mkdir()
    array = {"name": "s.0a1b", "made": time.time() + clock_ahead_s, "cells": ["a"], "job": None, "options": {}}
    path.write_text(json.dumps(array))
    with pytest.raises(ConfigError, match="give the command again in a minute"):
        adopt(sweep, {})
    os.utime(path, (time.time() - 99, time.time() - 99))
    adopt(sweep, {})
    assert not path.exists()
