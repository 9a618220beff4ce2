"""Intervals against their nominal coverage and against scipy."""

import math

import numpy as np
import pytest
from scipy import stats

from analysis.errors import AnalysisError
from analysis.statistics import bca_interval, resolvable, t_interval

TRIALS = 1000


@pytest.mark.parametrize("n", [3, 5])
def test_the_t_interval_covers_the_truth_as_often_as_it_says(n):
    random = np.random.default_rng(1)
    covered = sum(-1.07 in t_interval(random.normal(-1.07, 0.8, n)) for _ in range(TRIALS))
    assert 0.92 <= covered / TRIALS <= 0.97


def test_the_t_interval_is_scipys():
    values = [1.0, 1.4, 0.7, 1.2]
    expected = stats.t.interval(0.9, 3, np.mean(values), stats.sem(values))
    assert t_interval(values, level=0.9) == pytest.approx(expected, rel=1e-12)


def test_one_value_has_no_interval():
    assert t_interval([2.0]) == (-math.inf, math.inf)
    for values in ([], [1.0, math.nan]):
        with pytest.raises(AnalysisError, match="finite values"):
            t_interval(values)


def of_normal(random):
    return random.normal(3.0, 1.0, 24), 3.0


def of_skewed(random):
    return random.gamma(2.0, 1.0, 24), 2.0


@pytest.mark.parametrize("draw", [of_normal, of_skewed])
def test_the_bootstrap_over_24_images_covers_the_truth_as_often_as_it_says(draw):
    random, covered = np.random.default_rng(2), 0
    for trial in range(TRIALS):
        values, truth = draw(random)
        covered += truth in bca_interval(values, resamples=999, seed=trial)
    assert 0.92 <= covered / TRIALS <= 0.97


def log_ratio(rows):
    """(..., n, 2) -> (...): of mean rates, as a BD-rate is a function of means over images."""
    means = rows.mean(axis=-2)
    return np.log(means[..., 1] / means[..., 0])


def test_the_bootstrap_of_a_function_of_means_covers_the_truth():
    random, covered = np.random.default_rng(3), 0
    for trial in range(TRIALS):
        anchor = random.gamma(4.0, 0.1, 24)
        test = anchor * random.normal(0.9, 0.05, 24)
        covered += math.log(0.9) in bca_interval(np.stack([anchor, test], -1), log_ratio, resamples=999, seed=trial)
    assert 0.92 <= covered / TRIALS <= 0.97


def test_the_bootstrap_is_scipys_bca_at_the_expanded_level():
    values, n = np.random.default_rng(4).gamma(2.0, 1.0, 24), 24
    expanded = 2 * stats.norm.cdf(math.sqrt(n / (n - 1)) * stats.t.ppf(0.975, n - 1)) - 1
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=50_000, confidence_level=expanded, random_state=np.random.default_rng(0)
    )
    assert bca_interval(values, resamples=50_000) == pytest.approx(theirs.confidence_interval, abs=0.02)


def test_the_bootstrap_is_reproducible_and_degenerates_to_a_point():
    values = np.random.default_rng(5).normal(size=24)
    assert bca_interval(values, seed=7) == bca_interval(values, seed=7) != bca_interval(values, seed=8)
    assert bca_interval(np.full(24, 0.3)) == pytest.approx((0.3, 0.3))


def test_what_a_bootstrap_cannot_do_is_an_error():
    with pytest.raises(AnalysisError, match="at least 3 rows, got 2"):
        bca_interval([1.0, 2.0])
    with pytest.raises(AnalysisError, match="finite values"):
        bca_interval([1.0, 2.0, math.inf])
    with pytest.raises(AnalysisError, match="the statistic made"):
        bca_interval(np.ones((24, 2)), lambda rows: rows.mean())
    with pytest.raises(AnalysisError, match="not finite"):
        bca_interval([1.0, 2.0, 3.0, 4.0], lambda rows: np.where(rows.mean(-1) > 3, np.nan, rows.mean(-1)))


@pytest.mark.parametrize(("seeds", "paired"), [(3, False), (5, False), (5, True)])
def test_a_resolvable_effect_is_seen_as_often_as_it_says(seeds, paired):
    effect, random = resolvable(0.7, seeds, paired=paired), np.random.default_rng(6)
    ours, theirs = (random.normal(mean, 0.7, (4000, seeds)) for mean in (0.0, effect))
    found = stats.ttest_1samp(theirs, 0.0, axis=1) if paired else stats.ttest_ind(theirs, ours, axis=1)
    assert (found.confidence_interval(0.95).low > 0).mean() == pytest.approx(0.8, abs=0.03)


def test_one_seed_resolves_nothing():
    assert resolvable(0.7, 1) == math.inf
    assert resolvable(0.0, 3) == 0.0
    with pytest.raises(AnalysisError, match="seeds >= 1"):
        resolvable(0.7, 0)
