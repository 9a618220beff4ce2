"""Metrics beside bpp, PSNR and MS-SSIM: in rows, files, tables and names of evaluations."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from rich.console import Console
from test_evaluation import IMAGES, ToyCodec

from lic_exp.config.errors import ConfigError
from lic_exp.config.loading import load_config
from lic_exp.config.signing import asked_evaluation_name, evaluation_name
from lic_exp.evaluation.evaluator import EvaluationError, evaluate
from lic_exp.evaluation.report import Evaluation, evaluation_table, rd_curve
from lic_exp.picture_metrics import BUILT_IN, PictureMetric
from lic_exp.runs.build import evaluation_metrics
from lic_exp.tracking.names import eval_metric

WORST = PictureMetric("mine.of:worst", "worst", lambda a, b: -float(np.abs(a.astype(int) - b).max()))


def run(folder: Path, *metrics: PictureMetric) -> Evaluation:
    return evaluate(ToyCodec(), IMAGES, folder=folder, pictures=0, device=torch.device("cpu"), metrics=metrics)


def as_8_bits(x: torch.Tensor) -> np.ndarray:
    return (x[0].clamp(0, 1) * 255).round().permute(1, 2, 0).numpy().astype(np.uint8)


def test_they_are_of_the_8_bit_pictures(tmp_path: Path) -> None:
    found = run(tmp_path, BUILT_IN["psnr-y"], WORST)

    rows = found.rows.set_index("image")
    for name, x in IMAGES:
        codec = ToyCodec()
        decoded = as_8_bits(codec.crop(codec(codec.pad(x)).x_hat.detach(), *x.shape[-2:]))
        assert rows.loc[name, "psnr-y"] == pytest.approx(BUILT_IN["psnr-y"].of(as_8_bits(x), decoded), abs=1e-4)
        assert rows.loc[name, "mine.of:worst"] == WORST.of(as_8_bits(x), decoded)


def test_they_stand_in_every_file_in_the_table_and_among_the_metrics(tmp_path: Path) -> None:
    found = run(tmp_path, BUILT_IN["psnr-y"], WORST)
    mean = found.rows["psnr-y"].mean()

    assert found.mean["psnr-y"] == mean
    assert found.metrics()["eval/psnr_y"] == mean
    assert found.metrics()["eval/mine.of.worst"] == found.rows["mine.of:worst"].mean()
    assert rd_curve([found])["results"]["psnr-y"] == [mean]
    written = json.loads((tmp_path / "rd_point.json").read_text())
    assert written["results"]["psnr-y"] == [pytest.approx(mean)]
    assert written["conventions"]["psnr-y"] == "Y of BT.709, full range, not rounded; dB"
    assert json.loads((tmp_path / "evaluation.json").read_text())["mean"]["psnr-y"] == pytest.approx(mean)
    assert pd.read_csv(tmp_path / "images.csv")["psnr-y"].tolist() == pytest.approx(found.rows["psnr-y"].tolist())
    console = Console(width=200, record=True)
    console.print(evaluation_table(found))
    assert "psnr-y" in (shown := console.export_text())
    assert f"{mean:.4f}" in shown


def test_one_that_some_images_have_not_is_in_no_curve(tmp_path: Path) -> None:
    found = run(tmp_path, BUILT_IN["ms-ssim-y"], BUILT_IN["psnr-y"])  # two of the images are too small

    assert set(rd_curve([found])["results"]) == {"bpp", "psnr", "encoding_time", "decoding_time", "psnr-y"}
    assert found.rows["ms-ssim-y"].isna().sum() == 2


@pytest.mark.parametrize("error", [ZeroDivisionError("by zero"), ValueError("too small"), KeyError("x")])
def test_one_that_fails_names_itself_and_the_image(tmp_path: Path, error: Exception) -> None:
    def fails(a: np.ndarray, b: np.ndarray) -> float:
        raise error

    with pytest.raises(EvaluationError, match=rf"large\.png.*mine:fails: {type(error).__name__}"):
        run(tmp_path, PictureMetric("mine:fails", "fails", fails))


def test_without_them_nothing_is_as_it_was_not(tmp_path: Path) -> None:
    found = run(tmp_path)

    assert list(found.rows.columns)[-2:] == ["exact", "max_abs_difference"]
    assert set(json.loads((tmp_path / "rd_point.json").read_text())["results"]) == {
        "bpp",
        "psnr",
        "encoding_time",
        "decoding_time",
    }


def test_they_name_another_evaluation_and_the_same_training() -> None:
    own, same, other, both = (
        load_config(["model=mean_scale_hyperprior_tiny", *given])
        for given in (
            [],
            ["evaluation.metrics=[]"],
            ["evaluation.metrics=[psnr-y]"],
            ["evaluation.metrics=[ms-ssim-y,psnr-y]"],
        )
    )
    turned = load_config(["model=mean_scale_hyperprior_tiny", "evaluation.metrics=[psnr-y,ms-ssim-y]"])

    assert own.signature == other.signature == both.signature
    assert evaluation_name(own) == evaluation_name(same)
    assert len({evaluation_name(config) for config in (own, other, both)}) == 3
    assert evaluation_name(turned) == evaluation_name(both)
    asked = [asked_evaluation_name(own, None, None, (), metrics) for metrics in (None, [], ["psnr-y"])]
    assert len(set(asked)) == 3


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["psnr-y", "psnr_hvs"], "evaluation.metrics: no metric 'psnr_hvs': did you mean psnr-hvs-m"),
        (["no_such_module:f"], "evaluation.metrics: metric no_such_module:f"),
    ],
)
def test_a_name_that_is_none_is_a_mistake_in_the_config(names: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        evaluation_metrics(names)


def test_what_is_always_measured_is_not_measured_twice() -> None:
    found = evaluation_metrics(["psnr", "psnr-y", "ms-ssim", "psnr-y"])

    assert [metric.name for metric in found] == ["psnr-y"]


@pytest.mark.parametrize(
    ("name", "logged"),
    [("psnr-y", "eval/psnr_y"), ("a.b:c", "eval/a.b.c"), ("ü:x y", "eval/..x.y"), ("psnr-hvs-m", "eval/psnr_hvs_m")],
)
def test_trackers_get_names_that_they_take(name: str, logged: str) -> None:
    assert eval_metric(name) == logged


def test_equal_pictures_stay_infinite(tmp_path: Path) -> None:
    images = [("black.png", torch.zeros(1, 3, 24, 24))]
    metrics = [BUILT_IN["psnr-y"]]

    found = evaluate(ToyCodec(), images, folder=tmp_path, pictures=0, device=torch.device("cpu"), metrics=metrics)

    assert found.mean["psnr-y"] == math.inf
