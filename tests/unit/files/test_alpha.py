"""Alpha planes come back to the last bit, cost little, and damaged ones are an error of bounded size."""

import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lic_exp.files.alpha import AlphaError, alpha_bytes, alpha_plane

RANDOM = np.random.default_rng(0)


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    bits=st.sampled_from((8, 16)),
    seed=st.integers(0, 2**32 - 1),
)
def test_planes_come_back(height: int, width: int, bits: int, seed: int) -> None:
    plane = np.random.default_rng(seed).integers(0, 2**bits, (height, width), dtype=f"uint{bits}")
    back = alpha_plane(alpha_bytes(plane), height, width, bits)
    assert back.dtype == plane.dtype
    assert np.array_equal(back, plane)


@pytest.mark.parametrize("bits", [8, 16])
def test_what_hides_nothing_costs_nothing(bits: int) -> None:
    opaque = np.full((1000, 1500), 2**bits - 1, f"uint{bits}")
    assert len(alpha_bytes(opaque)) < 6000
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 800, 1)
    assert len(alpha_bytes(ramp)) < 600


PLANE = RANDOM.integers(0, 256, (20, 30), dtype=np.uint8)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no stream",
        alpha_bytes(PLANE)[:-1],
        alpha_bytes(PLANE)[:100],
        alpha_bytes(PLANE) + b"\0",
        alpha_bytes(PLANE[:-1]),
        alpha_bytes(np.concatenate([PLANE, PLANE])),
        alpha_bytes(PLANE)[:-4] + bytes(4),
        zlib.compress(bytes(20 * 30 + 1)),
    ],
)
def test_other_bytes_are_an_error(data: bytes) -> None:
    with pytest.raises(AlphaError, match="the alpha plane"):
        alpha_plane(data, 20, 30, 8)


def test_no_more_is_unpacked_than_there_is_room_for() -> None:
    bomb = zlib.compress(bytes(2**26), 9)
    tracemalloc.start()
    try:
        with pytest.raises(AlphaError, match="unpacks to 65537 bytes or more, but it has 65536"):
            alpha_plane(bomb, 256, 256, 8)
        assert tracemalloc.get_traced_memory()[1] < 2**21
    finally:
        tracemalloc.stop()
