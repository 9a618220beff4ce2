"""The change of R + lmbda D."""

import numpy as np
import pytest

import analysis
from analysis.errors import CurveError
from analysis.lagrangian import rd_change_of_curves

LMBDAS = [0.0067, 0.013, 0.025]
BPP = np.array([0.3, 0.45, 0.65])
MSE = np.array([4e-4, 2.5e-4, 1.5e-4])
PSNR = -10 * np.log10(MSE)


def test_it_is_the_geometric_mean_of_cost_ratios() -> None:
    anchor = BPP + np.array(LMBDAS) * 255**2 * MSE
    test = 0.9 * BPP + np.array(LMBDAS) * 255**2 * MSE

    change = analysis.rd_change(BPP, PSNR, 0.9 * BPP, PSNR, LMBDAS)

    assert change == pytest.approx(100 * (np.prod(test / anchor) ** (1 / 3) - 1))
    assert analysis.rd_change(BPP, MSE, 0.9 * BPP, MSE, LMBDAS, quality="mse") == pytest.approx(change)


def test_both_parts_scaled_scale_the_cost() -> None:
    assert analysis.rd_change(BPP, MSE, 0.8 * BPP, 0.8 * MSE, LMBDAS, quality="mse") == pytest.approx(-20)
    assert analysis.rd_change(BPP, PSNR, BPP, PSNR, LMBDAS) == 0


def test_points_are_matched_by_lmbda() -> None:
    turned = analysis.rd_change(BPP, PSNR, 0.9 * BPP[::-1], PSNR[::-1], LMBDAS, LMBDAS[::-1])

    assert turned == pytest.approx(analysis.rd_change(BPP, PSNR, 0.9 * BPP, PSNR, LMBDAS))


def test_samples_are_the_samples_one_by_one() -> None:
    rates = BPP * np.random.default_rng(0).uniform(0.8, 1.2, (5, 3))

    many = analysis.rd_change(BPP, PSNR, rates, PSNR, LMBDAS)

    assert many == pytest.approx([analysis.rd_change(BPP, PSNR, rate, PSNR, LMBDAS) for rate in rates])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lmbda_test": [0.0067, 0.013, 0.0483]}, "different-lmbdas: 0.025, 0.0483 not in both curves"),
        ({"rate_test": BPP[:2]}, "unequal-lists: test"),
        ({"quality_test": [30, np.nan, 33]}, "not-finite: test"),
        ({"rate_test": [0.0, 0.1, 0.2]}, "not-finite: test"),
        ({"lmbda": [0.01, 0.01, 0.02]}, "twice: 0.01, 0.01, 0.02"),
        ({"lmbda": [0.01, -0.01, 0.02]}, "positive"),
        ({"quality": "ms-ssim"}, "psnr"),
    ],
)
def test_what_cannot_be_compared_is_refused(changes: dict, message: str) -> None:
    arguments = {"rate_anchor": BPP, "quality_anchor": PSNR, "rate_test": BPP, "quality_test": PSNR, "lmbda": LMBDAS}

    with pytest.raises(CurveError, match=message):
        analysis.rd_change(**arguments | changes)


def test_curves_without_lmbdas_are_compared_at_their_least_cost() -> None:
    anchor, test = (analysis.load_curve(name) for name in ("kodak/vtm_18.0", "kodak/hpcm_large"))
    points = anchor.bpp, anchor.quality(), test.bpp, test.quality()

    change = rd_change_of_curves(*points)

    # Both parts of the cost fall together along the curve: less rate at equal quality is about half of it in cost.
    assert 0.4 < change / analysis.bd_rate(*points) < 0.6
    assert rd_change_of_curves(*points[:2], *points[:2]) == 0
    assert rd_change_of_curves(points[0], points[1], points[0], points[1] + 30) < -50
