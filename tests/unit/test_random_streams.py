"""Every random number of a training is a function of the seed and of what it is for."""

import numpy as np
import pytest

from lic_exp.random_streams import Purpose, centred, raw_words, uniform


def first(**changes: int) -> int:
    counter = {"seed": 1, "purpose": Purpose.QUALITY, "major": 2, "minor": 3} | changes
    return int(raw_words(1, **counter)[0])


def noise(count: int = 5, **changes: int) -> list[float]:
    return centred(count, **{"seed": 1, "step": 2, "latent": 3} | changes).tolist()


def test_the_streams_are_pinned() -> None:
    """A changed stream would silently make resumed and repeated runs different ones."""
    assert first() == 7594447830096956662
    assert noise(3) == [-0.138241708278656, 0.11836576461791992, -0.4185357689857483]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 100])
def test_words_and_noise_do_not_hang_on_their_number(count: int) -> None:
    """So an image's are the same whatever images come after it."""
    key = {"seed": 1, "purpose": Purpose.SAMPLE, "major": 2, "minor": 3}
    assert raw_words(100, **key)[:count].tolist() == raw_words(count, **key).tolist()
    assert noise(100)[:count] == noise(count)


@pytest.mark.parametrize(
    "change", [{"seed": 0}, {"purpose": Purpose.NOISE}, {"major": 3}, {"minor": 2}, {"seed": 2**63}]
)
def test_another_use_has_other_words(change: dict[str, int]) -> None:
    assert first(**change) != first()


@pytest.mark.parametrize("change", [{"seed": 0}, {"step": 3}, {"latent": 2}, {"latent": 3 + 2**32}])
def test_another_latent_has_other_noise(change: dict[str, int]) -> None:
    assert not set(noise(1000, **change)) & set(noise(20))


def test_noise_is_uniform_around_zero() -> None:
    """A million: the mean has a standard deviation of 0.0003, each tenth's share one of 0.0003 too."""
    drawn = centred(10**6, seed=4, step=0, latent=0)
    assert drawn.dtype == np.float32
    assert -0.5 <= drawn.min() < -0.499
    assert 0.499 < drawn.max() < 0.5
    assert abs(drawn.mean()) < 0.0015
    assert np.abs(np.histogram(drawn, bins=10, range=(-0.5, 0.5))[0] / 10**6 - 0.1).max() < 0.0015
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 0.005


def test_the_extreme_words_stay_inside() -> None:
    drawn = uniform(np.array([0, 2**64 - 1], dtype=np.uint64))
    assert drawn.tolist() == [0.0, 1 - 2**-53]
