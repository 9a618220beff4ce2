"""Who may write how much to the store of decoded photos, when many ask, and what a full disk gets back."""

import errno
import os
import pickle
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from decoded_photos import made_photos, store, stored
from filelock import FileLock
from PIL import Image

from lic_exp.data import allowance, pixel_store, store_room
from lic_exp.data.images import ImageRef

pytestmark = pytest.mark.usefixtures("settled")


def small_and_many(tmp_path: Path, count: int) -> list[ImageRef]:
    """Photos of 25 kB each, decoded."""
    (tmp_path / "many").mkdir()
    made = []
    for i in range(count):
        path = tmp_path / "many" / f"{i:03}.png"
        Image.new("RGB", (90, 90), (i, i // 2, 0)).save(path)
        made.append(ImageRef(path, path.name))
    return made


def used_first(tmp_path: Path) -> list[Path]:
    """The photos in the store, in this order dated as used before all that is used now."""
    photos = stored(tmp_path)
    for i, path in enumerate(photos):
        os.utime(path, (1000 + i, 1000 + i))
    return photos


def test_a_store_in_which_others_look_for_room_keeps_nothing_for_now(
    tmp_path: Path, four_photos: list[ImageRef], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_room, "WAIT_S", 0.01)
    (tmp_path / "store").mkdir()
    made, patient = store(tmp_path), store(tmp_path)
    with FileLock(tmp_path / "store" / "lock"):
        for asking in (made, patient):
            monkeypatch.setattr(allowance, "BUSY_FOR_S", 0.0 if asking is made else 1000.0)
            assert not asking.load(four_photos[0])[1]
    assert made.load(four_photos[0])[1]
    assert not patient.load(four_photos[1])[1], "it is not waited for again with every photo"
    assert made.take_notes() == patient.take_notes() == []


def test_threads_ask_for_room_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    together = threading.Barrier(8)

    def slowly(folder: Path, size: int, **_: Any) -> int:
        asked.append(size)
        time.sleep(0.05)
        return 8 * size

    monkeypatch.setattr(allowance, "make_room", slowly)
    shared = allowance.Allowance(tmp_path, most=10**6, spared_since=0)
    may: list[bool] = []

    def ask() -> None:
        together.wait()
        may.append(shared.take(100))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert may == [True] * 8
    assert asked == [100]


def test_workers_together_keep_to_the_bound(tmp_path: Path) -> None:
    made, photos = store(tmp_path, 4), small_and_many(tmp_path, 250)
    made.load(photos[0])
    workers = [pickle.loads(pickle.dumps(made)) for _ in range(32)]
    for i, photo in enumerate(photos[1:]):
        workers[i % 32].load(photo)
    assert 3_500_000 < sum(path.stat().st_size for path in stored(tmp_path)) <= 4_000_000 + 32 * 25_000


def test_what_was_said_is_not_said_again_by_workers(tmp_path: Path, four_photos: list[ImageRef]) -> None:
    (tmp_path / "store").write_text("mine")
    made = store(tmp_path)
    made.load(four_photos[0])
    worker = pickle.loads(pickle.dumps(made))
    worker.load(four_photos[1])
    assert worker.take_notes() == []
    assert len(made.take_notes()) == 1


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("where", ["write_pixels", "_created"])
def test_a_full_disk_gets_room_back_once_for_all_that_find_it_so(
    tmp_path: Path, four_photos: list[ImageRef], monkeypatch: pytest.MonkeyPatch, code: int, where: str
) -> None:
    made, other = store(tmp_path), store(tmp_path)
    for asking, photo in zip((made, other) * 2, four_photos, strict=True):
        asking.load(photo)
    more = made_photos(tmp_path / "more")
    for photo in more:
        Image.new("RGB", (40, 50), (int(photo.name[0]), 9, 9)).save(photo.path)
    oldest, *rest = used_first(tmp_path)
    monkeypatch.setattr(store_room, "LEFT_FREE", 100)

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(pixel_store, where, refuse)
        for asking in (made, other):
            assert not asking.load(more[0])[1]
    assert stored(tmp_path) == rest
    assert oldest not in rest
    for asking in (made, other):
        (note,) = asking.take_notes()
        assert f"takes no more decoded photos: {os.strerror(code)}. The others" in note
    assert store(tmp_path).load(more[1])[1], "what was used longest ago makes room in what is left"
    assert len(stored(tmp_path)) <= len(rest)


def test_what_a_full_disk_was_left_bounds_the_store_for_a_day(
    tmp_path: Path, four_photos: list[ImageRef], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = store(tmp_path)
    for photo in four_photos[:3]:
        made.load(photo)
    monkeypatch.setattr(store_room, "LEFT_FREE", 1)
    store_room.give_back(tmp_path / "store")
    assert len(stored(tmp_path)) == 2
    for path in stored(tmp_path):
        os.utime(path, (time.time() + 60,) * 2)  # all are used
    refused = store(tmp_path)
    assert not refused.load(four_photos[3])[1]
    assert "of its disk, or of a quota, would be left" in refused.take_notes()[0]
    os.utime(tmp_path / "store" / "bound", (1000, 1000))
    assert store(tmp_path).load(four_photos[3])[1]


@pytest.mark.parametrize("text", ["", "much", "\0"])
def test_a_damaged_bound_is_none(tmp_path: Path, four_photos: list[ImageRef], text: str) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "bound").write_text(text)
    assert store(tmp_path).load(four_photos[0])[1]


def test_a_full_store_takes_photos_again_when_there_is_room(
    tmp_path: Path, four_photos: list[ImageRef], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(allowance, "FULL_FOR_S", 0.0)
    made = store(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(store_room, "LEFT_FREE", shutil.disk_usage(tmp_path).free + 10**12)
        for photo in four_photos:
            assert not made.load(photo)[1]
    assert made.load(four_photos[0])[1]
    assert len(made.take_notes()) == 1


@pytest.mark.parametrize(("age", "is_dated"), [(700, True), (300, False)])
def test_what_is_in_use_is_dated_so_that_it_stays(
    tmp_path: Path, four_photos: list[ImageRef], monkeypatch: pytest.MonkeyPatch, age: float, is_dated: bool
) -> None:
    """By a training that began before, now and then."""
    made = store(tmp_path)
    made.load(four_photos[0])
    monkeypatch.setattr(made, "_began", 0.0)
    (path,) = stored(tmp_path)
    os.utime(path, (time.time() - age,) * 2)
    before = path.stat().st_mtime
    made.load(four_photos[0])
    assert (path.stat().st_mtime > before + 60) is is_dated


@pytest.mark.parametrize("ahead", [-1000.0, 1000.0])
def test_the_disk_may_have_another_clock(
    tmp_path: Path, decodings: list[str], monkeypatch: pytest.MonkeyPatch, ahead: float
) -> None:
    """What others used before makes room, what is in use does not."""
    now, photos = time.time, small_and_many(tmp_path, 75)
    made = store(tmp_path, 1)
    for photo in photos[:30]:
        made.load(photo)
    for path in stored(tmp_path):
        os.utime(path, (now() - 500, now() - 500))
    monkeypatch.setattr(time, "time", lambda: now() - ahead)
    decodings.clear()
    later = store(tmp_path, 1)
    for _ in range(2):
        for photo in photos[30:]:
            later.load(photo)
    kept = 2 * 45 - len(decodings)
    assert 25 < kept < 45


@pytest.mark.parametrize(("least", "left"), [(5, 9), (20, 13)])
def test_files_that_point_to_pixels_are_trimmed(
    tmp_path: Path, four_photos: list[ImageRef], monkeypatch: pytest.MonkeyPatch, least: int, left: int
) -> None:
    """A photo that is seen under ever new paths would leave one for each."""
    monkeypatch.setattr(store_room, "LEAST_POINTERS", least)
    store(tmp_path).load(four_photos[0])
    copies = []
    for i in range(12):
        path = tmp_path / f"copy{i}.png"
        shutil.copy(four_photos[0].path, path)
        copies.append(ImageRef(path, path.name))
    seen = store(tmp_path)
    for photo in copies[:-1]:
        seen.load(photo)
    for i, path in enumerate(stored(tmp_path, "files")):
        os.utime(path, (1000 + i, 1000 + i))
    kept = stored(tmp_path, "files")
    monkeypatch.setattr(store_room, "POINTERS_PER_PHOTO", 8)
    store(tmp_path).load(copies[-1])
    assert len(stored(tmp_path, "files")) == left
    assert set(kept[1 - left :]) <= set(stored(tmp_path, "files")), "the oldest went"


def test_what_a_process_knows_is_bounded(
    tmp_path: Path, four_photos: list[ImageRef], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixel_store, "MOST_IN_MEMORY", 2)
    made = store(tmp_path)
    for _ in range(2):
        for photo in four_photos:
            assert made.load(photo)[1]
    assert len(made._known) == len(made._checked) == 2


def test_what_a_process_knows_of_photos_that_are_gone_is_forgotten(tmp_path: Path, four_photos: list[ImageRef]) -> None:
    made = store(tmp_path)
    for _ in range(2):
        for photo in four_photos:
            made.load(photo)
    shutil.rmtree(tmp_path / "store")
    for photo in four_photos:
        assert made.rows(photo, lambda height, _: (0, height)) is None
    assert (made._known, made._checked) == ({}, {})
