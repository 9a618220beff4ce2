"""A run of the command line beside codecs on its own photos, by metrics that it was evaluated with afterwards."""

import json
from pathlib import Path

import pytest

from analysis.__main__ import main as analyse
from lic_exp import exit_codes
from lic_exp.__main__ import main


def test_a_run_stands_beside_codecs_on_the_images_that_it_was_evaluated_on(
    small_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["rd", small_run.name, "--runs", str(small_run.parent), "--anchors", "box,jpeg,webp"]

    assert analyse([*command, "--out", str(tmp_path / "curves")]) == 0

    own, *others = (json.loads((tmp_path / f"curves/{name}.json").read_text()) for name in ("small", "box", "jpeg"))
    for other in others:
        assert other["images"] == own["images"]
        assert len(other["results"]["bpp"]) == 6
    out = capsys.readouterr().out
    for unlike in ("other-data-set", "other-container", "other-colours", "other-rounding", "unknown-images"):
        assert unlike not in out


def test_an_evaluation_afterwards_has_the_metrics_that_are_asked_for(
    small_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "luma"

    assert main(["eval", str(small_run), "--metrics", "psnr-y", "--out", str(place)]) == exit_codes.DONE

    found = json.loads((place / "rd_point.json").read_text())
    (luma,), (colour,) = found["results"]["psnr-y"], found["results"]["psnr"]
    assert luma > colour > 0  # errors of colour are forgiven
    assert "psnr-y" in capsys.readouterr().out
    assert analyse(["rd", str(place / "rd_point.json"), "--metric", "psnr-y"]) == 0
    assert f"{luma:.3f}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("psnr_y", "--metrics: no metric 'psnr_y': did you mean psnr-y"),
        ("nowhere:metric", "--metrics: metric nowhere:metric: nowhere cannot be imported"),
    ],
)
def test_a_metric_that_is_none_is_refused_before_anything_is_coded(
    small_run: Path, tmp_path: Path, names: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["eval", str(small_run), "--metrics", names, "--out", str(tmp_path / "out")]) == exit_codes.CONFIG

    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
