"""Which images show the photos of others: by small thumbnails, in memory that grows with their number alone."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

THUMBNAIL = 16
"""Side of the grey thumbnails that are compared [pixels]."""

PIXELS = THUMBNAIL**2

SAME = 0.995
"""Correlation of two thumbnails above which their photos count as the same: survives recompression and resizing."""

FLAT = 2.0
"""Standard deviation [8-bit levels] below which a thumbnail says too little to be compared."""

BLOCK = 4096
"""Thumbnails that are compared at once."""

FEW = 10_000_000
"""Pairs that are compared one by one: in a second, and before an index would be made."""

DIRECTIONS = 16
"""Of the index: a search in more is slower, one in fewer finds more pairs that are none."""

MOST_CANDIDATES = 2_000_000
"""Of a block, from the index; of more the block is compared with all."""


def first_matches(
    left: "NDArray[np.uint8]", right: "NDArray[np.uint8]", *, few: int = FEW, most_candidates: int = MOST_CANDIDATES
) -> dict[int, int]:
    """{row of left: the first row of right that shows the same photo}; thumbnails (N, PIXELS) and (M, PIXELS).

    Exact, whichever way it goes. Unit vectors whose correlation is above c are less than sqrt(2 (1 - c)) apart, and no
    farther in fewer directions: an index over the directions in which `right` varies most finds all pairs that may be
    the same, and each of them is then correlated in full.
    """
    rows, columns = not_flat(left), not_flat(right)
    if not len(rows) or not len(columns):
        return {}
    index = _Index(right, columns) if len(rows) * len(columns) > few else None
    found: dict[int, int] = {}
    for start in range(0, len(rows), BLOCK):
        some = rows[start : start + BLOCK]
        block = normalised(left[some])
        pairs = index.matches(block, most_candidates) if index else None
        matches = _all_matches(block, right, columns) if pairs is None else pairs
        found |= {int(some[row]): int(columns[column]) for row, column in matches.items()}
    return found


def not_flat(thumbnails: "NDArray[np.uint8]") -> "NDArray[np.intp]":
    """Rows of those that say enough to be compared."""
    varied = [
        PIXELS * (block.astype(np.int64) ** 2).sum(axis=1) - block.sum(axis=1, dtype=np.int64) ** 2
        for block in _blocks(thumbnails)
    ]
    return np.flatnonzero(np.concatenate([np.zeros(0, np.int64), *varied]) > (FLAT * PIXELS) ** 2)


def normalised(thumbnails: "NDArray[np.uint8]") -> "NDArray[np.float64]":
    """With mean 0 and norm 1 (N, PIXELS); none may be flat."""
    values = thumbnails.astype(np.float64)
    values -= values.mean(axis=1, keepdims=True)
    values /= values.std(axis=1, keepdims=True) * THUMBNAIL
    return values


def _blocks(thumbnails: "NDArray[Any]") -> "Iterator[NDArray[Any]]":
    for start in range(0, len(thumbnails), BLOCK):
        yield thumbnails[start : start + BLOCK]


def _all_matches(
    block: "NDArray[np.float64]", right: "NDArray[np.uint8]", columns: "NDArray[np.intp]"
) -> dict[int, int]:
    """{row of the block: place of the first match in `columns`}, compared with all."""
    found: dict[int, int] = {}
    left = np.arange(len(block))
    for start in range(0, len(columns), BLOCK):
        same = block[left] @ normalised(right[columns[start : start + BLOCK]]).T > SAME
        hit = same.any(axis=1)
        found |= dict(zip(left[hit].tolist(), (start + same[hit].argmax(axis=1)).tolist(), strict=True))
        left = left[~hit]
    return found


class _Index:
    """Thumbnails by where they lie in the few directions in which they differ most."""

    def __init__(self, thumbnails: "NDArray[np.uint8]", rows: "NDArray[np.intp]") -> None:
        from scipy.spatial import KDTree  # slower to import than small sets are to be compared

        self._thumbnails, self._rows = thumbnails, rows
        spread = sum(part.T @ part for part in (normalised(thumbnails[some]) for some in _blocks(rows)))
        self._directions = np.linalg.eigh(spread)[1][:, -DIRECTIONS:]
        self._tree = KDTree(np.concatenate([normalised(thumbnails[some]) @ self._directions for some in _blocks(rows)]))

    def matches(self, block: "NDArray[np.float64]", most: int) -> dict[int, int] | None:
        """{row of the block: place of the first match}; None where too many come into question."""
        places = block @ self._directions
        radius = np.sqrt(2 * (1 - SAME)) + 1e-9
        counts = self._tree.query_ball_point(places, radius, return_length=True)
        if counts.sum() > most:
            return None
        near = np.flatnonzero(counts)
        found: dict[int, int] = {}
        for row, candidates in zip(near, self._tree.query_ball_point(places[near], radius), strict=True):
            ordered = np.sort(candidates)
            same = normalised(self._thumbnails[self._rows[ordered]]) @ block[row] > SAME
            if same.any():
                found[int(row)] = int(ordered[same.argmax()])
        return found
