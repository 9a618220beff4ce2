"""A quality that was measured in two ways: told in decibels too, and never joined or averaged."""

import pytest

from analysis.bd_comparison import compare_curves
from analysis.curve_files import Curve, join
from analysis.errors import AnalysisError
from analysis.measured_alike import unlike

QUALITIES = {"psnr": (30.0, 33.0, 35.0, 37.0), "ms-ssim": (0.9, 0.95, 0.97, 0.98), "ms-ssim-y": (0.9, 0.95, 0.97, 0.98)}
FURTHER = {"psnr-y": (31.0, 33.0, 35.0, 37.0), "psnr-hvs-m": (31.0, 33.0, 35.0, 37.0), "own.lpips:score": (1, 2, 3, 4)}


def measured(name: str, **conventions: str) -> Curve:
    results = {"bpp": (0.1, 0.3, 0.5, 0.8)} | QUALITIES | FURTHER
    return Curve(name, results, "", {"dataset": "mine", "conventions": conventions})


@pytest.mark.parametrize(
    ("key", "metric"),
    [
        *(("ms-ssim", "ms-ssim"), ("ms-ssim", "ms-ssim-db"), ("ms-ssim-y", "ms-ssim-y"), ("ms-ssim-y", "ms-ssim-y-db")),
        *(("psnr-y", "psnr-y"), ("psnr-hvs-m", "psnr-hvs-m"), ("own.lpips:score", "own.lpips:score")),
    ],
)
def test_a_convention_of_the_raw_quality_is_one_of_its_decibels(key: str, metric: str) -> None:
    ours, theirs = measured("a", **{key: "of RGB"}), measured("b", **{key: "of Y by BT.601"})
    assert [one.name for one in unlike(ours, theirs, metric)] == [f"other-{key}"]
    assert any(flag.startswith(f"other-{key}: ") for flag in compare_curves(ours, theirs, metric).flags)
    assert not list(unlike(ours, theirs, "psnr"))
    assert [one.name for one in unlike(ours, theirs)] == [f"other-{key}"], "said once"


@pytest.mark.parametrize("key", ["ms-ssim", "ms-ssim-y", "psnr-y", "psnr-hvs-m", "own.lpips:score"])
def test_points_of_a_quality_measured_otherwise_are_not_joined(key: str) -> None:
    with pytest.raises(AnalysisError, match=f"a and b are not of one curve: other-{key}: "):
        join([measured("a", **{key: "by BT.601"}), measured("b", **{key: "by BT.709"})])
    assert len(join([measured("a", **{key: "by BT.601"}), measured("b", **{key: "by BT.601"})])) == 8


@pytest.mark.parametrize("raw", ["ms-ssim", "ms-ssim-y"])
def test_decibels_of_the_mean_are_not_the_mean_of_decibels(raw: str) -> None:
    decibels = Curve("b", {"bpp": (0.1, 0.3), f"{raw}-db": (10.0, 13.0)}, "", {"dataset": "mine"})
    (found,) = unlike(measured("a"), decibels, f"{raw}-db")
    assert found.name == "other-averaging"
    with pytest.raises(AnalysisError, match="are not of one curve: other-averaging: "):
        join([measured("a"), decibels])
