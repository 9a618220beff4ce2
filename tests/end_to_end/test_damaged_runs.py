"""A finished run whose status.json is damaged, given its command again."""

import json
import shutil

import pytest
from commands import SMALL_RUN, called

from lic_exp import exit_codes
from lic_exp.runs.run import Run


@pytest.fixture
def copy(small_run, tmp_path):
    """The run in a folder of runs of its own."""
    return shutil.copytree(small_run, tmp_path / "runs" / small_run.name)


def test_it_goes_on_from_its_last_checkpoint_and_loses_nothing(copy, tmp_path):
    metrics, best = (copy / "metrics.jsonl").read_bytes(), (copy / "checkpoints" / "best.pt").read_bytes()
    (copy / "status.json").write_text("[]")
    done = called("launch.py", *SMALL_RUN, folder=tmp_path)
    assert done.returncode == exit_codes.DONE, done.stderr
    assert Run(copy).state == "done"
    assert (copy / "metrics.jsonl").read_bytes() == metrics
    assert (copy / "checkpoints" / "best.pt").read_bytes() == best
    assert (copy / "status.damaged_1.json").read_text() == "[]"
    assert "is kept as status.damaged_1.json" in (copy / "run.log").read_text()
    assert Run(copy).evaluation["exact"].all()


def test_without_a_step_checkpoint_nothing_is_touched(copy, tmp_path):
    for path in (copy / "checkpoints").glob("step_*.pt"):
        path.unlink()
    (copy / "status.json").write_text("[]")
    before = {path: path.stat().st_mtime_ns for path in copy.rglob("*") if path.is_file()}
    refused = called("launch.py", *SMALL_RUN, folder=tmp_path)
    assert refused.returncode == exit_codes.CONFIG
    assert "status.json cannot be read" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert {path: path.stat().st_mtime_ns for path in copy.rglob("*") if path.is_file()} == before


def test_a_run_of_a_newer_version_is_left_alone(copy, tmp_path):
    status = json.dumps(json.loads((copy / "status.json").read_text()) | {"schema_version": 3, "state": "paused"})
    (copy / "status.json").write_text(status)
    refused = called("launch.py", *SMALL_RUN, folder=tmp_path)
    assert refused.returncode == exit_codes.CONFIG
    assert "a newer version of this package" in refused.stderr
    assert (copy / "status.json").read_text() == status
