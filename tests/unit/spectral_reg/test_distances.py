"""Metrics between a coarse latent and its prediction: gradients, ranges, and what earns nothing."""

import itertools

import pytest
import torch
from torch.autograd import gradcheck

from lic_exp.spectral_reg.distances import LIMITS, METRICS, bounded, largest
from lic_exp.spectral_reg.inter_scale import NORMALISED

BOUNDS = {"none": None, "hinge": 1.0, "log1p": None, "ratio": None}


def latents(seed=0, dtype=torch.float64, offset=0.0):
    """A coarse latent and a prediction of it."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(2, 3, 4, 3, generator=generator, dtype=dtype) + offset for _ in range(2)]


@pytest.mark.parametrize(("metric", "bound"), list(itertools.product(METRICS, BOUNDS)))
def test_gradients_are_those_of_finite_differences(metric, bound):
    if bound == "ratio" and metric in NORMALISED:
        return
    distance = bounded(METRICS[metric], bound, BOUNDS[bound])
    for size in (0.3, 1.0):  # below and above the hinge
        assert gradcheck(distance, [(size * x).requires_grad_() for x in latents()])


@pytest.mark.parametrize("metric", METRICS)
def test_a_distance_is_at_least_0_and_0_only_without_redundancy_lost(metric):
    coarse, predicted = latents()
    assert METRICS[metric](coarse, predicted) > 0
    if metric != "cross_correlation":
        assert METRICS[metric](coarse, coarse.clone()) == pytest.approx(0, abs=5e-3)


def test_metrics_that_are_bounded_by_themselves_are_the_normalised_ones():
    assert set(LIMITS) == set(NORMALISED)


@pytest.mark.parametrize("metric", NORMALISED)
def test_normalised_metrics_reward_neither_growth_nor_an_offset(metric):
    coarse, predicted = latents()
    there = METRICS[metric](coarse, predicted)
    for changed in (coarse * 30, coarse + 50):
        assert METRICS[metric](changed, predicted) == pytest.approx(float(there), rel=5e-3)
    assert METRICS[metric](coarse * 1e6, -predicted * 1e6) <= (4 if metric == "normalised_l2" else 1)


def test_what_the_metrics_say_of_anti_correlation():
    coarse, _ = latents()
    values = {name: float(METRICS[name](coarse, -coarse)) for name in NORMALISED}
    assert values["normalised_l2"] == pytest.approx(4, rel=5e-3)
    assert values["cos"] == pytest.approx(0, abs=5e-3)
    assert values["cos2"] == pytest.approx(0, abs=5e-3)


@pytest.mark.parametrize("metric", NORMALISED)
def test_a_dead_channel_gets_a_finite_gradient(metric):
    coarse, predicted = latents(dtype=torch.float32)
    coarse = torch.zeros_like(coarse).requires_grad_()
    (gradient,) = torch.autograd.grad(METRICS[metric](coarse, predicted), coarse)
    assert gradient.isfinite().all()
    assert gradient.norm() < 10


def test_bounds():
    coarse, predicted = latents()
    d = METRICS["l2_mean"](coarse, predicted)
    assert bounded(METRICS["l2_mean"], "hinge", 0.5)(coarse, predicted) == 0.5
    assert bounded(METRICS["l2_mean"], "log1p", None)(coarse, predicted) == (1 + d).log()
    for factor in (1, 1e3):
        ratio = bounded(METRICS["l2_mean"], "ratio", None)(factor * coarse, factor * predicted)
        energy = coarse.square().mean() + predicted.square().mean()
        assert ratio == pytest.approx(float(d / energy), rel=1e-3)


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("metric", METRICS)
def test_the_largest_value_is_not_exceeded_and_can_be_met(metric, bound):
    if bound == "ratio" and metric in NORMALISED:
        return
    coarse, predicted = latents()
    distance = bounded(METRICS[metric], bound, BOUNDS[bound])
    found = [distance(1e4 * coarse, 1e4 * other) for other in (coarse, -coarse, predicted)]
    top = largest(metric, bound, BOUNDS[bound])
    if top == float("inf"):
        assert max(found) > 5
    else:
        assert 0.5 * top < max(found) <= top + 1e-9
