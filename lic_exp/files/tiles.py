"""Pictures of any size in bounded memory: tiles that overlap, each coded alone, with blended seams.

Where a tile stands is a function of five numbers, which a file records: the sides of the picture, those of a tile, and
the overlap. In an overlap the two neighbours are faded into each other, linearly, row by row of tiles, so that no more
than one row of them is ever held as floating-point numbers.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from lic_exp.files.pixels import Picture, Planes, Samples, planes, samples

OVERLAP = 32
"""Samples that neighbours share [pixels]: what a seam is spread over. They are coded twice."""


class TilingError(ValueError):
    """Sides of tiles that no plan has; the message says what would be right."""


@dataclass(frozen=True)
class Tile:
    """The part of a picture from row `top` and column `left` on, of these sides [pixels]."""

    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True)
class Tiling:
    """Tiles of a picture, row by row; one where a tile is as large as the picture.

    height, width: of the picture. tile_height, tile_width: of every tile but the last ones, which end with the picture.
    overlap: rows and columns that neighbours share. Raises TilingError where overlaps would meet, or nothing is there.
    """

    height: int
    width: int
    tile_height: int
    tile_width: int
    overlap: int

    def __post_init__(self) -> None:
        if min(self.height, self.width, self.tile_height, self.tile_width) < 1 or self.overlap < 0:
            raise TilingError(f"{self._words()}: sides must be at least 1, the overlap at least 0")
        divided = [tile for side, tile in self._sides() if tile < side]
        if divided and min(divided) < max(2 * self.overlap, 1):
            raise TilingError(f"{self._words()}: a tile must be twice as large as the overlap, or two would meet")

    def _words(self) -> str:
        return f"tiles of {self.tile_width}x{self.tile_height} that share {self.overlap} in {self.width}x{self.height}"

    def _sides(self) -> tuple[tuple[int, int], tuple[int, int]]:
        return (self.height, self.tile_height), (self.width, self.tile_width)

    @property
    def rows(self) -> int:
        return _count(self.height, self.tile_height, self.overlap)

    @property
    def columns(self) -> int:
        return _count(self.width, self.tile_width, self.overlap)

    @property
    def count(self) -> int:
        return self.rows * self.columns

    def __iter__(self) -> Iterator[Tile]:
        for row in range(self.rows):
            for column in range(self.columns):
                yield self.tile(row, column)

    def padded_pixels(self, multiple: int) -> int:
        """Of all tiles together, their sides extended to multiples of `multiple`."""
        last = self.tile(self.rows - 1, self.columns - 1)
        down = (self.rows - 1) * _up(self.tile_height, multiple) + _up(last.height, multiple)
        across = (self.columns - 1) * _up(self.tile_width, multiple) + _up(last.width, multiple)
        return down * across

    def tile(self, row: int, column: int) -> Tile:
        top, left = row * (self.tile_height - self.overlap), column * (self.tile_width - self.overlap)
        return Tile(top, left, min(self.tile_height, self.height - top), min(self.tile_width, self.width - left))


def plan(height: int, width: int, *, multiple: int, most_pixels: int, overlap: int = OVERLAP) -> Tiling:
    """Tiles of at most `most_pixels` once padded to multiples of `multiple`: those that code the fewest pixels in all.

    One tile where the whole picture has no more than that. Raises TilingError where `most_pixels` leaves no room for a
    tile beside the overlap.
    """
    least = _least(multiple, overlap)
    tall, broad = _up(height, multiple), _up(width, multiple)
    plans = [
        Tiling(
            height,
            width,
            _even(height, tile_height, overlap, multiple),
            _even(width, tile_width, overlap, multiple),
            overlap,
        )
        for tile_height in range(min(least, tall), tall + 1, multiple)
        if (tile_width := min(_down(most_pixels // tile_height, multiple), broad)) >= min(least, broad)
    ]
    if not plans:
        fewest = min(least, tall) * min(least, broad)
        raise TilingError(f"tiles that share {overlap} have {fewest} pixels at least, and {most_pixels} are allowed")
    return min(plans, key=lambda found: (found.padded_pixels(multiple), found.count))


def fewest_pixels(multiple: int, overlap: int = OVERLAP) -> int:
    """Of a tile, padded, however little room there is."""
    return _least(multiple, overlap) ** 2


def crops(picture: Picture, tiling: Tiling) -> Iterator[Planes]:
    """The planes (3, h, w) of every tile, float32 in [0, 1], one at a time."""
    for tile in tiling:
        yield planes(picture, tile.top, tile.left, tile.height, tile.width)


def assembled(tiling: Tiling, decoded: Iterable[Planes], *, grey: bool, bits: int) -> Samples:
    """The picture's colour, as `samples` has it, of the planes (3, h, w) that were decoded of every tile, in order.

    Raises ValueError where they are too few, or of other sides than their tile.
    """
    shape = (tiling.height, tiling.width) if grey else (tiling.height, tiling.width, 3)
    whole: Samples = np.empty(shape, np.uint16) if bits == 16 else np.empty(shape, np.uint8)
    coming = iter(decoded)
    carried = np.zeros((3, 0, tiling.width), np.float32)
    for row in range(tiling.rows):
        first = tiling.tile(row, 0)
        band = np.zeros((3, first.height, tiling.width), np.float32)
        for column in range(tiling.columns):
            _add(band, tiling, row, column, coming)
        band[:, : carried.shape[1]] += carried
        kept = first.height if row == tiling.rows - 1 else first.height - tiling.overlap
        whole[first.top : first.top + kept] = samples(band[:, :kept], grey=grey, bits=bits)
        carried = band[:, kept:].copy()
    return whole


def _add(band: NDArray[np.float32], tiling: Tiling, row: int, column: int, coming: Iterator[Planes]) -> None:
    """Add the next tile, faded at the sides that it shares, to its row of tiles (3, h, W)."""
    tile = tiling.tile(row, column)
    planes_of = next(coming, None)
    if planes_of is None or planes_of.shape != (3, tile.height, tile.width):
        found = "none" if planes_of is None else f"{planes_of.shape}"
        raise ValueError(f"tile {row}, {column} is (3, {tile.height}, {tile.width}), but {found} was given for it")
    down = _weights(tile.height, tiling.overlap, first=row == 0, last=row == tiling.rows - 1)
    across = _weights(tile.width, tiling.overlap, first=column == 0, last=column == tiling.columns - 1)
    band[:, :, tile.left : tile.left + tile.width] += planes_of * (down[:, None] * across[None, :])


def _weights(side: int, overlap: int, *, first: bool, last: bool) -> NDArray[np.float32]:
    """Of a tile along one side (side,): 1, but rising from its neighbour before, and falling towards the next.

    What rises in one falls in the other, so that both are 1 together.
    """
    rising = (np.arange(overlap, dtype=np.float32) + np.float32(0.5)) / np.float32(max(overlap, 1))
    weights = np.ones(side, np.float32)
    if overlap and not first:
        weights[:overlap] = rising
    if overlap and not last:
        weights[-overlap:] = 1 - rising
    return weights


def _count(side: int, tile: int, overlap: int) -> int:
    """Tiles along a side: the last one is longer than what it shares."""
    return 1 if tile >= side else ceil((side - overlap) / (tile - overlap))


def _even(side: int, tile: int, overlap: int, multiple: int) -> int:
    """The smallest side that tiles may have, a multiple of `multiple`, of which there are no more than of `tile`."""
    count = _count(side, tile, overlap)
    evenly = max(_least(multiple, overlap), _up(ceil((side + (count - 1) * overlap) / count), multiple))
    return side if count == 1 else min(tile, evenly)


def _least(multiple: int, overlap: int) -> int:
    return _up(max(2 * overlap, 1), multiple)


def _up(side: int, multiple: int) -> int:
    return -(-side // multiple) * multiple


def _down(side: int, multiple: int) -> int:
    return side // multiple * multiple
