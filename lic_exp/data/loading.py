"""From image sources to tensors: endless training batches, and image after image for validation.

The main process draws the samples (`lic_exp.data.sampling`); workers decode and cut what they are told to, and send
8-bit crops, a quarter of the shared memory that float32 would take. Hence batches are bit-identical for any number of
workers and for any step to start from, and no worker holds a random state or the list of images.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from lic_exp.data.batches import Batch, on_device, to_float
from lic_exp.data.crops import Crops, Cut, Sample, check_crop
from lic_exp.data.images import SourceImage, list_images, say_once
from lic_exp.data.pixel_store import PixelStore, store_of
from lic_exp.data.sampling import Sampler
from lic_exp.data.sources import ImageSource
from lic_exp.data.workers import end_with_parent, job_signals_blocked, worker_context, workers_for
from lic_exp.ops.ranks import rank, world
from lic_exp.option_types import NonNegativeInt, PositiveInt
from lic_exp.private_torch import shut_down_workers


class TrainLoader:
    """Endless random crops of a source's training images: of several ranks (`lic_exp.ops.ranks`), this one's share.

    seed: what all draws follow from.
    batch_size, crop_size: images per step of all ranks together, side of the square crops [pixels].
    flip: mirror every other crop left to right.
    num_workers: decoding processes, of which there are never more than cores; 0 decodes in the caller's.
    steps_per_epoch: None: as many full batches as the training images give, and at least one.
    cache_mb: decoded images that each decoding process keeps [MB]; 0 keeps none.
    store_mb: decoded images that are kept on disk (`lic_exp.data.pixel_store`) [MB]; 0 keeps none.
    device: where batches are wanted.
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
        store_mb: NonNegativeInt,
        device: torch.device,
    ) -> None:
        groups = source.train()
        self._images = [image for group in groups for image in group.images]
        self._sampler = Sampler([len(group.images) for group in groups], [group.weight for group in groups], seed=seed)
        self._store = store_of(store_mb)
        self._crops = Crops(crop_size, self._store, cache_mb, flip=flip)
        self._batch_size = batch_size
        self._num_workers = num_workers
        self._device = device
        self.steps_per_epoch = steps_per_epoch or max(1, len(self._images) // batch_size)

    def batches(self, start_step: int) -> Generator[Batch, None, None]:
        """The batches of steps start_step, start_step + 1, ... without end; step s is of epoch s // steps_per_epoch.

        Workers live as long as this generator: close it (`contextlib.closing`) or drop it to end them; an error ends
        them too. Raises ImageError, at the step that needs it, if an image is damaged or smaller than the crop.
        """
        with closing(self._cuts(start_step, self._num_workers)) as cuts:
            yield from on_device(cuts, self._device)

    def batch(self, step: int) -> Batch:
        """The batch of one step, decoded by the caller's process, for when there are no workers any more."""
        with closing(self._cuts(step, 0)) as cuts:
            return next(on_device(cuts, self._device))

    def _cuts(self, start_step: int, num_workers: int) -> Generator[Cut, None, None]:
        workers = workers_for(num_workers)
        say_once(self._store.take_notes())  # workers do not say again what it has to say already
        loader = DataLoader(
            self._crops,
            sampler=self._steps(start_step),
            batch_size=None,
            collate_fn=_unchanged,
            num_workers=workers,
            worker_init_fn=end_with_parent,
            multiprocessing_context=worker_context(preload=__name__) if workers else None,
            # DataLoader seeds its workers from a generator; the global one belongs to the training.
            generator=torch.Generator(),
        )
        with job_signals_blocked():
            iterator = iter(loader)
        try:
            for cut in iterator:
                say_once(cut.notes)
                yield cut
        finally:
            shut_down_workers(iterator)

    def _steps(self, start_step: int) -> Iterator[list[Sample]]:
        step = start_step
        while True:
            epoch, position = divmod(step, self.steps_per_epoch)
            own = self._batch_size // world()
            first = position * self._batch_size + rank() * own
            draws = [self._sampler.draw(epoch, index) for index in range(first, first + own)]
            yield [(self._images[draw.image], draw) for draw in draws]
            step += 1


def _unchanged(cut: Any) -> Any:
    return cut


class FolderImages(Sequence[tuple[str, Tensor]]):
    """Names and images x (1, 3, H, W), float32 in [0, 1], in a fixed order; decoded whenever one is asked for.

    crop_size: None leaves images whole; otherwise their centre, crop_size x crop_size.
    store: where they may be decoded already.
    """

    def __init__(
        self, images: Sequence[SourceImage], *, crop_size: int | None, store: PixelStore | None = None
    ) -> None:
        self._images = images
        self._crop_size = crop_size
        self._store = PixelStore(0) if store is None else store

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
            return FolderImages(self._images[index], crop_size=self._crop_size, store=self._store)
        image = self._images[index]
        pixels = self._cut(image, self._store.load(image)[0]).transpose(2, 0, 1).copy()
        return image.name, to_float(torch.from_numpy(pixels))[None]

    def _cut(self, image: SourceImage, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self._crop_size is None:
            return pixels
        check_crop(image, pixels.shape[0], pixels.shape[1], self._crop_size)
        top, left = ((side - self._crop_size) // 2 for side in pixels.shape[:2])
        return pixels[top : top + self._crop_size, left : left + self._crop_size]


def validation_images(
    source: ImageSource, *, crop_size: PositiveInt | None, limit: PositiveInt | None, store_mb: NonNegativeInt = 0
) -> FolderImages:
    """The validation images of a source, or the first `limit` of them."""
    return FolderImages(source.val()[:limit], crop_size=crop_size, store=store_of(store_mb))


def folder_images(path: str | Path) -> FolderImages:
    """The images of a folder, searched recursively, or of one file, whole. Raises ImageError if there are none."""
    return FolderImages(list_images(path), crop_size=None)
