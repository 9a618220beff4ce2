"""The search of a quality that meets a rate or a distortion."""

import math
from collections.abc import Callable

import pytest

from lic_exp.evaluation.search import Found, OutOfReachError, Target, find_quality


def growing(low: float, high: float) -> Callable[[float], float]:
    """From low at quality 0 to high at 63, exponentially, as rates do."""
    return lambda quality: low * (high / low) ** (quality / 63)


@pytest.mark.parametrize("error", [1.0, 1.03, 0.7, 3.0])
@pytest.mark.parametrize("target", [0.101, 0.5, 1.0, 1.99])
def test_real_bits_decide_however_wrong_the_estimate_is(target: float, error: float) -> None:
    real = growing(0.1, 2.0)
    found = find_quality(Target("bpp", target), lambda q: error * real(q), real, max_quality=63.0)
    assert found.met
    assert found.reached == real(found.quality) == pytest.approx(target, rel=0.005)


def test_a_good_estimate_costs_one_real_measurement() -> None:
    asked: list[float] = []

    def real(quality: float) -> float:
        asked.append(quality)
        return growing(0.1, 2.0)(quality)

    find_quality(Target("bpp", 0.7), growing(0.1, 2.0), real, max_quality=63.0)
    assert len(asked) == 1


def test_no_quality_is_measured_twice_and_few_are() -> None:
    asked: list[float] = []

    def real(quality: float) -> float:
        asked.append(quality)
        return growing(0.1, 2.0)(quality)

    find_quality(Target("bpp", 0.7), growing(0.103, 2.06), real, max_quality=63.0)
    assert len(asked) == len(set(asked)) <= 6


def test_psnr_is_met_in_decibels() -> None:
    def real(quality: float) -> float:
        return 28 + quality / 6

    found = find_quality(Target("psnr", 32), lambda quality: real(quality) + 0.3, real, max_quality=63.0)
    assert found.met
    assert found.reached == pytest.approx(32, abs=0.01)


@pytest.mark.parametrize("target", [0.09, 2.1])
@pytest.mark.parametrize("error", [0.5, 1.0, 2.0])
def test_out_of_reach_is_an_error_with_the_real_range(target: float, error: float) -> None:
    real = growing(0.1, 2.0)
    with pytest.raises(OutOfReachError) as raised:
        find_quality(Target("bpp", target), lambda q: error * real(q), real, max_quality=63.0)
    assert str(raised.value) == (
        f"{target:g} bpp is out of reach: on these images quality 0 gives 0.1000 bpp and quality 63 gives 2.0000 bpp"
    )


@pytest.mark.parametrize(("target", "quality"), [(0.1, 0.0), (2.0, 63.0)])
def test_the_ends_of_the_range_are_within_reach(target: float, quality: float) -> None:
    real = growing(0.1, 2.0)
    found = find_quality(Target("bpp", target), growing(0.12, 1.9), real, max_quality=63.0)
    assert found.met
    assert found.quality == pytest.approx(quality, abs=0.2)


def test_a_jump_past_the_target_is_told() -> None:
    def steps(quality: float) -> float:
        return 1.0 + math.floor(quality / 21)

    found = find_quality(Target("bpp", 2.4), growing(1.0, 4.0), steps, max_quality=63.0)
    assert isinstance(found, Found)
    assert not found.met
    assert found.reached == 2.0
