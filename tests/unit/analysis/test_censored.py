"""Log ratios of which some are bounds: against scipy where they are exact, closed forms, and by their coverage."""

import math

import numpy as np
import pytest
from scipy import optimize, stats

from analysis.censored import Observation, Spread, estimate, p_value, pooled
from analysis.errors import AnalysisError

SPREAD = Spread(0.1, 4)


def exact(*values):
    return [Observation(value) for value in values]


def upper(*values):
    return [Observation(value, upper=True) for value in values]


def lower(*values):
    return [Observation(value, lower=True) for value in values]


@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_exact_observations_have_the_t_interval_of_the_pooled_spread(level):
    found = estimate(exact(0.1, 0.25, 0.3), SPREAD, level=level)
    assert found.mean == pytest.approx(0.65 / 3)
    assert found.interval == pytest.approx(stats.t.interval(level, 4, 0.65 / 3, 0.1 / math.sqrt(3)), abs=1e-9)
    assert found.censored == 0


@pytest.mark.parametrize("count", [1, 3, 8])
def test_nothing_but_equal_upper_bounds_gives_the_closed_form(count):
    found = estimate(upper(*[-0.16] * count), SPREAD)
    assert found.mean == -math.inf
    expected = -0.16 - 0.1 * stats.t.ppf(0.025 ** (1 / count), 4)
    assert found.interval == (-math.inf, pytest.approx(expected, abs=1e-9))


def test_upper_bounds_of_their_own_are_met_together_with_a_fortieth():
    bounds = [-0.3, -0.1, 0.2]
    end = estimate(upper(*bounds), SPREAD).interval.high
    assert np.prod(stats.t.cdf((np.array(bounds) - end) / 0.1, 4)) == pytest.approx(0.025, rel=1e-6)


@pytest.mark.parametrize(
    "observations",
    [[*upper(-0.16), *exact(-0.1, -0.12)], [*upper(-0.16, -0.2), *exact(0.1)], [*lower(0.5), *exact(0.4)]],
)
def test_a_mixed_estimate_is_the_likeliest_mean_and_its_ends_fall_by_the_same(observations):
    def minus(mu):
        sides = [1.0 if one.upper else -1.0 for one in observations]
        parts = [
            stats.norm.logpdf((one.value - mu) / 0.1) if one.exact else stats.norm.logcdf(side * (one.value - mu) / 0.1)
            for one, side in zip(observations, sides, strict=True)
        ]
        return -sum(parts)

    found = estimate(observations, SPREAD)
    best = optimize.minimize_scalar(minus, bounds=(-2, 2), method="bounded", options={"xatol": 1e-10})
    assert found.mean == pytest.approx(best.x, abs=1e-6)
    for end in found.interval:
        assert 2 * (minus(end) - best.fun) == pytest.approx(stats.t.ppf(0.975, 4) ** 2, rel=1e-5)


def test_lower_bounds_mirror_upper_ones():
    values = [-0.3, -0.1, -0.2]
    below, above = estimate(upper(*values), SPREAD), estimate(lower(*(-value for value in values)), SPREAD)
    assert above.mean == -below.mean
    assert above.interval == pytest.approx((-below.interval.high, math.inf))
    mixed = [*upper(-0.1), *exact(-0.2)]
    mirrored = [*lower(0.1), *exact(0.2)]
    ours, theirs = estimate(mixed, SPREAD), estimate(mirrored, SPREAD)
    assert (theirs.mean, *theirs.interval) == pytest.approx((-ours.mean, -ours.interval.high, -ours.interval.low))


def test_bounds_on_both_sides_alone_say_nothing():
    found = estimate([*upper(0.3), *lower(-0.3)], SPREAD)
    assert math.isnan(found.mean)
    assert found.interval == (-math.inf, math.inf)


def test_an_unknown_spread_leaves_the_interval_open():
    assert estimate(exact(0.1), pooled([], exact(0.1))).interval == (-math.inf, math.inf)


@pytest.mark.parametrize("values", [[], [math.nan], [0.1, math.inf]])
def test_what_is_no_number_is_refused(values):
    with pytest.raises(AnalysisError, match="finite observations"):
        estimate(exact(*values), SPREAD)


def test_the_spread_counts_pairs_of_equals_about_zero_and_a_rows_own_about_their_mean():
    found = pooled([0.1, -0.2], exact(1.0, 1.2))
    assert found.degrees == 3
    assert found.sd == pytest.approx(math.sqrt((0.01 + 0.04 + 0.02) / 3))
    assert pooled([0.1, -0.2], [*exact(1.0, 1.2), *upper(0.9)]).degrees == 2


def test_the_interval_of_a_censored_sample_covers_the_mean_as_often_as_it_says():
    random, covered, trials = np.random.default_rng(0), 0, 600
    for _ in range(trials):
        values, spread = random.normal(-0.1, 0.1, 4), pooled(list(random.normal(0, 0.1, 4)), [])
        seen = [
            Observation(max(value, -0.1), upper=False) if value > -0.1 else Observation(-0.1, upper=True)
            for value in values
        ]
        low, high = estimate(seen, spread).interval
        covered += low <= -0.1 <= high
    assert 0.93 <= covered / trials <= 0.985


@pytest.mark.parametrize("observations", [exact(0.1, 0.3), [*upper(-0.1), *exact(-0.2)], upper(-0.1, -0.2), lower(0.2)])
def test_the_p_value_is_a_fortieth_at_the_ends_of_the_interval(observations):
    found = estimate(observations, SPREAD)
    ends = [end for end in found.interval if math.isfinite(end)]
    assert ends
    for end in ends:
        assert p_value(found, end) == pytest.approx(0.05, rel=1e-5)


def test_the_p_value_of_exact_observations_is_the_t_tests():
    found = estimate(exact(0.1, 0.25, 0.3), SPREAD)
    expected = 2 * stats.t.sf(found.mean / (0.1 / math.sqrt(3)), 4)
    assert p_value(found) == pytest.approx(expected, rel=1e-9)
    assert p_value(estimate(exact(0.1), pooled([], exact(0.1)))) == 1.0
