"""Crops per second and core of the training loader, against what everybody writes: PIL, RandomCrop, ToTensor.

    OMP_NUM_THREADS=1 python benchmarks/loading.py --blocks 10
    OMP_NUM_THREADS=1 python benchmarks/loading.py --blocks 10 --workers 2

Prints a Markdown table. The photos are made: noise whose amplitude falls as 1/f, as that of photographs does, in PNG
files of 512 x 512. All give batches of 16 float32 crops of 256 x 256, mirrored or not. Without workers seconds are CPU
seconds of the one process; with workers they are of wall time from the first batch on, for what each of them spends
cannot be seen from outside. Blocks are interleaved; one is an epoch over all photos.

off: the store switched off. empty: the first epoch with nothing decoded before. warm, first: the first epoch of a
process where another has decoded all. warm: the epochs after it. look and epoch: what a run does before its first step
and in its first epoch, nothing being decoded or seen before; off, look and epoch: the same with the store switched off.
"""

import argparse
import itertools
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import machine, median_interval
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms  # type: ignore[import-untyped]

from lic_exp.data.loading import TrainLoader
from lic_exp.data.pixel_store import store_of
from lic_exp.data.preflight import survey
from lic_exp.data.sources import Folder

SIDE, CROP, BATCH, WARM_EPOCHS = 512, 256, 16, 5


def make_photos(folder: Path, count: int) -> None:
    folder.mkdir()
    radius = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None])
    radius[0, 0] = np.inf
    for i in range(count):
        noise = np.fft.irfft2(np.fft.rfft2(np.random.default_rng(i).standard_normal((4, SIDE, SIDE))) / radius)
        colour = noise[0] + 0.25 * noise[1:]
        pixels = (128 + 50 * colour / colour.std()).clip(0, 255).astype(np.uint8).transpose(1, 2, 0)
        Image.fromarray(np.ascontiguousarray(pixels)).save(folder / f"{i:04}.png")


class Usual(Dataset[Any]):
    """As in CompressAI's ImageFolder and its training example."""

    def __init__(self, folder: Path) -> None:
        self.paths = sorted(folder.iterdir())
        self.transform = transforms.Compose(
            [transforms.RandomCrop(CROP), transforms.RandomHorizontalFlip(), transforms.ToTensor()]
        )

    def __getitem__(self, index: int) -> Any:
        return self.transform(Image.open(self.paths[index]).convert("RGB"))

    def __len__(self) -> int:
        return len(self.paths)


class Passes:
    """Each a way to have all photos of `folder`/train once, in seconds per photo. It leaves the cache as it says."""

    def __init__(self, folder: Path, workers: int) -> None:
        self.train, self.cache, self.workers = folder / "train", folder / "cache", workers
        self.source = Folder(train=[str(self.train)], val=[str(folder / "val")], train_weights=None)
        self.count = len(list(self.train.iterdir()))
        self.clock: Callable[[], float] = time.perf_counter if workers else time.process_time

    def usual(self) -> float:
        loader = DataLoader(Usual(self.train), batch_size=BATCH, shuffle=True, num_workers=self.workers)
        return self._epoch(iter(loader))

    def empty(self, store_mb: int = 10_000) -> float:
        shutil.rmtree(self.cache, ignore_errors=True)
        with closing(self._loader(store_mb).batches(0)) as batches:
            return self._epoch(batches)

    def warm(self) -> tuple[float, float]:
        """The first epoch of a loader and the mean of the next, where all is decoded."""
        with closing(self._loader(10_000).batches(0)) as batches:
            first = self._epoch(batches)
            return first, float(np.mean([self._epoch(batches) for _ in range(WARM_EPOCHS)]))

    def look_and_epoch(self, store_mb: int) -> float:
        shutil.rmtree(self.cache, ignore_errors=True)
        store = store_of(store_mb)
        begun = self.clock()
        survey(self.source, [], cache=None, load=lambda image: store.load(image)[0])
        looked = self.clock() - begun
        with closing(self._loader(store_mb).batches(0)) as batches:
            return looked / self.count + self._epoch(batches)

    def _loader(self, store_mb: int) -> TrainLoader:
        return TrainLoader(
            self.source,
            seed=0,
            batch_size=BATCH,
            crop_size=CROP,
            flip=True,
            num_workers=self.workers,
            steps_per_epoch=None,
            cache_mb=0,
            store_mb=store_mb,
            device=torch.device("cpu"),
        )

    def _epoch(self, batches: Iterator[Any]) -> float:
        """Seconds per photo. With workers the first batch, for which they start, is not counted."""
        steps = self.count // BATCH - bool(self.workers)
        if self.workers:
            next(batches)
        begun = self.clock()
        for _ in itertools.islice(batches, steps):
            pass
        return (self.clock() - begun) / (steps * BATCH)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=10)
    parser.add_argument("--photos", type=int, default=96)
    parser.add_argument("--workers", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    spent: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = str(Path(folder, "cache"))
        make_photos(Path(folder, "val"), 1)
        make_photos(Path(folder, "train"), options.photos)
        passes = Passes(Path(folder), options.workers)
        for _ in range(options.blocks):
            found = {"PIL, RandomCrop, ToTensor": passes.usual(), "off": passes.empty(0), "empty": passes.empty()}
            found["warm, first"], found["warm"] = passes.warm()
            if not options.workers:
                found["off, look and epoch"] = passes.look_and_epoch(0)
                found["look and epoch"] = passes.look_and_epoch(10_000)
            for name, seconds in found.items():
                spent.setdefault(name, []).append(seconds)
    print(f"{machine()}; {options.blocks} blocks of {options.photos} photos, {options.workers} workers\n")
    print(f"| | crop [ms of {'wall time' if options.workers else 'CPU'}] | crops/s | times the usual | 95 % interval |")
    print("|---|---|---|---|---|")
    usual = np.array(spent["PIL, RandomCrop, ToTensor"])
    for name, seconds in spent.items():
        ratio, low, high = median_interval(usual / np.array(seconds))
        middle = float(np.median(seconds))
        print(f"| {name} | {1000 * middle:.2f} | {1 / middle:.0f} | {ratio:.2f} | {low:.2f} to {high:.2f} |")


if __name__ == "__main__":
    main()
