"""Curves of any quality: read, compared, written and drawn by it."""

import csv
import json
import math
from pathlib import Path

import pytest

import analysis
from analysis.__main__ import main
from analysis.curve_metrics import label_of
from analysis.errors import AnalysisError

BPP = [0.1, 0.3, 0.6, 0.9]
LISTS = {
    "psnr": [28.0, 31.0, 34.0, 36.0],
    "psnr-y": [29.0, 32.0, 35.0, 37.0],
    "ms-ssim-y": [0.9, 0.95, 0.98, 0.99],
    "psnr-hvs-m": [27.0, 31.0, 35.0, 38.0],
    "my.metrics:sharpness": [1.0, 2.0, 3.0, 3.5],
}


def results_file(folder: Path, name: str, rate: float = 1.0, **lists: object) -> Path:
    path = folder / f"{name}.json"
    results = {"bpp": [rate * value for value in BPP], **LISTS, **lists}
    path.write_text(json.dumps({"name": name, "results": {k: v for k, v in results.items() if v is not None}}))
    return path


@pytest.mark.parametrize("metric", ["psnr-y", "ms-ssim-y-db", "psnr-hvs-m", "my.metrics:sharpness"])
def test_bd_rate_by_any_of_them(tmp_path: Path, metric: str, capsys: pytest.CaptureFixture[str]) -> None:
    anchor, half = results_file(tmp_path, "anchor"), results_file(tmp_path, "half", 0.5)

    assert main(["bdrate", str(anchor), str(half), "--metric", metric, "--out", str(tmp_path / "bd.json")]) == 0

    (row,) = json.loads((tmp_path / "bd.json").read_text())
    assert row["metric"] == metric
    assert row["bd_rate_percent"] == pytest.approx(-50)
    assert metric in capsys.readouterr().out


def test_another_luma_is_flagged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [results_file(tmp_path, name, rate) for name, rate in (("one", 1.0), ("other", 0.8))]
    for file, said in zip(files, ("Y of BT.709", "Y of BT.601"), strict=True):
        file.write_text(json.dumps(json.loads(file.read_text()) | {"conventions": {"psnr-y": said}}))

    assert main(["bdrate", *map(str, files), "--metric", "psnr-y"]) == 0

    assert "other-psnr-y: psnr-y: one: Y of BT.709; other: Y of BT.601" in " ".join(capsys.readouterr().out.split())


def test_decibels_follow_from_the_raw_value_of_luma_too(tmp_path: Path) -> None:
    curve = analysis.load_curve(results_file(tmp_path, "one"))

    assert curve.quality("ms-ssim-y-db") == pytest.approx([-10 * math.log10(1 - v) for v in LISTS["ms-ssim-y"]])
    assert curve.metrics == ["psnr", "psnr-y", "ms-ssim-y-db", "ms-ssim-y", "psnr-hvs-m", "my.metrics:sharpness"]


@pytest.mark.parametrize(
    ("metric", "lists", "message"),
    [
        ("psnr-y", {"psnr-y": None}, "one has no psnr-y; it has psnr, ms-ssim-y-db"),
        ("other:sharpness", {}, "one has no other:sharpness; it has .*my.metrics:sharpness"),
        ("vmaf", {}, "no metric 'vmaf': it is one of psnr, .*psnr-hvs-m, or package.module:function"),
        ("psnr", {"ms-ssim-y": [9.0, 12.0, 15.0, 18.0]}, 'decibels belong under "ms-ssim-y-db"'),
        ("psnr", {"psnr_y": [1.0, 2.0, 3.0, 4.0]}, "both are psnr-y, with other numbers"),
    ],
)
def test_what_a_curve_has_not_is_named(tmp_path: Path, metric: str, lists: dict[str, object], message: str) -> None:
    with pytest.raises(AnalysisError, match=message):
        analysis.load_curve(results_file(tmp_path, "one", **lists)).quality(metric)


def test_tables_have_a_column_where_a_curve_has_the_metric(tmp_path: Path) -> None:
    one, other = (
        results_file(tmp_path, "one"),
        results_file(tmp_path, "other", **(dict.fromkeys(LISTS) | {"psnr": LISTS["psnr"]})),
    )

    assert main(["rd", str(one), str(other), "--out", str(tmp_path / "both.csv")]) == 0
    assert main(["rd", str(other), "--out", str(tmp_path / "other.csv")]) == 0

    with open(tmp_path / "both.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[0]["psnr-hvs-m"]) == 27
    assert rows[4]["psnr-hvs-m"] == ""
    header = (tmp_path / "other.csv").read_text().splitlines()[0]
    assert header == "curve,dataset,bpp,psnr,ms-ssim-db,ms-ssim,source"


@pytest.mark.parametrize("metric", ["psnr-hvs-m", "my.metrics:sharpness", "ms-ssim-y-db"])
def test_plots_are_drawn_by_any_of_them(tmp_path: Path, metric: str) -> None:
    path = tmp_path / "plot.svg"

    assert main(["rd", str(results_file(tmp_path, "one")), "--metric", metric, "--out", str(path)]) == 0

    assert path.stat().st_size > 0
    assert label_of("my.metrics:sharpness") == "sharpness"
    assert label_of("psnr-y") == "PSNR of Y [dB]"
