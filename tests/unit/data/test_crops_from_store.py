"""Training batches cut from decoded photos on disk: those of photos that are decoded each time, bit by bit."""

import itertools
import os
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lic_exp.data import batches, images, workers
from lic_exp.data.batches import Batch, one_ahead, to_float
from lic_exp.data.crops import Cut
from lic_exp.data.images import ImageError
from lic_exp.data.loading import TrainLoader, validation_images
from lic_exp.data.preflight import survey
from lic_exp.data.sources import Folder
from lic_exp.data.unchanged import files_unchanged

STEPS = 12


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def source(tmp_path: Path) -> Folder:
    """Five training photos of odd sizes and two of validation, old enough to be remembered by their paths."""
    for i in range(7):
        path = tmp_path / ("train" if i < 5 else "val") / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        pixels = np.random.default_rng(i).integers(0, 256, (33 + 7 * i, 61 - 3 * i, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    return Folder(train=[str(tmp_path / "train")], val=[str(tmp_path / "val")], train_weights=None)


def loader(source: Folder, *, store_mb: int, num_workers: int = 0) -> TrainLoader:
    return TrainLoader(
        source,
        seed=3,
        batch_size=2,
        crop_size=24,
        flip=True,
        num_workers=num_workers,
        steps_per_epoch=None,
        cache_mb=0,
        store_mb=store_mb,
        device=torch.device("cpu"),
    )


def take(made: TrainLoader, start: int = 0, between: Callable[[int], Any] = lambda step: None) -> list[Batch]:
    """The batches of the steps start .. STEPS - 1."""
    taken = []
    with closing(made.batches(start)) as given:
        for step, batch in enumerate(itertools.islice(given, STEPS - start), start):
            between(step)
            taken.append(batch)
    return taken


def same(one: list[Batch], other: list[Batch]) -> bool:
    return all(a.names == b.names and torch.equal(a.x, b.x) for a, b in zip(one, other, strict=True))


def removed(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)  # what a worker writes meanwhile stays


def spoil(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:-5] + b"wrong")


@pytest.mark.parametrize("num_workers", [0, 1])
def test_batches_are_the_same_with_the_store_and_without(source: Folder, cache: Path, num_workers: int) -> None:
    without = take(loader(source, store_mb=0))
    assert not cache.exists()
    assert same(take(loader(source, store_mb=10, num_workers=num_workers)), without), "empty"
    assert list(cache.rglob("photos/*"))
    assert same(take(loader(source, store_mb=10, num_workers=num_workers)), without), "full"
    assert same(take(loader(source, store_mb=10), start=7), without[7:]), "from the middle on"


@pytest.mark.parametrize("become", [removed, spoil])
@pytest.mark.parametrize("num_workers", [0, 1])
def test_batches_are_the_same_when_the_store_is_lost_meanwhile(
    source: Folder, cache: Path, num_workers: int, become: Callable[[Path], Any]
) -> None:
    made = loader(source, store_mb=10, num_workers=num_workers)
    assert same(
        take(made, between=lambda step: become(cache) if step in (3, 6) else None), take(loader(source, store_mb=0))
    )


def test_a_photo_that_changes_is_read_as_it_is_now(source: Folder, cache: Path, tmp_path: Path) -> None:
    take(loader(source, store_mb=10))
    for path in (tmp_path / "train").iterdir():
        Image.open(path).transpose(Image.Transpose.ROTATE_180).save(path)
    assert same(take(loader(source, store_mb=10)), take(loader(source, store_mb=0)))


def test_validation_images_are_the_same(source: Folder, cache: Path) -> None:
    for crop_size in (None, 24):
        plain = list(validation_images(source, crop_size=crop_size, limit=None))
        for _ in range(2):
            kept = list(validation_images(source, crop_size=crop_size, limit=None, store_mb=10))
            assert all(a[0] == b[0] and torch.equal(a[1], b[1]) for a, b in zip(kept, plain, strict=True))
    assert len(list(cache.rglob("photos/*"))) == 2


def test_a_look_at_all_images_leaves_them_decoded(
    source: Folder, cache: Path, tmp_path: Path, decodings: list[str], settled: None
) -> None:
    from lic_exp.data.pixel_store import store_of

    store = store_of(10)
    survey(source, [], cache=tmp_path / "seen.sqlite", load=lambda image: store.load(image)[0])
    assert len(decodings) == 7
    take(loader(source, store_mb=10))
    assert len(decodings) == 7


@pytest.mark.parametrize("num_workers", [0, 1])
def test_why_nothing_is_kept_is_said_once_also_by_workers(
    source: Folder, cache: Path, num_workers: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "_said", set())
    cache.write_text("a file")
    for _ in range(2):
        assert same(take(loader(source, store_mb=10, num_workers=num_workers)), take(loader(source, store_mb=0)))
    (said,) = [record.getMessage() for record in caplog.records if record.name.startswith("lic_exp")]
    assert "pixels_1 takes no more decoded photos: " in said
    assert said.endswith("The others are decoded each time; data.store_mb=0 does without")


def test_why_nothing_is_kept_is_said_when_validation_met_it_and_workers_follow(
    source: Folder, cache: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "_said", set())
    cache.write_text("a file")
    with files_unchanged():
        list(validation_images(source, crop_size=24, limit=None, store_mb=10))
        take(loader(source, store_mb=10, num_workers=1))
    (said,) = [record.getMessage() for record in caplog.records if record.name.startswith("lic_exp")]
    assert "pixels_1 takes no more decoded photos: " in said


@pytest.mark.parametrize(("wanted", "cores", "started"), [(0, 1, 0), (1, 1, 1), (2, 1, 1), (8, 2, 2), (2, 8, 2)])
def test_there_are_never_more_workers_than_cores_and_fewer_are_said(
    wanted: int, cores: int, started: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "_said", set())
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    assert [workers.workers_for(wanted) for _ in range(2)] == [started] * 2
    said = [record.getMessage() for record in caplog.records]
    text = f"data.num_workers={wanted}: {cores} are started, for this process may use {cores} cores"
    assert said == ([text] if started < wanted else [])


def test_bytes_become_the_nearest_floats() -> None:
    """Exactly v / 255, rounded once: a multiplication by 1 / 255 gives other bits for half of the values."""
    values = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_float(values), values.double().div(255).float())
    assert not torch.equal(to_float(values), values.float() * (1 / 255))


def test_each_item_is_fetched_before_the_one_in_front_is_handed_out() -> None:
    events: list[str] = []

    def items() -> Any:
        for i in range(3):
            events.append(f"fetched {i}")
            yield i

    events.extend(f"given {item}" for item in one_ahead(items()))
    assert events == ["fetched 0", "fetched 1", "given 0", "fetched 2", "given 1", "given 2"]
    assert list(one_ahead([])) == []
    assert list(one_ahead([1])) == [1]


class FakeStream:
    """What of a stream of a GPU the host sees, in a list of what it was asked for."""

    def __init__(self, *_: Any) -> None:
        self.asked: list[str] = []

    def record_event(self) -> str:
        return "made"

    def wait_event(self, event: str) -> None:
        self.asked.append(f"wait for {event}")


def test_on_a_gpu_a_batch_is_sent_while_the_one_before_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    """The order of it, without a GPU; what the streams do there no test here can see."""
    training, sent, drawn = FakeStream(), [], []
    monkeypatch.setattr(torch.cuda, "Stream", FakeStream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: training)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda x, stream: drawn.append(stream))

    def send(cut: Cut, device: torch.device, side: FakeStream) -> Any:
        sent.append(cut.names)
        return cut.error or (to_float(cut.pixels), cut.names, side.record_event())

    monkeypatch.setattr(batches, "_send", send)
    bad = ImageError("c is damaged")
    cuts = [Cut(torch.zeros(1, 3, 2, 2, dtype=torch.uint8), [name], [], bad if name == "c" else None) for name in "abc"]
    given = batches.on_device(cuts, torch.device("cuda"))
    assert next(given).names == ["a"]
    assert (sent, training.asked) == ([["a"], ["b"]], ["wait for made"])
    assert next(given).names == ["b"]
    assert drawn == [training] * 2
    with pytest.raises(ImageError, match="c is damaged"):
        next(given)
