"""Intervals over seeds and images at once."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from checkout import program
from scipy import stats

from analysis.bd import bd_rate
from analysis.censored import Observation, Spread, estimate
from analysis.contrasts import Contrast, judged
from analysis.crossed import ImagePart, crossed, image_part, pseudo_values

STUDIES = 150


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def test_the_images_part_is_that_of_the_analysis_of_variance():
    """By sums over every entry, as a textbook has them."""
    values = random(3, 9) + 2 * random(9, seed=1) + random(3, 1, seed=2)
    seeds, images = values.shape
    whole = values.mean()
    between = sum(seeds * (values[:, i].mean() - whole) ** 2 for i in range(images)) / (images - 1)
    rest = sum(
        (values[s, i] - values[s].mean() - values[:, i].mean() + whole) ** 2
        for s in range(seeds)
        for i in range(images)
    ) / ((seeds - 1) * (images - 1))
    found = image_part(values)
    assert found.variance == pytest.approx((between - rest) / (seeds * images))
    assert found.images == images


@pytest.mark.parametrize("shift", [0.0, 5.0])
def test_seeds_that_shift_all_images_alike_have_no_part_in_it(shift):
    values = np.tile(random(10), (4, 1))
    moved = values + shift * random(4, 1, seed=3)
    assert image_part(moved).variance == pytest.approx(np.var(values[0], ddof=1) / 10)


def test_images_that_are_alike_have_no_part():
    assert image_part(np.repeat(random(5, 1), 8, axis=1)).variance == 0
    spread = Spread(0.4, 7)
    assert crossed(spread, 5, ImagePart(0.0, 8)) == spread


def test_of_images_alone_the_interval_is_their_t_interval():
    """Where seeds do not differ at all."""
    values = random(12) + 1
    part = image_part(np.tile(values, (3, 1)))
    found = estimate([Observation(values.mean())] * 3, crossed(Spread(1e-12, 2), 3, part))
    expected = stats.t.interval(0.95, 11, values.mean(), stats.sem(values))
    assert found.interval == pytest.approx(expected, rel=1e-6)


def test_what_is_not_known_over_seeds_is_not_known_over_both():
    unknown = Spread(float("nan"), 0)
    assert crossed(unknown, 1, ImagePart(0.3, 9)) is unknown


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize(("degrees", "images"), [(2, 8), (5, 24), (14, 8)])
def test_an_interval_over_both_is_no_narrower_than_over_either(share, degrees, images):
    both = crossed(Spread(math.sqrt(3 * (1 - share)), degrees), 3, ImagePart(share, images))
    assert both.of_images == pytest.approx(share)
    assert both.sd == pytest.approx(math.sqrt(3))
    half = stats.t.ppf(0.975, both.degrees)
    assert half >= (1 - 1e-9) * math.sqrt(1 - share) * stats.t.ppf(0.975, degrees)
    assert half >= (1 - 1e-9) * math.sqrt(share) * stats.t.ppf(0.975, images - 1)


def test_pseudo_values_of_a_mean_are_the_values():
    values = random(7, 2, 3)
    assert pseudo_values(values, lambda means: means) == pytest.approx(values)


def test_pseudo_values_of_a_bd_rate_leave_each_image_out():
    lmbda = np.array([0.0018, 0.0067, 0.025, 0.0483])
    bits = np.exp(0.3 * random(8, 2, 1)) * lmbda**0.5
    psnr = 44 + 4 * np.log10(lmbda) + random(8, 1, 1, seed=4)
    images = np.stack([bits, np.broadcast_to(psnr, bits.shape)], -2)

    def rate(means):
        return bd_rate(*(means[..., arm, which, :] for arm in (0, 1) for which in (0, 1)), invalid="nan")

    found = pseudo_values(images, rate)
    for i in range(8):
        left = np.delete(images, i, 0).mean(0)
        whole = images.mean(0)
        one, all_of_them = (float(bd_rate(*m[0], *m[1])) for m in (left, whole))
        assert found[i] == pytest.approx(8 * all_of_them - 7 * one)


def contrast(sd, degrees, of_images, claim=-2.0, mean=-1.0, seeds=3):
    spread = replace(Spread(sd, degrees), of_images=of_images)
    return Contrast(estimate([Observation(mean)] * seeds, spread), claim, seeds)


@pytest.mark.parametrize(
    ("of_images", "said"),
    [
        (0.0, r"untestable here: about \d+ seeds"),
        (0.1, r"untestable here: about \d+ seeds or more"),
        (0.95, "untestable here: more images"),
    ],
)
def test_more_seeds_are_not_promised_where_images_are_too_few(of_images, said):
    (verdict,) = judged([contrast(1.8, 5, of_images)])
    assert re.fullmatch(said, verdict)


@pytest.fixture(scope="module")
def benchmark():
    """benchmarks/crossed.py as a module."""
    return program("benchmarks/crossed.py")


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
@pytest.mark.parametrize(("seeds", "images", "rest"), [(3, 24, 0.0), (5, 8, 1.0), (8, 24, 0.0)])
def test_intervals_hold_the_truth_as_often_as_they_say(benchmark, seeds, images, rest, share):
    both, alone = benchmark.covered(benchmark.Cell(seeds, images, True, share, rest, "normal"), STUDIES)
    assert 0.91 <= both <= 0.99
    assert share < 0.9 or alone < 0.75, "over seeds alone they do not say what other images would give"
