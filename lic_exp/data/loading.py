"""From image sources to tensors: endless training batches, and image after image for validation.

The main process draws the samples (`lic_exp.data.sampling`); workers decode and cut what they are told to, and send
8-bit crops, a quarter of the shared memory that float32 would take. Hence batches are bit-identical for any number of
workers and for any step to start from, and no worker holds a random state or the list of images.
"""

from collections import OrderedDict
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lic_exp.data.images import ImageError, SourceImage, list_images
from lic_exp.data.sampling import Draw, Sampler
from lic_exp.data.sources import ImageSource
from lic_exp.data.workers import end_with_parent, job_signals_blocked, worker_context
from lic_exp.option_types import NonNegativeInt, PositiveInt
from lic_exp.private_interfaces import shut_down_workers

Sample = tuple[SourceImage, Draw]


class Batch(NamedTuple):
    """A training batch: x (B, 3, crop_size, crop_size) float32 in [0, 1], and the names of its B images."""

    x: Tensor
    names: list[str]


def to_float(pixels: Tensor, *, pin_memory: bool = False) -> Tensor:
    """8-bit pixels v of any shape to v / 255 in float32; round(255 x) gives v back exactly."""
    x = torch.empty(pixels.shape, dtype=torch.float32, pin_memory=pin_memory)
    return x.copy_(pixels).div_(255)


class TrainLoader:
    """Endless random crops of a source's training images.

    seed: what all draws follow from.
    batch_size, crop_size: images per step, side of the square crops [pixels].
    flip: mirror every other crop left to right.
    num_workers: decoding processes; 0 decodes in the caller's.
    steps_per_epoch: None: as many full batches as the training images give, and at least one.
    cache_mb: decoded images that each decoding process keeps [MB]; 0 keeps none.
    pin_memory: put batches where a GPU can fetch them asynchronously.
    """

    steps_per_epoch: int

    def __init__(
        self,
        source: ImageSource,
        *,
        seed: NonNegativeInt,
        batch_size: PositiveInt,
        crop_size: PositiveInt,
        flip: bool,
        num_workers: NonNegativeInt,
        steps_per_epoch: PositiveInt | None,
        cache_mb: NonNegativeInt,
        pin_memory: bool = False,
    ) -> None:
        groups = source.train()
        self._images = [image for group in groups for image in group.images]
        self._sampler = Sampler([len(group.images) for group in groups], [group.weight for group in groups], seed=seed)
        self._crops = _Crops(crop_size, flip, cache_mb)
        self._batch_size = batch_size
        self._num_workers = num_workers
        self._pin_memory = pin_memory
        self.steps_per_epoch = steps_per_epoch or max(1, len(self._images) // batch_size)

    def batches(self, start_step: int) -> Generator[Batch, None, None]:
        """The batches of steps start_step, start_step + 1, ... without end; step s is of epoch s // steps_per_epoch.

        Workers live as long as this generator: close it (`contextlib.closing`) or drop it to end them; an error ends
        them too. Raises ImageError, at the step that needs it, if an image is damaged or smaller than the crop.
        """
        loader = DataLoader(
            self._crops,
            sampler=self._steps(start_step),
            batch_size=None,
            collate_fn=_unchanged,
            num_workers=self._num_workers,
            worker_init_fn=end_with_parent,
            multiprocessing_context=worker_context(preload=__name__) if self._num_workers else None,
            # DataLoader seeds its workers from a generator; the global one belongs to the training.
            generator=torch.Generator(),
        )
        with job_signals_blocked():
            iterator = iter(loader)
        try:
            for crops in iterator:
                if isinstance(crops, ImageError):
                    raise crops
                pixels, names = crops
                yield Batch(to_float(pixels, pin_memory=self._pin_memory), names)
        finally:
            shut_down_workers(iterator)

    def _steps(self, start_step: int) -> Iterator[list[Sample]]:
        step = start_step
        while True:
            epoch, position = divmod(step, self.steps_per_epoch)
            first = position * self._batch_size
            draws = [self._sampler.draw(epoch, index) for index in range(first, first + self._batch_size)]
            yield [(self._images[draw.image], draw) for draw in draws]
            step += 1


class _Crops(Dataset[Any]):
    """Cuts the samples of a batch: 8-bit (B, 3, crop_size, crop_size) and names.

    An ImageError is returned, not raised: DataLoader would wrap a worker's exception into a page of traceback.
    """

    def __init__(self, crop_size: int, flip: bool, cache_mb: int) -> None:
        self._crop_size = crop_size
        self._flip = flip
        self._cache = _DecodedImages(cache_mb)

    def __getitem__(self, samples: list[Sample]) -> tuple[Tensor, list[str]] | ImageError:
        pixels = np.empty((len(samples), 3, self._crop_size, self._crop_size), dtype=np.uint8)
        try:
            for crop, (image, draw) in zip(pixels, samples, strict=True):
                crop[...] = self._cut(image, draw).transpose(2, 0, 1)
        except ImageError as error:
            return error
        return torch.from_numpy(pixels), [image.name for image, _ in samples]

    def _cut(self, image: SourceImage, draw: Draw) -> NDArray[np.uint8]:
        whole, size = self._cache.load(image), self._crop_size
        check_crop(image, whole, size)
        top, left = draw.corner(whole.shape[0], whole.shape[1], size)
        crop = whole[top : top + size, left : left + size]
        return crop[:, ::-1] if self._flip and draw.flip else crop


def check_crop(image: SourceImage, pixels: NDArray[np.uint8], crop_size: int) -> None:
    """Raise ImageError if pixels (H, W, 3) have no room for the crop."""
    height, width = pixels.shape[:2]
    if min(height, width) < crop_size:
        raise ImageError(
            f"{image} is {width} x {height} pixels (width x height), smaller than a crop of {crop_size} x {crop_size}; "
            f"leave it out or crop {min(height, width)} at most"
        )


class _DecodedImages:
    """The last used images, decoded, up to so many megabytes. Decoding PNGs for every crop would outlast a small model.

    The arrays are shared between calls: read only.
    """

    def __init__(self, megabytes: int) -> None:
        self._room = megabytes * 10**6
        self._images: OrderedDict[SourceImage, NDArray[np.uint8]] = OrderedDict()

    def load(self, image: SourceImage) -> NDArray[np.uint8]:
        if image in self._images:
            self._images.move_to_end(image)
            return self._images[image]
        pixels = image.load()
        self._images[image] = pixels
        self._room -= pixels.nbytes
        while self._room < 0:
            self._room += self._images.popitem(last=False)[1].nbytes
        return pixels


def _unchanged(crops: Any) -> Any:
    return crops


class FolderImages(Sequence[tuple[str, Tensor]]):
    """Names and images x (1, 3, H, W), float32 in [0, 1], in a fixed order; decoded whenever one is asked for.

    crop_size: None leaves images whole; otherwise their centre, crop_size x crop_size.
    """

    def __init__(self, images: Sequence[SourceImage], *, crop_size: int | None) -> None:
        self._images = images
        self._crop_size = crop_size

    @property
    def sources(self) -> Sequence[SourceImage]:
        """The images that they are made from."""
        return self._images

    def __len__(self) -> int:
        return len(self._images)

    @overload
    def __getitem__(self, index: int) -> tuple[str, Tensor]: ...
    @overload
    def __getitem__(self, index: slice) -> "FolderImages": ...
    def __getitem__(self, index: int | slice) -> "tuple[str, Tensor] | FolderImages":
        """Raises ImageError if the image is damaged or smaller than the crop."""
        if isinstance(index, slice):
            return FolderImages(self._images[index], crop_size=self._crop_size)
        image = self._images[index]
        pixels = self._cut(image, image.load()).transpose(2, 0, 1).copy()
        return image.name, to_float(torch.from_numpy(pixels))[None]

    def _cut(self, image: SourceImage, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self._crop_size is None:
            return pixels
        check_crop(image, pixels, self._crop_size)
        top, left = ((side - self._crop_size) // 2 for side in pixels.shape[:2])
        return pixels[top : top + self._crop_size, left : left + self._crop_size]


def validation_images(source: ImageSource, *, crop_size: PositiveInt | None, limit: PositiveInt | None) -> FolderImages:
    """The validation images of a source, or the first `limit` of them."""
    return FolderImages(source.val()[:limit], crop_size=crop_size)


def folder_images(path: str | Path) -> FolderImages:
    """The images of a folder, searched recursively, or of one file, whole. Raises ImageError if there are none."""
    return FolderImages(list_images(path), crop_size=None)
