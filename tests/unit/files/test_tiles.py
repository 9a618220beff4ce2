"""Tiles cover a picture, fade into each other without a seam, and are planned from numbers alone."""

import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lic_exp.files.pixels import Picture, Planes
from lic_exp.files.tiles import OVERLAP, Tiling, TilingError, assembled, crops, plan

RANDOM = np.random.default_rng(0)
tilings = st.builds(
    lambda height, width, overlap, more, others: (height, width, 2 * overlap + more, 2 * overlap + others, overlap),
    *(st.integers(1, 70), st.integers(1, 70), st.integers(0, 9), st.integers(1, 30), st.integers(1, 30)),
)


@settings(max_examples=150, deadline=None)
@given(numbers=tilings, grey=st.booleans(), bits=st.sampled_from((8, 16)))
def test_tiles_of_a_picture_are_the_picture(numbers: tuple[int, int, int, int, int], grey: bool, bits: int) -> None:
    tiling = Tiling(*numbers)
    shape = (tiling.height, tiling.width) if grey else (tiling.height, tiling.width, 3)
    colour = RANDOM.integers(0, 2**bits, shape, dtype=f"uint{bits}")
    found = assembled(tiling, crops(Picture(colour), tiling), grey=grey, bits=bits)
    assert found.dtype == colour.dtype
    assert np.abs(found.astype(int) - colour).max() <= (0 if bits == 8 else 1)
    assert len(list(tiling)) == tiling.count


@settings(max_examples=150, deadline=None)
@given(numbers=tilings)
def test_weights_add_up_to_one_everywhere(numbers: tuple[int, int, int, int, int]) -> None:
    tiling = Tiling(*numbers)
    ones = (np.ones((3, tile.height, tile.width), np.float32) for tile in tiling)
    assert (assembled(tiling, ones, grey=True, bits=16) == 65535).all()


@settings(max_examples=100, deadline=None)
@given(numbers=tilings)
def test_every_pixel_is_in_a_tile_and_in_no_more_than_two_along_a_side(numbers: tuple[int, int, int, int, int]) -> None:
    tiling = Tiling(*numbers)
    counts = np.zeros((tiling.height, tiling.width), int)
    for tile in tiling:
        assert min(tile.height, tile.width) >= 1
        counts[tile.top : tile.top + tile.height, tile.left : tile.left + tile.width] += 1
    assert counts.min() >= 1
    assert counts.max() <= 4
    assert counts[0].max() <= 2
    assert counts[:, 0].max() <= 2


def test_a_seam_is_a_ramp() -> None:
    tiling = Tiling(64, 96, 64, 64, 32)
    dark, light = np.zeros((3, 64, 64), np.float32), np.ones((3, 64, 64), np.float32)
    row = assembled(tiling, [dark, light], grey=True, bits=16)[10].astype(float) / 65535
    assert (row[:32] == 0).all()
    assert (row[64:] == 1).all()
    assert np.allclose(np.diff(row[32:64]), 1 / 32, atol=1e-4)


@settings(max_examples=150, deadline=None)
@given(
    height=st.integers(1, 9000),
    width=st.integers(1, 9000),
    multiple=st.sampled_from((16, 64, 128, 256)),
    budget=st.integers(2**16, 2**25),
    overlap=st.sampled_from((0, 16, 32, 48)),
)
@example(height=97, width=1, multiple=16, budget=2**16, overlap=48)
def test_plans_stay_in_their_budget(height: int, width: int, multiple: int, budget: int, overlap: int) -> None:
    tiling = plan(height, width, multiple=multiple, most_pixels=budget, overlap=overlap)
    up = lambda side: -(-side // multiple) * multiple  # noqa: E731
    assert up(tiling.tile_height) * up(tiling.tile_width) <= budget
    whole = up(height) * up(width)
    assert (tiling.count == 1) == (whole <= budget)
    assert tiling.count == 1 or tiling.padded_pixels(multiple) >= height * width
    assert tiling == plan(height, width, multiple=multiple, most_pixels=budget, overlap=overlap)
    if budget > 2**20 and multiple <= 64 and min(height, width) > 1024:
        assert tiling.padded_pixels(multiple) <= 1.35 * height * width


@pytest.mark.parametrize(("height", "width"), [(4000, 6000), (6000, 4000)])
def test_a_large_photo_costs_two_percent_more_pixels(height: int, width: int) -> None:
    tiling = plan(height, width, multiple=64, most_pixels=2**22)
    assert (tiling.rows * tiling.columns, tiling.overlap) == (6, OVERLAP)
    assert tiling.padded_pixels(64) < 1.03 * height * width


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((100, 100, 0, 50, 0), "sides must be at least 1"),
        ((0, 100, 50, 50, 0), "sides must be at least 1"),
        ((100, 100, 50, 50, -1), "the overlap at least 0"),
        ((100, 100, 50, 50, 26), "twice as large as the overlap"),
        ((100, 50, 51, 50, 26), "twice as large as the overlap"),
        ((100, 100, 50, 100, 2**16), "twice as large as the overlap"),
    ],
)
def test_numbers_that_make_no_tiles_are_refused(numbers: tuple[int, int, int, int, int], message: str) -> None:
    with pytest.raises(TilingError, match=message):
        Tiling(*numbers)


def test_no_room_for_a_tile_is_said() -> None:
    with pytest.raises(TilingError, match="tiles that share 32 have 65536 pixels at least, and 4096 are allowed"):
        plan(1000, 1000, multiple=256, most_pixels=4096)


@pytest.mark.parametrize("wrong", ["too few", "another size"])
def test_tiles_that_do_not_fit_are_refused(wrong: str) -> None:
    tiling = Tiling(100, 100, 64, 64, 16)
    tiles = list(crops(Picture(np.zeros((100, 100, 3), np.uint8)), tiling))
    given = tiles[:-1] if wrong == "too few" else [tiles[0][:, 1:], *tiles[1:]]
    with pytest.raises(ValueError, match=r"tile 1, 1 is .* none was given|tile 0, 0 is .* \(3, 63, 64\) was given"):
        assembled(tiling, given, grey=False, bits=8)


def test_memory_is_that_of_a_row_of_tiles() -> None:
    tiling = plan(3000, 1024, multiple=64, most_pixels=256 * 1024, overlap=32)

    def decoded() -> Iterator[Planes]:
        for tile in tiling:
            yield np.zeros((3, tile.height, tile.width), np.float32)

    tracemalloc.start()
    try:
        assembled(tiling, decoded(), grey=False, bits=8)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    result, row = 3 * tiling.height * tiling.width, 12 * tiling.tile_height * tiling.width
    assert peak < result + 5 * row
