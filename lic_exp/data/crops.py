"""Crops of training images, cut where they were drawn to be: from pixels that are kept, or else decoded now.

Decoding takes longer than a small model's step. Of files the pixels are kept on disk (`lic_exp.data.pixel_store`), of
which only the rows of a crop are read; of other images, and where that is switched off or full, the last used ones in
memory. What is cut is the same function of image and draw wherever its pixels come from.
"""

from collections import OrderedDict
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from lic_exp.data.images import ImageError, SourceImage
from lic_exp.data.pixel_store import PixelStore, Rows
from lic_exp.data.sampling import Draw

Sample = tuple[SourceImage, Draw]


class Cut(NamedTuple):
    """A batch as it leaves a worker: pixels (B, 3, crop_size, crop_size), 8 bits.

    names: of the B images. notes: what is to be said to the user. An error is handed on, not raised: DataLoader would
    wrap a worker's exception into a page of traceback.
    """

    pixels: Tensor
    names: list[str]
    notes: list[str]
    error: ImageError | None


class Crops(Dataset[Any]):
    """Cuts the samples of a batch.

    crop_size: side of the squares [pixels]. flip: mirror those whose draw says so, left to right.
    """

    def __init__(self, crop_size: int, store: PixelStore, cache_mb: int, *, flip: bool) -> None:
        self._crop_size = crop_size
        self._flip = flip
        self._store = store
        self._cache = DecodedImages(cache_mb)

    def __getitem__(self, samples: list[Sample]) -> Cut:
        size, names = self._crop_size, [image.name for image, _ in samples]
        pixels = torch.empty((len(samples), 3, size, size), dtype=torch.uint8)
        try:
            for crop, (image, draw) in zip(pixels, samples, strict=True):
                self._cut(crop, image, draw)
        except ImageError as error:
            return Cut(pixels, names, self._store.take_notes(), error)
        return Cut(pixels, names, self._store.take_notes(), None)

    def _cut(self, crop: Tensor, image: SourceImage, draw: Draw) -> None:
        """Fill crop (3, crop_size, crop_size)."""
        size, left = self._crop_size, 0

        def wanted(height: int, width: int) -> tuple[int, int]:
            nonlocal left
            check_crop(image, height, width, size)
            top, left = draw.corner(height, width, size)
            return top, size

        found = torch.from_numpy(self._rows(image, wanted)[:, left : left + size]).permute(2, 0, 1)
        crop.copy_(found)
        if self._flip and draw.flip:
            crop.copy_(crop.flip(-1))

    def _rows(self, image: SourceImage, wanted: Rows) -> NDArray[np.uint8]:
        """The wanted rows (count, W, 3)."""
        whole = self._cache.get(image)
        if whole is None:
            kept = self._store.rows(image, wanted)
            if kept is not None:
                return kept
            whole, on_disk = self._store.load_anew(image)
            if not on_disk:
                self._cache.keep(image, whole)
        first, count = wanted(*whole.shape[:2])
        return whole[first : first + count]


def check_crop(image: SourceImage, height: int, width: int, crop_size: int) -> None:
    """Raise ImageError if an image of this size has no room for the crop."""
    if min(height, width) < crop_size:
        raise ImageError(
            f"{image} is {width} x {height} pixels (width x height), smaller than a crop of {crop_size} x {crop_size}; "
            f"leave it out or crop {min(height, width)} at most"
        )


class DecodedImages:
    """The last used images, decoded, up to so many megabytes. The arrays are shared between calls: read only."""

    def __init__(self, megabytes: int) -> None:
        self._room = megabytes * 10**6
        self._images: OrderedDict[SourceImage, NDArray[np.uint8]] = OrderedDict()

    def get(self, image: SourceImage) -> NDArray[np.uint8] | None:
        """Its pixels (H, W, 3), if they are kept."""
        if image in self._images:
            self._images.move_to_end(image)
        return self._images.get(image)

    def keep(self, image: SourceImage, pixels: NDArray[np.uint8]) -> None:
        """Keep them, which were not kept before, in place of those that were used longest ago."""
        self._images[image] = pixels
        self._room -= pixels.nbytes
        while self._room < 0:
            self._room += self._images.popitem(last=False)[1].nbytes
