"""Metrics without torch: against those with it, against a package's own, and one of the user's."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from without_torch import blocked

from lic_exp import metrics
from lic_exp.picture_metrics import BUILT_IN, PictureMetricError, luma, picture_metric


def pair(height: int, width: int, *, noise: float = 12.0) -> tuple[np.ndarray, np.ndarray]:
    """A smooth picture of a random seed, and a noisy one like it."""
    random = np.random.default_rng(height * 1000 + width)
    coarse = Image.fromarray(random.integers(0, 256, (9, 9, 3), dtype=np.uint8))
    picture = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))
    return picture, (picture + random.normal(0, noise, picture.shape)).clip(0, 255).astype(np.uint8)


def tensor(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(picture.copy()).permute(2, 0, 1)[None] / 255


@pytest.mark.parametrize("size", [(176, 161), (192, 256), (331, 203), (162, 199)])
@pytest.mark.parametrize("noise", [1.0, 25.0])
def test_psnr_and_ms_ssim_are_those_of_evaluations(size: tuple[int, int], noise: float) -> None:
    picture, other = pair(*size, noise=noise)

    assert BUILT_IN["psnr"].of(picture, other) == pytest.approx(
        metrics.psnr(tensor(other), tensor(picture)).item(), abs=2e-4
    )
    assert BUILT_IN["ms-ssim"].of(picture, other) == pytest.approx(
        metrics.ms_ssim(tensor(other), tensor(picture)).item(), abs=2e-6
    )


@pytest.mark.parametrize("name", ["psnr", "psnr-y", "ms-ssim", "ms-ssim-y", "psnr-hvs-m"])
def test_every_metric_falls_with_noise_and_knows_equal_pictures(name: str) -> None:
    if name == "psnr-hvs-m":
        pytest.importorskip("psnr_hvsm")
    measure = picture_metric(name).of
    picture, _ = pair(168, 184)
    values = [measure(picture, pair(168, 184, noise=noise)[1]) for noise in (1.0, 6.0, 30.0)]

    assert values[0] > values[1] > values[2]
    assert measure(picture, picture) == (pytest.approx(1.0, abs=1e-6) if name.startswith("ms") else math.inf)


@pytest.mark.parametrize("size", [(160, 300), (300, 160), (7, 7)])
def test_a_picture_that_is_too_small_has_no_ms_ssim(size: tuple[int, int]) -> None:
    picture, other = pair(*size)

    assert math.isnan(BUILT_IN["ms-ssim"].of(picture, other))
    assert math.isnan(BUILT_IN["ms-ssim-y"].of(picture, other))


def test_luma_is_that_of_bt_709() -> None:
    colours = np.array([[[255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)

    assert luma(colours)[0] == pytest.approx([255, 54.213, 182.376, 18.411], abs=1e-3)


def test_psnr_of_luma_forgives_what_is_in_colour_alone() -> None:
    picture = np.full((32, 32, 3), 128, np.uint8)
    reddish, brighter = picture.copy(), picture.copy()
    reddish[..., 0] += 10
    brighter += 4

    assert BUILT_IN["psnr"].of(picture, reddish) < BUILT_IN["psnr"].of(picture, brighter)
    assert BUILT_IN["psnr-y"].of(picture, reddish) > BUILT_IN["psnr-y"].of(picture, brighter)
    assert BUILT_IN["psnr-y"].of(picture, brighter) == pytest.approx(20 * math.log10(255 / 4), abs=1e-3)


def test_psnr_hvs_m_is_the_packages_and_brings_no_torch(tmp_path: Path) -> None:
    pytest.importorskip("psnr_hvsm")
    picture, other = pair(64, 72)
    np.savez(tmp_path / "pair.npz", picture=picture, other=other)
    done = blocked(
        "import sys, numpy as np\nfrom lic_exp.picture_metrics import luma, picture_metric\n"
        "two = np.load('pair.npz')\n"
        "print(picture_metric('psnr-hvs-m').of(two['picture'], two['other']))\n"
        "print('torch' in sys.modules, 'psnr_hvsm' in sys.modules)",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    value, modules = done.stdout.splitlines()
    assert modules == "False False"

    from psnr_hvsm import psnr_hvs_hvsm

    expected = psnr_hvs_hvsm(luma(picture).astype(float) / 255, luma(other).astype(float) / 255)[1]
    assert float(value) == pytest.approx(float(expected), abs=1e-9)


def test_one_of_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_metrics.py").write_text(
        "import numpy as np\n"
        "def worst(a, b):\n    return -np.abs(a.astype(int) - b).max()\n"
        "def text(a, b):\n    return 'good'\n"
        "number = 3\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_metrics", raising=False)
    picture, other = pair(40, 40)

    metric = picture_metric("my_metrics:worst")
    assert metric.of(picture, other) == -np.abs(picture.astype(int) - other).max()
    assert metric.label == "worst"
    with pytest.raises(PictureMetricError, match="my_metrics:text: it returned 'good', which is no number"):
        picture_metric("my_metrics:text").of(picture, other)
    with pytest.raises(PictureMetricError, match="my_metrics has no best"):
        picture_metric("my_metrics:best")
    with pytest.raises(PictureMetricError, match="it is no function"):
        picture_metric("my_metrics:number")


@pytest.mark.parametrize("error", ["ZeroDivisionError", "AttributeError", "SystemError"])
def test_a_module_of_the_users_own_that_raises_is_named(
    error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"raises_{error.lower()}"
    (tmp_path / f"{name}.py").write_text(f"raise {error}('at import')\n")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(PictureMetricError, match=f"{name} raises {error}: at import"):
        picture_metric(f"{name}:metric")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("psnr_y", "no metric 'psnr_y': did you mean psnr-y"),
        ("vmaf", "no metric 'vmaf': there are psnr, ms-ssim"),
        ("no_such_package:metric", "no_such_package cannot be imported"),
        (":metric", "it has the form package.module:function"),
        ("math:", "it has the form package.module:function"),
    ],
)
def test_a_name_that_is_none_is_refused(name: str, message: str) -> None:
    with pytest.raises(PictureMetricError, match=message):
        picture_metric(name)


def test_a_metric_whose_package_is_missing_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from lic_exp import picture_metrics

    picture_metrics._hvs_and_hvs_m.cache_clear()
    monkeypatch.setattr(picture_metrics, "find_spec", lambda name: None)
    with pytest.raises(PictureMetricError, match=r"pip install 'lic-exp\[metrics\]'"):
        picture_metric("psnr-hvs-m")
    picture_metrics._hvs_and_hvs_m.cache_clear()
