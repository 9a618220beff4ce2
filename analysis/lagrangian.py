"""The change of R + lmbda D, which needs no overlap of the curves and is better conditioned where there is little."""

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from analysis.errors import CurveError
from analysis.interpolation import Floats

LMBDAS = (0.0018, 0.0035, 0.0067, 0.013, 0.025, 0.0483)
"""The usual rates of learned codecs: weights of 255^2 MSE against bits per pixel."""

QualityMeasure = Literal["psnr", "mse"]

STEPS = 400
"""Points at which a curve between published points is searched for its least cost."""


def rd_change(
    rate_anchor: ArrayLike,
    quality_anchor: ArrayLike,
    rate_test: ArrayLike,
    quality_test: ArrayLike,
    lmbda: ArrayLike,
    lmbda_test: ArrayLike | None = None,
    *,
    quality: QualityMeasure = "psnr",
) -> Any:
    """Change of R + lmbda D, test against anchor [%], geometric mean over rates; negative is better.

    rate (..., n) [bpp], quality (..., n): PSNR [dB], or MSE of samples in [0, 1]; lmbda (n,): the weight of 255^2 MSE
    that each point was trained for. Point i of the test is compared with the anchor's point of the same lmbda:
    where `lmbda_test` is given, in whatever order. Leading axes broadcast. Raises CurveError.
    """
    weights = _weights(lmbda)
    others = weights if lmbda_test is None else _weights(lmbda_test)
    if sorted(weights) != sorted(others):
        only = sorted(set(weights) ^ set(others))
        raise CurveError(f"different-lmbdas: {_list(only)} not in both curves; costs compare at the same lmbda only")
    costs = []
    for role, rate, level, at in (
        ("anchor", rate_anchor, quality_anchor, weights),
        ("test", rate_test, quality_test, others),
    ):
        rates, levels = np.asarray(rate, dtype=np.float64), np.asarray(level, dtype=np.float64)
        if not rates.shape[-1:] == levels.shape[-1:] == at.shape:
            raise CurveError(
                f"unequal-lists: {role}: {rates.shape[-1:]} rates, {levels.shape[-1:]} qualities, {at.shape} lmbdas"
            )
        cost = rates + at * _distortion(levels, quality)
        if not (np.isfinite(cost).all() and (rates > 0).all() and (cost > 0).all()):
            raise CurveError(f"not-finite: {role}: a rate or a distortion is not a positive, finite number: {cost}")
        costs.append(cost[..., np.argsort(at)])
    change = 100 * np.expm1(np.log(costs[1] / costs[0]).mean(-1))
    return float(change) if change.ndim == 0 else change


def rd_change_of_curves(
    rate_anchor: Floats, psnr_anchor: Floats, rate_test: Floats, psnr_test: Floats, lmbda: ArrayLike = LMBDAS
) -> float:
    """`rd_change` between curves whose points belong to no stated lmbda, as published ones: each at its least cost.

    The least R + lmbda D along the PCHIP curve through the points (n,), within the points' range.
    """
    weights = _weights(lmbda)
    anchor, test = _least(rate_anchor, psnr_anchor, weights), _least(rate_test, psnr_test, weights)
    return float(100 * np.expm1(np.log(test / anchor).mean()))


def _least(rate: Floats, psnr: Floats, lmbda: Floats) -> Floats:
    from scipy.interpolate import PchipInterpolator

    order = np.argsort(rate)
    levels = np.linspace(psnr[order][0], psnr[order][-1], STEPS)
    rates = 10 ** PchipInterpolator(psnr[order], np.log10(rate[order]))(levels)
    costs: Floats = (rates + lmbda[:, None] * _distortion(levels, "psnr")).min(-1)
    return costs


def _distortion(level: Floats, quality: QualityMeasure) -> Floats:
    """255^2 MSE."""
    if quality not in ("psnr", "mse"):
        raise CurveError(f'quality={quality!r}: it is "psnr" [dB] or "mse" (of samples in [0, 1])')
    mse: Floats = 10 ** (-level / 10) if quality == "psnr" else level
    return 255**2 * mse


def _weights(lmbda: ArrayLike) -> Floats:
    weights = np.atleast_1d(np.asarray(lmbda, dtype=np.float64))
    if weights.ndim != 1 or not (np.isfinite(weights).all() and (weights > 0).all()):
        raise CurveError(f"lmbda is a list of positive numbers, not {lmbda!r}")
    if len(set(weights)) < len(weights):
        raise CurveError(f"an lmbda appears twice: {_list(weights)}")
    return weights


def _list(values: Any) -> str:
    return ", ".join(f"{value:g}" for value in values)
