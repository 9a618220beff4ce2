"""Every draw is a function of (seed, epoch, index)."""

from collections import Counter

import pytest

from lic_exp.data.sampling import Sampler
from lic_exp.random_streams import below


def sampler(*sizes: int, weights: list[float] | None = None, seed: int = 3) -> Sampler:
    return Sampler(sizes, weights or [1.0] * len(sizes), seed=seed)


def test_draws_do_not_depend_on_earlier_draws() -> None:
    forwards, backwards = sampler(7), sampler(7)
    keys = [(epoch, index) for epoch in range(3) for index in range(20)]
    first = {key: forwards.draw(*key) for key in keys}
    assert first == {key: backwards.draw(*key) for key in reversed(keys)}


def test_the_stream_is_pinned() -> None:
    """A changed stream would silently make resumed and repeated runs different ones."""
    draw = sampler(10, seed=1).draw(2, 3)
    assert (draw.image, draw.corner(512, 768, 256), draw.flip) == (3, (239, 200), True)


def test_each_image_once_per_pass() -> None:
    drawn = [sampler(11).draw(4, index).image for index in range(33)]
    passes = [drawn[:11], drawn[11:22], drawn[22:]]
    assert [sorted(images) for images in passes] == [list(range(11))] * 3
    assert len({tuple(images) for images in passes}) == 3


@pytest.mark.parametrize("other", [(3, 1), (4, 0)])
def test_seed_and_epoch_change_order_crop_and_flip(other: tuple[int, int]) -> None:
    seed, epoch = other
    base = [sampler(50).draw(0, index) for index in range(50)]
    changed = [sampler(50, seed=seed).draw(epoch, index) for index in range(50)]
    assert [draw.image for draw in base] != [draw.image for draw in changed]
    assert not {draw.row for draw in base} & {draw.row for draw in changed}
    assert [draw.flip for draw in base] != [draw.flip for draw in changed]


def test_weights_are_respected_whatever_the_sizes() -> None:
    """4000 draws: the standard deviation of the share is 0.007."""
    mixed = sampler(100, 2, weights=[1.0, 3.0])
    counts = Counter(mixed.draw(0, index).image for index in range(4000))
    assert sum(counts[image] for image in (100, 101)) / 4000 == pytest.approx(0.75, abs=0.03)
    assert counts[100] / (counts[100] + counts[101]) == pytest.approx(0.5, abs=0.04)
    assert set(counts) == set(range(102))


def test_the_extreme_words_stay_inside() -> None:
    top = 2**64 - 1
    assert [below(5, 0), below(5, top), below(1, top)] == [0, 4, 0]
    weighted = sampler(2, 3, weights=[0.1, 0.2])
    assert weighted._by_weight(0, 0) == 0
    assert weighted._by_weight(top, top) == 4


def test_crops_reach_every_place_alike_and_no_other() -> None:
    """6 places, 3600 draws: 600 each with a standard deviation of 22."""
    corners = Counter(sampler(1).draw(0, index).corner(6, 7, 5) for index in range(3600))
    assert set(corners) == {(top, left) for top in range(2) for left in range(3)}
    assert all(abs(count - 600) < 100 for count in corners.values())


def test_a_crop_of_the_whole_image_starts_at_its_corner() -> None:
    assert {sampler(1).draw(0, index).corner(5, 5, 5) for index in range(20)} == {(0, 0)}


def test_half_of_the_crops_are_flipped() -> None:
    assert sum(sampler(1).draw(0, index).flip for index in range(2000)) == pytest.approx(1000, abs=100)
