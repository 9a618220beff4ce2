"""Places on noisy curves: known ratios are found, in every direction, and what never gets there is a bound."""

import math

import numpy as np
import pytest

from analysis.errors import AnalysisError
from analysis.smoothing import crossing, smoothed
from analysis.undecayed import PLACE, Stretch, between_equals, log_ratio, places

EVERY = 40


def stretch(speed=1.0, length=1120, noise=0.0, seed=0, every=EVERY):
    """A power law of cost, falling `speed` times as fast."""
    steps = np.arange(every, length + 1, every, dtype=float)
    losses = (0.6 + 6 * (steps * speed) ** -0.45) * np.exp(noise * np.random.default_rng(seed).normal(size=len(steps)))
    return Stretch(steps, losses, float(length))


def test_a_power_law_without_noise_is_its_own_smooth():
    steps = np.arange(1.0, 30)
    assert smoothed(steps, 3 * steps**-0.4) == pytest.approx(np.log(3 * steps**-0.4), abs=1e-9)


def test_a_smoothed_curve_never_rises_and_has_less_noise():
    noisy, clean = stretch(noise=0.02), stretch()
    found = smoothed(noisy.costs, noisy.losses)
    assert (np.diff(found) <= 0).all()
    truth = np.log(clean.losses)
    assert np.std(found - truth) < 0.5 * np.std(np.log(noisy.losses) - truth)


def test_a_level_is_crossed_between_entries_and_not_before_it_is():
    curve = np.array([2.0, 1.0, 1.0, 0.0])
    costs = np.exp([0.0, 1.0, 2.0, 3.0])
    assert crossing(costs, curve, 1.5) == pytest.approx(math.exp(0.5))
    assert crossing(costs, curve, 1.0) == pytest.approx(math.e)
    assert crossing(costs, curve, 2.5) == pytest.approx(1.0)
    assert crossing(costs, curve, -0.1) is None


@pytest.mark.parametrize("costs", [[1, 1, 2], [2, 1, 3], [0, 1, 2], [1, 2]])
def test_costs_that_do_not_rise_are_refused(costs):
    with pytest.raises(AnalysisError, match="costs"):
        smoothed(costs, [3.0, 2.0, 1.0])


@pytest.mark.parametrize("loss", [0.0, -1.0, math.nan, math.inf])
def test_losses_without_a_logarithm_are_refused(loss):
    with pytest.raises(AnalysisError, match="losses that are finite and above 0"):
        smoothed([1, 2, 3], [3.0, loss, 1.0])


@pytest.mark.parametrize("speed", [0.9, 1.0, 1.3, 1.84, 3.0])
@pytest.mark.parametrize("every", [20, 40, 80])
def test_known_ratios_are_found(speed, every):
    found = log_ratio(stretch(every=every), stretch(speed, every=every))
    assert found.exact
    assert found.value == pytest.approx(math.log(speed), abs=0.02)


@pytest.mark.parametrize("speed", [0.5, 0.7, 0.8])
def test_a_run_that_never_gets_there_is_at_most_the_place(speed):
    found = log_ratio(stretch(), stretch(speed))
    assert found.upper
    assert found.value == pytest.approx(math.log(PLACE))
    longer = log_ratio(stretch(), stretch(speed, length=2800))
    assert longer.exact
    assert longer.value == pytest.approx(math.log(speed), abs=0.02)


def test_a_run_that_is_there_at_once_is_at_least_that():
    found = log_ratio(stretch(), stretch(100.0))
    assert found.lower
    assert found.value == pytest.approx(math.log(PLACE * 1120 / EVERY))


def test_equals_are_always_a_number_of_no_bias():
    values = [between_equals(stretch(noise=0.01, seed=2 * i), stretch(noise=0.01, seed=2 * i + 1)) for i in range(200)]
    assert abs(np.mean(values)) < 3 * np.std(values) / math.sqrt(200)
    slow = between_equals(stretch(), stretch(0.7, length=1600))
    assert slow == pytest.approx(math.log(0.7), abs=0.02)


def test_a_stretch_of_one_evaluation_is_no_curve():
    with pytest.raises(AnalysisError, match="the test has 1 evaluations"):
        places(stretch(), stretch(length=60))
