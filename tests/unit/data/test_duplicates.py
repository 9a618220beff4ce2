"""The search for photos that are on both sides, against the comparison of each with each."""

import tracemalloc

import numpy as np
import pytest

from lic_exp.data import duplicates
from lic_exp.data.duplicates import FLAT, PIXELS, SAME, THUMBNAIL, first_matches


def brute_force(left: np.ndarray, right: np.ndarray) -> dict[int, int]:
    """As it was done before there was an index: every correlation at once."""

    def normalised(thumbnails: np.ndarray) -> tuple[list[int], np.ndarray]:
        kept = [row for row, thumbnail in enumerate(thumbnails) if thumbnail.astype(float).std() > FLAT]
        values = [thumbnails[row].astype(float) for row in kept]
        rows = [(value - value.mean()) / (value.std() * THUMBNAIL) for value in values]
        return kept, np.asarray(rows).reshape(len(rows), PIXELS)

    (rows, ours), (columns, theirs) = normalised(left), normalised(right)
    found: dict[int, int] = {}
    for row, column in np.argwhere(ours @ theirs.T > SAME):
        found.setdefault(rows[row], columns[column])
    return found


def thumbnails(count: int, seed: int, *, fall: float) -> np.ndarray:
    """Noise whose amplitude falls with the frequency: 0 is white, 1 like photographs, 2 like clouds; some flat."""
    rng = np.random.default_rng(seed)
    radius = np.hypot(np.fft.fftfreq(THUMBNAIL)[:, None], np.fft.rfftfreq(THUMBNAIL)[None])
    radius[0, 0] = np.inf
    spectra = np.fft.rfft2(rng.standard_normal((count, THUMBNAIL, THUMBNAIL))) / radius**fall
    values = np.fft.irfft2(spectra, s=(THUMBNAIL, THUMBNAIL)).reshape(count, PIXELS)
    values *= rng.uniform(0.5, 60, (count, 1)) / values.std(axis=1, keepdims=True)
    return (128 + values).clip(0, 255).round().astype(np.uint8)


def with_copies(left: np.ndarray, right: np.ndarray, seed: int) -> np.ndarray:
    """`left` with copies of rows of `right` in it, some so disturbed that they just are, or just are not, the same."""
    rng = np.random.default_rng(seed)
    rows, sources = rng.choice(len(left), len(left) // 5, replace=False), rng.integers(len(right), size=len(left) // 5)
    spread = right[sources].std(axis=1, keepdims=True)
    noise = rng.standard_normal((len(rows), PIXELS)) * spread * rng.uniform(0, 0.15, (len(rows), 1))
    mixed = left.copy()
    mixed[rows] = (right[sources] + noise).clip(0, 255).round()
    return mixed


@pytest.mark.parametrize("few", [0, 10**9], ids=["index", "one by one"])
@pytest.mark.parametrize("fall", [0, 1, 2])
@pytest.mark.parametrize("seed", [0, 1])
def test_what_is_found_is_what_each_against_each_finds(
    monkeypatch: pytest.MonkeyPatch, seed: int, fall: float, few: int
) -> None:
    monkeypatch.setattr(duplicates, "BLOCK", 128)
    right = thumbnails(300, 2 * seed, fall=fall)
    left = with_copies(thumbnails(700, 2 * seed + 1, fall=fall), right, seed)
    expected = brute_force(left, right)
    assert 20 < len(expected) < 140, "some of the copies are too far from their source"
    assert first_matches(left, right, few=few) == expected


@pytest.mark.parametrize("most_candidates", [0, 500, 10**6])
def test_the_first_of_several_is_named(monkeypatch: pytest.MonkeyPatch, most_candidates: int) -> None:
    """Also where so many are alike that the index is of no use."""
    monkeypatch.setattr(duplicates, "BLOCK", 64)
    scenes = thumbnails(5, 0, fall=1)
    right, left = np.repeat(scenes, 40, axis=0)[::-1], np.repeat(scenes, 60, axis=0)
    found = first_matches(left, right, few=0, most_candidates=most_candidates)
    assert found == brute_force(left, right)
    assert set(found.values()) <= {0, 40, 80, 120, 160}


@pytest.mark.parametrize(("rows", "columns"), [(0, 5), (5, 0), (0, 0), (1, 1)])
def test_sets_of_nothing_and_of_one(rows: int, columns: int) -> None:
    left, right = thumbnails(rows, 1, fall=1), thumbnails(columns, 1, fall=1)
    for few in (0, 10**9):
        assert first_matches(left, right, few=few) == brute_force(left, right)


def test_flat_ones_are_compared_with_nothing() -> None:
    level = np.full((3, PIXELS), 100, np.uint8)
    level[1, ::2], level[2, ::2] = 104, 105  # standard deviations 0, 2 and 2.5
    assert duplicates.not_flat(level).tolist() == [2]
    assert first_matches(level, level) == {2: 2}


def test_memory_grows_with_the_images_not_with_their_pairs() -> None:
    left, right = thumbnails(30_000, 0, fall=1), thumbnails(4_000, 1, fall=1)
    tracemalloc.start()
    try:
        assert first_matches(left, right) == {}
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100e6, "all pairs would be 960 MB"
