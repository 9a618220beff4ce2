"""The rule by which claims are judged, and the number of seeds that it takes, against simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from analysis.errors import AnalysisError
from analysis.statistics import Interval
from analysis.verdicts import power, seeds_needed, verdict

CLAIM = math.log(1.84)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.1, 0.9, "supported"),
        (0.1, 0.3, "smaller than claimed"),
        (-0.1, 0.3, "contradicted"),
        (-0.5, -0.1, "contradicted"),
        (-math.inf, -0.07, "contradicted"),
        (-0.1, 0.9, "not resolvable"),
        (-math.inf, math.inf, "not resolvable"),
        (0.7, math.inf, "supported"),
    ],
)
def test_the_four_outcomes_and_their_mirror_images(low, high, expected):
    assert verdict(Interval(low, high), CLAIM) == expected
    assert verdict(Interval(-high, -low), -CLAIM) == expected
    assert verdict(Interval(1 + low, 1 + high), 1 + CLAIM, null=1.0) == expected


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(0.1, 0.2, "supported"), (-0.3, -0.1, "contradicted"), (-0.1, 0.1, "not resolvable")]
)
def test_a_claimed_direction_has_no_size(low, high, expected):
    assert verdict(Interval(low, high), math.inf) == expected
    assert verdict(Interval(-high, -low), -math.inf) == expected


@pytest.mark.parametrize("claim", [0.0, math.nan])
def test_a_claim_of_no_effect_is_refused(claim):
    with pytest.raises(AnalysisError, match="claim a direction"):
        verdict(Interval(-1, 1), claim)


def test_an_interval_the_wrong_way_round_is_refused():
    with pytest.raises(AnalysisError, match="no interval"):
        verdict(Interval(1, -1), CLAIM)


@pytest.mark.parametrize(("effect", "sd", "seeds"), [(0.0943, 0.1, 8), (0.2, 0.1, 3), (-0.3, 0.2, 5)])
def test_the_power_is_that_of_simulated_studies(effect, sd, seeds):
    random, trials = np.random.default_rng(1), 4000
    found = stats.ttest_1samp(random.normal(effect, sd, (trials, seeds)), 0, axis=1)
    shown = (found.pvalue < 0.05) & (np.sign(found.statistic) == np.sign(effect))
    assert power(effect, sd, seeds) == pytest.approx(shown.mean(), abs=0.025)


def test_the_seeds_needed_are_the_fewest_with_that_power():
    for effect, sd in ((0.0943, 0.1), (0.0943, 0.15), (0.61, 0.1), (0.01, 0.06)):
        seeds = seeds_needed(effect, sd)
        assert power(effect, sd, seeds, again=seeds) >= 0.8 > power(effect, sd, seeds - 1, again=seeds - 1)


def test_there_may_be_no_number_of_seeds():
    assert seeds_needed(1e-6, 1.0) is None
    assert power(1.0, 0.1, 1) == 0.0
    with pytest.raises(AnalysisError, match="other than 0"):
        seeds_needed(0.0, 1.0)
