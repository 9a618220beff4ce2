"""Rate and quality of the finished codec among the metrics of a store, and runs there by what sweeps call them."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from lic_exp.tracking.evaluated import evaluation_metrics
from lic_exp.tracking.mlflow_projection import MlflowTracker
from lic_exp.tracking.mlflow_store import connect, record_file
from lic_exp.tracking.run_folder import RunFolder
from lic_exp.tracking.sweep_labels import label_of_run, labels_of_runs


def made(folder: Path, evaluation: object = None) -> RunFolder:
    run = RunFolder(folder)
    run.create()
    run.config.write_text(yaml.safe_dump({"seed": 3}))
    run.update_status(state="done", step=20)
    run.metrics_file.write_text(json.dumps({"step": 20, "epoch": 0, "time": 1e9, "val/rd_loss": 1.0}) + "\n")
    if evaluation is not None:
        text = evaluation if isinstance(evaluation, str) else json.dumps(evaluation)
        (run.eval / "evaluation.json").write_text(text)
    return run


MEAN = {"bpp": 0.5, "bpp_estimated": 0.49, "psnr": 31.0, "ms_ssim": None, "ms_ssim_db": None, "images": 2}


@pytest.mark.parametrize(
    ("evaluation", "found"),
    [
        ({"mean": MEAN}, {"eval/bpp": 0.5, "eval/bpp_estimated": 0.49, "eval/psnr": 31.0}),
        ({"mean": {"bpp": 1, "psnr": "inf"}}, {"eval/bpp": 1.0, "eval/psnr": math.inf}),
        (
            {"mean": MEAN, "points": [{"rate": 0, "bpp": 0.1, "psnr": 28.0}, {"rate": 31.5, "bpp": 0.5, "psnr": 34.0}]},
            {"eval/bpp_q0": 0.1, "eval/psnr_q0": 28.0, "eval/bpp_q31.5": 0.5, "eval/psnr_q31.5": 34.0},
        ),
        (
            {"mean": MEAN | {"psnr-y": 33.0, "my.module:of": 0.5, "psnr-hvs-m": "nan", "encode_s": 1.0, "rate": 3.0}},
            {"eval/bpp": 0.5, "eval/bpp_estimated": 0.49, "eval/psnr": 31.0}
            | {"eval/psnr_y": 33.0, "eval/my.module.of": 0.5},
        ),
        (
            {"mean": MEAN, "points": [{"rate": 7, "bpp": 0.1, "ms-ssim-y": 0.9, "lmbda": 0.01}]},
            {"eval/bpp_q7": 0.1, "eval/ms_ssim_y_q7": 0.9},
        ),
        ({"mean": {"bpp": "much", "psnr": True}}, {}),
        ({"points": [{"bpp": 1.0}], "mean": MEAN}, {}),
        ("{", {}),
        (None, {}),
    ],
)
def test_what_an_evaluation_gives_a_store(tmp_path: Path, evaluation: Any, found: dict[str, float]) -> None:
    assert evaluation_metrics(made(tmp_path / "run", evaluation)) == found


@pytest.mark.parametrize("points", [None, [{"rate": 7, "bpp": 0.1, "psnr": 28.0}]])
@pytest.mark.parametrize(
    ("name", "status", "sent"),
    [
        ("0a1b2c3d", {"schema_version": 2}, True),
        (None, {"schema_version": 2}, False),
        (None, {"schema_version": 1}, True),
        ("0a1b2c3d", {"schema_version": 2, "state": "running"}, False),
        ("0a1b2c3d", {"schema_version": 2, "state": "preempted"}, False),
        ("0a1b2c3d", {"schema_version": 2, "state": "failed"}, False),
    ],
)
def test_an_evaluation_of_former_weights_is_none_of_the_run(
    tmp_path: Path, name: str | None, status: dict[str, Any], sent: bool, points: Any
) -> None:
    run = made(tmp_path / "run", {"mean": MEAN, "points": points, "evaluation": name})
    run.update_status(**status)
    assert bool(evaluation_metrics(run)) == sent


def sweep(runs: Path, name: str, made_at: str, **labels: str) -> None:
    (runs / ".sweeps" / name).mkdir(parents=True)
    cells = [{"signature": signature, "label": label} for signature, label in labels.items()]
    (runs / ".sweeps" / name / "manifest.json").write_text(json.dumps({"made": made_at, "cells": cells}))


def test_a_run_is_called_as_in_the_sweep_that_it_was_made_for(tmp_path: Path) -> None:
    run = made(tmp_path / "aa00")
    assert label_of_run(run) is None
    sweep(tmp_path, "first-1", "2026-11-01", aa00="seed=0", bb00="seed=1")
    sweep(tmp_path, "second-2", "2026-11-02", aa00="spectral_reg=none, seed=0")
    run.update_status(sweep="first-1")
    assert label_of_run(run) == "seed=0"
    assert labels_of_runs(tmp_path) == {"aa00": "spectral_reg=none, seed=0", "bb00": "seed=1"}
    (tmp_path / ".sweeps/first-1/manifest.json").write_text("{")
    assert label_of_run(run) is None
    assert labels_of_runs(tmp_path) == {"aa00": "spectral_reg=none, seed=0"}


def test_mlflow_has_both_and_gets_them_once(tmp_path: Path) -> None:
    run = made(tmp_path / "aa00", {"mean": MEAN})
    sweep(tmp_path, "first-1", "2026-11-01", aa00="seed=0")
    run.update_status(sweep="first-1")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    for _ in range(2):
        MlflowTracker(run, None, uri=uri, experiment="tests", flush_s=0.1, finish_timeout_s=60.0).sync()
    client, run_id = connect(uri), json.loads(record_file(run).read_text())["run_id"]
    stored = client.get_run(run_id)
    assert stored.info.run_name == "seed=0"
    assert stored.data.metrics["eval/psnr"] == 31.0
    assert [point.step for point in client.get_metric_history(run_id, "eval/psnr")] == [20]
