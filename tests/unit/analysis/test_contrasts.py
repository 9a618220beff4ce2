"""What a table concludes of several claims at once."""

import math

import numpy as np
import pytest
from scipy import stats

from analysis.censored import Observation, Spread, estimate
from analysis.contrasts import Contrast, holm, judged


def contrast(mean, claim, *, sd=0.1, seeds=3, degrees=5, **kind):
    return Contrast(estimate([Observation(mean)] * seeds, Spread(sd, degrees)), claim, **kind)


@pytest.mark.parametrize(
    "p_values", [[], [0.04], [0.01, 0.02, 0.03, 0.04], [0.04, 0.001, 0.02], [0.5, 0.012, 0.6, 0.013]]
)
def test_holm_is_the_step_down_procedure(p_values):
    adjusted = {}
    worst = 0.0
    for rank, p in enumerate(sorted(p_values)):
        worst = max(worst, (len(p_values) - rank) * p)
        adjusted[p] = worst
    assert holm(p_values) == [adjusted[p] <= 0.05 for p in p_values]


def test_a_claim_among_many_is_held_to_more_than_the_primary_one():
    barely = 0.15  # t = 2.6 of 5 degrees, p = 0.048
    assert judged([contrast(barely, 0.2)]) == ["supported"]
    many = [contrast(barely, 0.2, again=3), *(contrast(0.0, 0.2) for _ in range(7))]
    assert judged(many)[0].startswith(("not resolvable", "untestable here"))
    primary = [contrast(barely, 0.2, primary=True), *(contrast(0.0, 0.2) for _ in range(7))]
    assert judged(primary)[0] == "supported"


def test_tables_of_rows_without_an_effect_support_one_at_the_stated_rate():
    random, tables, supported = np.random.default_rng(0), 1500, 0
    for _ in range(tables):
        rows = []
        for _ in range(8):
            values = random.normal(0, 0.1, 3)
            spread = Spread(0.1 * math.sqrt(stats.chi2.rvs(30, random_state=random) / 30), 30)
            rows.append(Contrast(estimate([Observation(value) for value in values], spread), math.inf))
        supported += "supported" in judged(rows)
    assert supported / tables <= 0.05


def test_what_could_not_have_been_shown_says_how_many_seeds_would():
    (said,) = judged([contrast(-0.05, math.log(0.91), again=3)])
    assert said == "untestable here: about 10 seeds"
    (said,) = judged([contrast(0.3, math.log(1.84), sd=0.2, degrees=2)])
    assert said.startswith("untestable here: about")
    assert judged([contrast(-0.05, -math.inf)]) == ["not resolvable"]


def test_a_study_that_could_have_shown_it_is_only_unlucky():
    assert judged([contrast(0.146, 0.29, sd=0.1, degrees=5, again=3)]) == ["not resolvable"]


NULLS = 7


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (-0.3, -0.02, "contradicted"),
        (-0.008, 0.288, "contradicted"),
        (0.012, 0.308, "contradicted"),
        (0.02, 0.7, "not resolvable"),
        (0.152, 0.448, "smaller than claimed"),
        (0.4, 0.7, "supported"),
    ],
)
@pytest.mark.parametrize("side", [1, -1])
def test_stronger_evidence_gives_no_weaker_verdict(low, high, said, side):
    """A claim of 1.84, or of its inverse, beside others without an effect: the interval moves away from no effect."""
    claim, degrees = side * math.log(1.84), 5
    sd = (high - low) / 2 / stats.t.ppf(0.975, degrees) * math.sqrt(3)
    one = contrast(side * (low + high) / 2, claim, sd=sd, degrees=degrees, again=3)
    assert one.found.interval == pytest.approx((low, high) if side > 0 else (-high, -low), abs=1e-6)
    words = judged([one, *(contrast(0.0, claim) for _ in range(NULLS))])[0]
    assert words == said or (said == "not resolvable" and words.startswith("untestable here"))


def test_a_claim_that_is_so_is_excluded_no_more_often_among_many():
    """Holm turns "smaller" into "contradicted", each of which is wrong of a true claim as seldom as its interval."""
    random, wrong, tables = np.random.default_rng(1), 0, 800
    for _ in range(tables):
        rows = []
        for truth in (0.3, *[0.0] * NULLS):
            values = random.normal(truth, 0.1, 3)
            spread = Spread(0.1 * math.sqrt(stats.chi2.rvs(5, random_state=random) / 5), 5)
            rows.append(Contrast(estimate([Observation(value) for value in values], spread), 0.3))
        wrong += judged(rows)[0] in ("contradicted", "smaller than claimed")
    assert wrong / tables <= 0.04
