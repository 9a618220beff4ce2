"""What `doctor` says of clocks, leftovers, limits and the checkout."""

import os
import resource
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from lic_exp import atomic
from lic_exp.atomic import file_system_time
from lic_exp.runs import machine, machine_places


@pytest.fixture(autouse=True)
def asked_anew(monkeypatch):
    """The clocks of file systems as if nobody had asked for them."""
    monkeypatch.setattr(atomic, "_clocks", {})


@pytest.mark.parametrize(
    ("ahead", "verdict", "said"),
    [
        (0, "ok", "agrees"),
        (150, "warning", "2 min ahead of"),
        (-150, "warning", "2 min behind"),
        (590, "warning", "their files' dates"),
        (86400, "warning", "its lock alone"),
        (-86400, "warning", "behind"),
    ],
)
def test_a_clock_that_differs_from_the_file_systems(tmp_path, monkeypatch, ahead, verdict, said):
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + ahead)
    finding = machine.checks(tmp_path / "runs")["clock"]()
    assert finding.verdict == verdict
    assert said in finding.text
    assert str(tmp_path) in finding.text
    assert not list(tmp_path.iterdir())


def test_where_nothing_can_be_written_this_machines_clock_stands_in(tmp_path, monkeypatch):
    def refused(**where):
        raise PermissionError

    monkeypatch.setattr(tempfile, "TemporaryFile", refused)
    before = time.time()
    assert before <= file_system_time(tmp_path) <= time.time()
    monkeypatch.setattr(os, "access", lambda *how: False)
    assert "cannot be written to" in machine_places.check_clock(tmp_path).text


def test_what_is_neither_file_nor_folder_is_named(tmp_path):
    runs = tmp_path / "runs"
    assert machine_places.check_leftovers(runs).verdict == "ok"
    for name in ("aa", "bb", "cc", "dd", ".sweeps/s"):
        (runs / name).mkdir(parents=True)
    (runs / "aa" / "status.json").write_text("{}")
    (runs / "aa" / "checkpoints").mkdir()
    (runs / "aa" / "kept").symlink_to(runs / "bb")
    assert machine_places.check_leftovers(runs).verdict == "ok"
    os.mkfifo(runs / "bb" / "status.json")
    (runs / "cc" / ".lock").mkdir()
    (runs / "dd" / "run.log").symlink_to("nowhere")
    with socket.socket(socket.AF_UNIX) as bound:
        here = Path.cwd()
        os.chdir(runs / ".sweeps" / "s")  # a socket's path must be short
        bound.bind("pool.json")
        os.chdir(here)
    finding = machine_places.check_leftovers(runs)
    assert finding.verdict == "problem"
    for said in (f"{runs}/bb/status.json (a pipe)", "cc/.lock (a folder)", "run.log (a link to nothing)", "and 1 more"):
        assert said in finding.text


@pytest.mark.parametrize(
    ("files", "size", "verdict", "said"),
    [
        (1 << 20, -1, "ok", "1048576 open files"),
        (resource.RLIM_INFINITY, -1, "ok", "no limit"),
        (256, -1, "warning", "ulimit -n"),
        (1 << 20, 1000, "warning", "ulimit -f"),
    ],
)
def test_limits(monkeypatch, files, size, verdict, said):
    limits = {resource.RLIMIT_NOFILE: files, resource.RLIMIT_FSIZE: size}
    monkeypatch.setattr(resource, "getrlimit", lambda which: (limits[which], -1))
    finding = machine_places.check_limits()
    assert finding.verdict == verdict
    assert said in finding.text


def test_a_disk_that_takes_no_more_files(tmp_path, monkeypatch):
    full = os.statvfs_result((4096, 4096, 1 << 40, 1 << 40, 1 << 40, 1000, 3, 3, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda folder: full)
    assert "only 3 more files" in machine.check_disk(tmp_path).text


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout that the package could be in."""
    root = tmp_path / "checkout"
    for name in ("pack", "conf"):
        (root / name).mkdir(parents=True)
        (root / name / "a.py").write_text("")
    for command in ("init -q", "add -A", "-c user.name=t -c user.email=t@t commit -qm one"):
        subprocess.run(["git", "-C", str(root), *command.split()], check=True)
    monkeypatch.setattr(machine_places, "PACKAGE", root / "pack")
    monkeypatch.setattr(machine_places, "conf_folder", lambda: root / "conf")
    return root


def test_a_checkout(checkout):
    assert machine.check_git() == machine.ok(f"{checkout}, clean")
    (checkout / "pack" / "new.py").write_text("n = 1")
    (checkout / "pack" / "data.pt").write_text("d")
    said = machine.check_git().text
    assert said == f"{checkout}, with uncommitted changes: in each run's git.diff, but for pack/data.pt"


@pytest.mark.skipif(os.getuid() != 0, reason="gives a checkout to somebody else, which root alone can")
def test_somebody_elses_checkout_is_named_with_what_to_do(checkout):
    for path in [checkout, *checkout.rglob("*")]:
        os.chown(path, 12345, 12345)
    finding = machine.check_git()
    assert finding.verdict == "warning"
    assert f"{checkout}: git: fatal: detected dubious ownership" in finding.text
    assert "It is user 12345's" in finding.text
    assert f"git config --global --add safe.directory {checkout}" in finding.text
