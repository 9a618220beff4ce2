"""Batches and validation images as tensors."""

import gc
import itertools
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import lic_exp
from lic_exp.data.batches import Batch, to_float
from lic_exp.data.crops import DecodedImages
from lic_exp.data.images import ImageError, ImageRef
from lic_exp.data.loading import FolderImages, TrainLoader, folder_images, validation_images
from lic_exp.data.sources import Folder, Synthetic

SOURCE = Synthetic(train_images=5, val_images=3, height=24, width=40, image_seed=1)


def loader(source: Any = SOURCE, **changes: Any) -> TrainLoader:
    options: dict[str, Any] = {
        "seed": 7,
        "batch_size": 3,
        "crop_size": 16,
        "flip": True,
        "num_workers": 0,
        "steps_per_epoch": 4,
        "cache_mb": 1,
        "store_mb": 0,
        "device": torch.device("cpu"),
    }
    return TrainLoader(source, **(options | changes))


def take(loader: TrainLoader, start: int, stop: int) -> list[Batch]:
    with closing(loader.batches(start)) as batches:
        return list(itertools.islice(batches, stop - start))


def same(one: list[Batch], other: list[Batch]) -> bool:
    return all(a.names == b.names and torch.equal(a.x, b.x) for a, b in zip(one, other, strict=True))


@pytest.fixture
def photos(tmp_path: Path) -> Folder:
    """Three good training photos and a validation photo, whose files a test may spoil."""
    for i, place in enumerate(("train/0.png", "train/1.png", "train/2.png", "val/3.png")):
        path = tmp_path / place
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(path)
    return Folder(train=[str(tmp_path / "train")], val=[str(tmp_path / "val")], train_weights=None)


def test_every_8_bit_value_survives_the_way_to_float() -> None:
    values = torch.arange(256, dtype=torch.uint8)
    x = to_float(values)
    assert x.dtype == torch.float32
    assert (x[0], x[255]) == (0, 1)
    assert torch.equal(x, values.double().div(255).float())
    assert torch.equal((x * 255).round().to(torch.uint8), values)


def test_a_batch_is_cut_from_the_named_images() -> None:
    images = {
        image.name: to_float(torch.from_numpy(image.load())).permute(2, 0, 1) for image in SOURCE.train()[0].images
    }
    for batch in take(loader(), 0, 6):
        assert batch.x.shape == (3, 3, 16, 16)
        assert batch.x.dtype == torch.float32
        for x, name in zip(batch.x, batch.names, strict=True):
            windows = images[name].unfold(1, 16, 1).unfold(2, 16, 1).permute(1, 2, 0, 3, 4)
            assert any((windows == crop).flatten(2).all(2).any() for crop in (x, x.flip(-1)))


def test_flip_false_keeps_the_place_and_never_mirrors() -> None:
    mirrored = 0
    for plain, flipped in zip(take(loader(flip=False), 0, 6), take(loader(), 0, 6), strict=True):
        for a, b in zip(plain.x, flipped.x, strict=True):
            assert torch.equal(a, b) or torch.equal(a, b.flip(-1))
            mirrored += not torch.equal(a, b)
    assert 0 < mirrored < 18


@pytest.mark.parametrize("num_workers", [1, 2])
def test_batches_do_not_depend_on_the_number_of_workers(num_workers: int) -> None:
    assert same(take(loader(num_workers=num_workers), 2, 11), take(loader(), 2, 11))


def test_batches_do_not_depend_on_where_training_starts() -> None:
    whole = take(loader(), 0, 11)
    assert all(same(take(loader(), start, 11), whole[start:]) for start in (1, 4, 7))
    assert same(take(loader(cache_mb=0), 0, 11), whole)
    assert not same(take(loader(seed=8), 0, 11), whole)


def test_an_epoch_without_a_number_of_steps_is_one_pass() -> None:
    assert loader(steps_per_epoch=None, batch_size=2).steps_per_epoch == 2
    assert loader(steps_per_epoch=None, batch_size=9).steps_per_epoch == 1
    epoch = take(loader(steps_per_epoch=None, batch_size=1), 5, 10)
    assert sorted(batch.names[0] for batch in epoch) == [image.name for image in SOURCE.train()[0].images]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_global_random_states_stay_untouched(num_workers: int) -> None:
    before = (torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate())  # noqa: NPY002
    take(loader(num_workers=num_workers), 0, 2)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (np.random.get_state()[1].tolist(), random.getstate())  # noqa: NPY002


@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.write_text("text"), r"1\.png is not an image"),
        (lambda path: path.write_bytes(path.read_bytes()[:600]), r"1\.png cannot be decoded"),
        (lambda path: Image.new("RGB", (30, 12)).save(path), r"1\.png is 30 x 12 pixels .* crop of 16 x 16"),
    ],
    ids=["text", "truncated", "small"],
)
def test_bad_images_reach_the_caller_by_name_and_end_the_workers(
    photos: Folder, tmp_path: Path, num_workers: int, spoil: Any, message: str
) -> None:
    spoil(tmp_path / "train/1.png")
    batches = loader(photos, num_workers=num_workers).batches(0)
    with pytest.raises(ImageError, match=message) as caught:
        list(itertools.islice(batches, 10))
    assert "Traceback" not in str(caught.value)
    assert multiprocessing.active_children() == []


def test_a_bad_image_does_not_spoil_earlier_steps(photos: Folder, tmp_path: Path) -> None:
    order = [batch.names for batch in take(loader(photos, batch_size=1), 0, 3)]
    (tmp_path / "train" / order[2][0]).write_text("text")
    batches = loader(photos, batch_size=1, num_workers=1).batches(0)
    assert [next(batches).names, next(batches).names] == order[:2]
    with pytest.raises(ImageError):
        next(batches)


def running(num_workers: int = 2) -> Iterator[Batch]:
    batches = loader(num_workers=num_workers).batches(0)
    next(batches)
    assert len(multiprocessing.active_children()) == num_workers
    return batches


def test_closing_or_dropping_the_batches_ends_the_workers() -> None:
    with closing(running()):
        pass
    assert multiprocessing.active_children() == []
    batches = running()
    del batches
    gc.collect()
    assert multiprocessing.active_children() == []


def test_an_interrupt_in_the_loop_ends_the_workers() -> None:
    def train() -> None:
        for _ in running():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train()
    gc.collect()
    assert multiprocessing.active_children() == []


def test_workers_outlive_the_warning_of_a_cluster_and_ctrl_c() -> None:
    with closing(running()) as batches:
        for worker in multiprocessing.active_children():
            for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT):
                os.kill(worker.pid or 0, number)
        assert same(list(itertools.islice(batches, 8)), take(loader(), 1, 9))
        assert len(multiprocessing.active_children()) == 2


SCRIPT = """
import multiprocessing, os, signal, sys
import torch
from lic_exp.data.loading import TrainLoader
from lic_exp.data.sources import Synthetic

if __name__ == "__main__":
    source = Synthetic(train_images=2, val_images=1, height=9, width=9, image_seed=0)
    batches = TrainLoader(source, seed=0, batch_size=1, crop_size=8, flip=False, num_workers=2, steps_per_epoch=None,
                          cache_mb=0, store_mb=0, device=torch.device("cpu")).batches(0)
    next(batches)
    print(*(worker.pid for worker in multiprocessing.active_children()), flush=True)
    os.kill(os.getpid(), getattr(signal, sys.argv[1]))
"""


def gone(pid: int) -> bool:
    """No such process, or one that only waits for a parent to notice its end."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.mark.parametrize("end", ["SIGINT", "SIGKILL"])
def test_no_worker_outlives_the_program(tmp_path: Path, end: str) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    environment = os.environ | {"PYTHONPATH": str(Path(lic_exp.__file__).parents[1])}
    ended = subprocess.run(
        [sys.executable, script, end], check=False, capture_output=True, text=True, timeout=120, env=environment
    )
    assert ended.returncode == -getattr(signal, end), ended.stderr
    workers = [int(pid) for pid in ended.stdout.split()]
    assert len(workers) == 2
    patience = time.monotonic() + 60
    while not all(map(gone, workers)):
        assert time.monotonic() < patience, f"of workers {workers} some live on"
        time.sleep(0.05)


class Counted:
    """An image of 1000 x 1000 pixels, 3 MB, that counts its decodings."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.loads = 0

    def load(self) -> np.ndarray:
        self.loads += 1
        return np.full((1000, 1000, 3), ord(self.name), dtype=np.uint8)


def asked(cache: DecodedImages, image: Counted) -> np.ndarray:
    pixels = cache.get(image)
    if pixels is None:
        pixels = image.load()
        cache.keep(image, pixels)
    return pixels


def test_the_cache_keeps_the_last_used_images_within_its_bound() -> None:
    cache, images = DecodedImages(7), {name: Counted(name) for name in "abc"}
    for name in "abacab":
        assert asked(cache, images[name])[0, 0, 0] == ord(name)
    assert {name: image.loads for name, image in images.items()} == {"a": 1, "b": 2, "c": 1}
    assert sum(pixels.nbytes for pixels in cache._images.values()) == 6_000_000


def test_an_image_bigger_than_the_cache_is_not_kept() -> None:
    cache, image = DecodedImages(2), Counted("a")
    for _ in range(2):
        asked(cache, image)
    assert image.loads == 2
    assert not cache._images


def test_validation_images_are_whole_repeatable_and_limited() -> None:
    images = validation_images(SOURCE, crop_size=None, limit=2)
    assert len(images) == 2
    first, second = list(images), list(images)
    for (name, x), (again, same_x), image in zip(first, second, SOURCE.val(), strict=False):
        assert name == again == image.name
        assert torch.equal(x, same_x)
        assert torch.equal(x[0], to_float(torch.from_numpy(image.load())).permute(2, 0, 1))
    assert len(validation_images(SOURCE, crop_size=None, limit=None)) == 3
    assert [name for name, _ in images[1:]] == [second[1][0]]


def test_validation_crops_the_centre() -> None:
    whole = validation_images(SOURCE, crop_size=None, limit=1)[0][1]
    assert torch.equal(validation_images(SOURCE, crop_size=16, limit=1)[0][1], whole[..., 4:20, 12:28])
    with pytest.raises(ImageError, match=r"synthetic image 0000 is 40 x 24 pixels .* crop of 32 x 32"):
        validation_images(SOURCE, crop_size=32, limit=1)[0]


def test_validation_decodes_only_what_is_asked_for(photos: Folder, tmp_path: Path) -> None:
    images = folder_images(tmp_path / "train")
    (tmp_path / "train/0.png").write_text("text")
    assert images[2][0] == "2.png"
    with pytest.raises(ImageError, match=r"0\.png"):
        images[0]


def test_folder_images_takes_a_folder_or_a_file(photos: Folder, tmp_path: Path) -> None:
    images = folder_images(tmp_path)
    assert isinstance(images, FolderImages)
    assert [name for name, _ in images] == ["train/0.png", "train/1.png", "train/2.png", "val/3.png"]
    one = folder_images(str(tmp_path / "val/3.png"))
    assert [(name, x.shape) for name, x in one] == [("3.png", (1, 3, 20, 30))]
    assert torch.equal(one[0][1], images[3][1])
    with pytest.raises(ImageError, match=r"nowhere does not exist"):
        folder_images(tmp_path / "nowhere")


def test_images_travel_to_workers_small() -> None:
    """A step's samples are sent to a worker: by reference, not by pixels."""
    reference = ImageRef(Path("/data/images/0001.png"), "0001.png")
    assert len(multiprocessing.reduction.ForkingPickler.dumps(reference)) < 500
