"""What `doctor` finds out about a machine."""

import sqlite3

import pytest

from lic_exp.runs import machine
from lic_exp.runs.machine_places import _revisions


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


def test_the_torchvision_of_another_torch_is_explained(monkeypatch):
    def mismatched(name):
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(machine.importlib, "import_module", mismatched)
    finding = machine.check_torchvision()
    assert finding.verdict == "problem"
    assert "do not belong together" in finding.text


def test_commands_on_the_path(places):
    assert machine.check_compiler().verdict == "warning"
    assert machine.check_slurm() == machine.ok("not on this machine")
    assert machine.check_git().verdict == "warning"
    places("g++")
    places("sbatch")
    assert machine.check_compiler().verdict == "ok"
    assert machine.check_slurm().verdict == "warning"
    places("sinfo")
    assert machine.check_slurm().verdict == "ok"


def test_the_store_is_looked_at_from_outside(tmp_path):
    path = tmp_path / "mlflow.db"
    assert "none at" in machine.check_store(path).text
    assert not path.exists()
    path.write_bytes(b"no database" * 1000)
    assert "damaged, or no store" in machine.check_store(path).text
    path.unlink()
    store = sqlite3.connect(path)
    store.executescript(
        "CREATE TABLE alembic_version (version_num); CREATE TABLE runs (x); INSERT INTO runs VALUES (1)"
    )
    store.execute("INSERT INTO alembic_version VALUES ('ffffffffffff')")
    store.commit()
    assert "written by a newer MLflow" in machine.check_store(path).text
    store.execute("UPDATE alembic_version SET version_num = '451aebb31d03'")
    store.commit()
    assert machine.check_store(path).verdict == "warning"
    assert "written by an older MLflow" in machine.check_store(path).text
    (newest,) = set(_revisions()) - {name for before in _revisions().values() for name in before}
    store.execute("UPDATE alembic_version SET version_num = ?", (newest,))
    store.commit()
    assert machine.check_store(path).verdict == "ok"
    assert f"1 MLflow runs, version {newest}" in machine.check_store(path).text
    store.execute("BEGIN EXCLUSIVE")
    assert "locked" in machine.check_store(path).text
    store.close()


def test_disk_and_locks_at_a_folder_that_is_not_there_yet(tmp_path):
    checks = machine.checks(tmp_path / "later" / "runs")
    assert str(tmp_path) in checks["disk"]().text
    assert checks["locks"]() == machine.ok(f"work at {tmp_path}")
    assert not list(tmp_path.iterdir())


def test_a_file_system_without_locks_is_a_problem(tmp_path, monkeypatch):
    monkeypatch.setattr(machine.fcntl, "flock", lambda file, how: None)
    assert "two processes could train one run" in machine.check_locks(tmp_path).text

    def refuse(file, how):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(machine.fcntl, "flock", refuse)
    assert "no locks at" in machine.check_locks(tmp_path).text
