"""A run's results, collected; the run trained anew from them, and compared: the same to the last bit."""

import math
import re

import pytest
from commands import SMALL_RUN, called

from lic_exp import exit_codes
from lic_exp.tracking.run_folder import RunFolder, encode_metrics


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """(working folder, signature) of a small run whose results were collected, and which is no more."""
    folder = tmp_path_factory.mktemp("rerun")
    assert called("launch.py", *SMALL_RUN, folder=folder).returncode == 0
    (run,) = (path.parent for path in (folder / "runs").glob("*/status.json"))
    done = called("analysis", "collect", run.name, "-o", "results/small", folder=folder)
    assert done.returncode == 0, done.stderr
    (folder / "runs").rename(folder / "gone")
    return folder, run.name


def test_one_cell_is_trained_anew_by_one_command(results):
    folder, name = results
    before = {path: path.read_bytes() for path in (folder / "results").rglob("*") if path.is_file()}
    done = called("lic_exp", "rerun", f"results/small/{name}", folder=folder)
    assert done.returncode == 0, done.stderr
    assert "numbers at 4 steps, the same to the last bit" in done.stdout
    assert "rows, the same\nthe same\n" in done.stdout
    assert RunFolder(folder / "reruns" / name).status()["state"] == "done"
    assert {path: path.read_bytes() for path in (folder / "results").rglob("*") if path.is_file()} == before


def test_compared_again_nothing_is_trained_and_what_is_other_is_named(results):
    folder, name = results
    made = RunFolder(folder / "reruns" / name)
    metrics, entries = made.metrics_file, list(made.metrics())
    kept = metrics.read_text()
    last = max(place for place, entry in enumerate(entries) if "val/psnr" in entry)
    entries[last]["val/psnr"] = math.nextafter(entries[last]["val/psnr"], math.inf)
    metrics.write_text("".join(map(encode_metrics, entries)))
    done = called("lic_exp", "same", f"results/small/{name}", f"reruns/{name}", folder=folder)
    metrics.write_text(kept)
    assert done.returncode == exit_codes.FAILED
    assert re.search(r"metrics: 1 of \d+ numbers differ, first val/psnr after step 4 is ", done.stdout)
    assert done.stdout.endswith("not the same\n")


def test_what_is_another_training_is_refused(results):
    folder, name = results
    done = called("lic_exp", "rerun", f"results/small/{name}", "optimizer.lr=0.5", folder=folder)
    assert done.returncode == exit_codes.CONFIG
    assert f"run {name} would be run " in done.stderr
    done = called("lic_exp", "rerun", f"results/small/{name}", "--into", "results/small", folder=folder)
    assert done.returncode == exit_codes.CONFIG
    assert "--into=results/small: run" in done.stderr
