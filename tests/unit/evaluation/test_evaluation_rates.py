"""Evaluation of one codec at several rates: tables, the curve, pictures, and the search on real images."""

import importlib
import io
import json
from pathlib import Path

import pandas as pd
import pytest
import torch
import toy
from PIL import Image
from rich.console import Console

from analysis.curves import load_curve
from lic_exp.evaluation.evaluator import EvaluationError, code, evaluate
from lic_exp.evaluation.rates import Rate, RateRange
from lic_exp.evaluation.report import Evaluation, evaluation_table
from lic_exp.evaluation.search import OutOfReachError, Target, search
from lic_exp.models.base import VariableRateCodec
from lic_exp.tracking import names

CPU = torch.device("cpu")
RANGE = RateRange(0.001, 0.064, 63.0)


def photo(height: int, width: int, seed: int) -> torch.Tensor:
    noise = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(noise, size=(height, width), mode="bilinear")


IMAGES = [("large.png", photo(164, 170, 0)), ("odd.png", photo(37, 53, 1))]


@pytest.fixture(scope="module")
def codec(toy_folder: Path) -> VariableRateCodec:
    torch.manual_seed(0)
    made: VariableRateCodec = importlib.import_module(f"{toy.NAME}.scalable").Scalable(channels=48, max_quality=63)
    return made


def run(codec: VariableRateCodec, folder: Path, rates: list[Rate], pictures: int = 0) -> Evaluation:
    return evaluate(codec, IMAGES, folder=folder, pictures=pictures, device=CPU, rates=rates)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rates") / "run" / "eval"


@pytest.fixture(scope="module")
def evaluation(codec: VariableRateCodec, folder: Path) -> Evaluation:
    return run(codec, folder, [RANGE.at(quality) for quality in (63, 0, 31.5)], pictures=1)


def test_rows_are_by_rate_and_image_and_each_is_coded_at_its_rate(
    evaluation: Evaluation, codec: VariableRateCodec
) -> None:
    assert evaluation.rows["rate"].tolist() == [0, 0, 31.5, 31.5, 63, 63]
    assert evaluation.rows["image"].tolist() == ["large.png", "odd.png"] * 3
    assert evaluation.rows["lmbda"].tolist() == pytest.approx([0.001, 0.001, 0.008, 0.008, 0.064, 0.064])
    assert evaluation.rows["exact"].all()
    for row in evaluation.rows.to_dict("records"):
        x = dict(IMAGES)[row["image"]]
        with torch.no_grad():
            coded = code(codec.eval(), x, RANGE.at(row["rate"]))
            estimated = codec(codec.pad(x), row["rate"]).bits["y"].sum().item()
        assert row["bpp"] == coded.bits / x[0, 0].numel()
        assert row["bpp_estimated"] == pytest.approx(estimated / x[0, 0].numel())


def test_files_hold_a_curve(evaluation: Evaluation, folder: Path) -> None:
    table = pd.read_csv(folder / "images.csv")
    pd.testing.assert_frame_equal(table, evaluation.rows, check_dtype=False, rtol=1e-12)
    saved = json.loads((folder / "evaluation.json").read_text())
    means = table.groupby("rate")[["bpp", "psnr"]].mean()
    assert [point["rate"] for point in saved["points"]] == [0, 31.5, 63]
    assert [point["bpp"] for point in saved["points"]] == pytest.approx(means["bpp"].tolist())
    assert [point["images"] for point in saved["points"]] == [2, 2, 2]
    assert [point["ms_ssim_images"] for point in saved["points"]] == [1, 1, 1]
    assert saved["mean"]["images"] == 2
    assert saved["mean"]["bpp"] == pytest.approx(table["bpp"].mean())
    assert saved["exact"] is True
    results = json.loads((folder / "rd_point.json").read_text())["results"]
    assert results["bpp"] == sorted(results["bpp"]) == pytest.approx(means["bpp"].tolist())
    assert results["psnr"] == sorted(results["psnr"]) == pytest.approx(means["psnr"].tolist())
    assert results["lmbda"] == pytest.approx([0.001, 0.008, 0.064])
    assert results["rate"] == [0, 31.5, 63]


def test_analysis_reads_the_curve_of_a_run(evaluation: Evaluation, folder: Path) -> None:
    curve = load_curve(folder.parent)
    assert len(curve) == 3
    assert curve.quality("psnr").tolist() == [point.mean["psnr"] for point in evaluation.points]


def test_pictures_are_of_the_lowest_and_highest_rate_and_the_curve(evaluation: Evaluation, folder: Path) -> None:
    pictures = sorted(path.name for path in folder.glob("*.png"))
    assert pictures == ["000_large_q0.png", "000_large_q63.png", "rd_curve.png"]
    with Image.open(folder / "rd_curve.png") as picture:
        assert min(picture.size) > 400


def test_the_table_has_a_row_per_rate(evaluation: Evaluation) -> None:
    shown = printed(evaluation)
    assert "means of 2 images at 3 rates" in shown
    assert "odd.png" not in shown
    for point in evaluation.points:
        assert f"{point.mean['bpp']:.4f}" in shown
    assert "lmbda" in shown


def test_one_rate_is_shown_by_image_and_draws_no_curve(codec: VariableRateCodec, tmp_path: Path) -> None:
    (tmp_path / "rd_curve.png").write_bytes(b"of another evaluation")
    found = run(codec, tmp_path, [RANGE.at(31.5)], pictures=1)
    assert "odd.png" in printed(found)
    assert "quality 31.5, lmbda 0.008" in printed(found)
    assert [path.name for path in tmp_path.glob("*.png")] == ["000_large_q31.5.png"]


def test_metrics_go_by_rate(evaluation: Evaluation) -> None:
    metrics = evaluation.metrics()
    low, *_, high = evaluation.points
    assert metrics["eval/bpp_q0"] == low.mean["bpp"]
    assert metrics[names.at_quality(names.EVAL_PSNR, 63)] == high.mean["psnr"]
    assert names.EVAL_BPP not in metrics


def test_a_mismatch_names_image_and_rate(
    codec: VariableRateCodec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decompress = codec.decompress
    monkeypatch.setattr(codec, "decompress", lambda sent: decompress(sent) + (1e-6 if sent.quality == 63 else 0))
    found = run(codec, tmp_path, [RANGE.at(0), RANGE.at(63)])
    assert found.mismatches == ["large.png at quality 63", "odd.png at quality 63"]
    assert "on 2 of 4 images and rates the decoder does not" in printed(found)


def test_errors_name_the_quality(codec: VariableRateCodec, tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"image 'large.png', shape .*, quality 70: ValueError: quality must be"):
        run(codec, tmp_path, [Rate(70, 0.1)])


@pytest.mark.parametrize("target", [Target("bpp", 6.0), Target("psnr", 32.0)])
def test_the_quality_of_a_target_is_found_on_real_bitstreams(
    target: Target, codec: VariableRateCodec, tmp_path: Path
) -> None:
    found = search(codec, IMAGES, target, RANGE, CPU)
    assert found.met
    there = run(codec, tmp_path, [RANGE.at(found.quality)]).mean[target.measure]
    assert there == pytest.approx(found.reached)
    assert there == pytest.approx(target.value, **({"rel": 0.005} if target.measure == "bpp" else {"abs": 0.01}))


def test_a_target_out_of_reach_is_refused_with_the_range(codec: VariableRateCodec, evaluation: Evaluation) -> None:
    low, *_, high = [point.mean["bpp"] for point in evaluation.points]
    with pytest.raises(OutOfReachError, match=f"quality 0 gives {low:.4f} bpp and quality 63 gives {high:.4f} bpp"):
        search(codec, IMAGES, Target("bpp", 1000), RANGE, CPU)


def printed(evaluation: Evaluation) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(evaluation_table(evaluation))
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def test_who_may_end_it_is_asked_before_each_rate(codec: VariableRateCodec, tmp_path: Path) -> None:
    asked: list[int] = []
    rates = [RANGE.at(0), RANGE.at(63)]

    def stop() -> None:
        asked.append(len(asked))
        if len(asked) == 2:
            raise KeyboardInterrupt("asked to stop")

    with pytest.raises(KeyboardInterrupt):
        evaluate(codec, IMAGES, folder=tmp_path, pictures=0, device=CPU, rates=rates, before_each=stop)
    assert asked == [0, 1], "between two rates of the first image"
