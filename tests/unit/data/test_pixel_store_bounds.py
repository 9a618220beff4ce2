"""How much decoded photos may take of a disk, and what becomes of a training where the disk refuses."""

import errno
import itertools
import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
from decoded_photos import store, stored
from PIL import Image

from lic_exp.data import pixel_store, store_room
from lic_exp.data.images import ImageRef
from lic_exp.data.pixel_store import PixelStore

pytestmark = pytest.mark.usefixtures("settled")


def big(tmp_path: Path, count: int) -> list[ImageRef]:
    """Photos of a fifth of a megabyte each, decoded."""
    made = []
    for i in range(count):
        Image.new("RGB", (256, 256), (i, 0, 0)).save(tmp_path / f"{i:02}.png")
        made.append(ImageRef(tmp_path / f"{i:02}.png", f"{i:02}.png"))
    return made


def used(tmp_path: Path) -> int:
    return sum(path.stat().st_size for path in stored(tmp_path))


def test_a_data_set_that_is_too_large_is_kept_in_part_and_that_is_said(tmp_path: Path, decodings: list[str]) -> None:
    """Thrown out in turn, each would go just before it is needed again."""
    made, photos = store(tmp_path, 1), big(tmp_path, 12)
    for _ in range(3):
        for photo in photos:
            made.load(photo)
    assert 700_000 < used(tmp_path) <= 1_000_000
    kept = len(stored(tmp_path))
    assert len(decodings) == kept + 3 * (12 - kept)
    (note,) = made.take_notes()
    assert note.endswith(
        "store takes no more decoded photos: data.store_mb=1 is full of what is being read. "
        "The others are decoded each time; data.store_mb=0 does without"
    )


def test_many_makers_at_once_keep_to_the_bound_but_for_what_each_is_writing(tmp_path: Path) -> None:
    photos = big(tmp_path, 12)
    makers = [threading.Thread(target=lambda: [store(tmp_path, 1).load(photo) for photo in photos]) for _ in range(4)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    assert 700_000 < used(tmp_path) <= 1_000_000 + 3 * 200_704


def test_what_was_used_longest_ago_makes_room(tmp_path: Path, decodings: list[str]) -> None:
    photos = big(tmp_path, 12)
    made = store(tmp_path, 1)
    for photo in photos[:4]:
        made.load(photo)
    for i, path in enumerate(sorted(stored(tmp_path), key=lambda path: path.stat().st_mtime_ns)):
        os.utime(path, (1000 + i, 1000 + i))
    later = store(tmp_path, 1)
    later.load(photos[0])  # used again
    for photo in photos[4:7]:
        assert later.load(photo)[1]
    assert used(tmp_path) <= 1_000_000
    decodings.clear()
    store(tmp_path, 1).load(photos[0])
    assert decodings == []
    assert len(stored(tmp_path, "files")) == len(stored(tmp_path)), "nothing points to what was removed"


def test_a_photo_larger_than_the_store_is_not_kept_and_others_are(tmp_path: Path) -> None:
    Image.new("RGB", (1000, 400)).save(tmp_path / "large.png")
    made = store(tmp_path, 1)
    assert not made.load(ImageRef(tmp_path / "large.png", "large.png"))[1]
    assert made.load(big(tmp_path, 1)[0])[1]
    assert not made.load(ImageRef(tmp_path / "large.png", "large.png"))[1]
    assert made.take_notes() == [
        f"{tmp_path / 'store'} takes no photo larger than data.store_mb=1: they are decoded each time"
    ]


def test_what_was_left_unfinished_is_removed_when_it_is_old(tmp_path: Path, four_photos: list[ImageRef]) -> None:
    folder = tmp_path / "store" / "photos"
    folder.mkdir(parents=True)
    for name, age in (("old", 2 * 3600), ("new", 60)):
        path = folder / f"{name}{store_room.UNFINISHED}"
        path.write_bytes(b"half")
        os.utime(path, (time.time() - age,) * 2)
    store(tmp_path).load(four_photos[0])
    assert [path.name for path in folder.glob("*.*")] == [f"new{store_room.UNFINISHED}"]


REFUSED = [errno.EROFS, errno.EACCES, errno.EIO]


@pytest.mark.parametrize(
    ("code", "where"),
    [*itertools.product(REFUSED, ["write", "make", "lock"]), (errno.ENOSPC, "lock"), (errno.EDQUOT, "lock")],
)
def test_a_disk_that_refuses_costs_time_alone_and_is_said_once(
    tmp_path: Path, four_photos: list[ImageRef], monkeypatch: pytest.MonkeyPatch, code: int, where: str
) -> None:
    made = store(tmp_path)
    made.load(four_photos[0])

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(code, os.strerror(code))

    if where == "write":
        monkeypatch.setattr(pixel_store, "write_pixels", refuse)
    elif where == "make":
        monkeypatch.setattr(pixel_store, "_created", refuse)
    else:
        made = store(tmp_path)
        monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    for photo in four_photos[1:]:
        assert np.array_equal(made.load(photo)[0], photo.load())
    assert made.load(four_photos[0])[1], "what is there is read all the same"
    (note,) = made.take_notes()
    assert f"store takes no more decoded photos: {os.strerror(code)}. The others" in note
    assert made.take_notes() == []
    assert len(stored(tmp_path)) == 1, "nothing half-written stays"


@pytest.mark.parametrize("where", ["lic_exp.data.pixel_store._created", "os.replace"])
def test_a_folder_that_goes_at_the_very_moment_is_made_again(
    tmp_path: Path, four_photos: list[ImageRef], monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    made = store(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(where, lambda *_, **__: (_ for _ in ()).throw(FileNotFoundError(errno.ENOENT, "gone")))
        assert not made.load(four_photos[0])[1]
    assert made.load(four_photos[0])[1]
    assert made.take_notes() == []


def test_a_full_disk_in_the_middle_of_a_photo(
    tmp_path: Path, four_photos: list[ImageRef], monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(file: BinaryIO, content: bytes, pixels: np.ndarray) -> None:
        file.write(content)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pixel_store, "write_pixels", half)
    made = store(tmp_path)
    assert not made.load(four_photos[0])[1]
    assert stored(tmp_path) == []


def test_a_disk_is_never_filled_to_the_last_byte(
    tmp_path: Path, four_photos: list[ImageRef], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_room, "LEFT_FREE", shutil.disk_usage(tmp_path).free + 10**12)
    made = store(tmp_path)
    assert not made.load(four_photos[0])[1]
    assert "of its disk, or of a quota, would be left" in made.take_notes()[0]
    assert stored(tmp_path) == []


def test_a_file_in_the_place_of_its_folder(tmp_path: Path, four_photos: list[ImageRef]) -> None:
    (tmp_path / "store").write_text("mine")
    made = store(tmp_path)
    assert np.array_equal(made.load(four_photos[0])[0], four_photos[0].load())
    assert len(made.take_notes()) == 1
    assert (tmp_path / "store").read_text() == "mine"


def test_without_a_home_nothing_is_kept_and_that_is_said(
    four_photos: list[ImageRef], monkeypatch: pytest.MonkeyPatch
) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(pixel_store, "cache_folder", homeless)
    made = PixelStore(10)
    assert not made.load(four_photos[0])[1]
    assert made.take_notes() == ["no decoded photos are kept: Could not determine home directory."]
    assert PixelStore(0).take_notes() == []


def test_switched_off_it_neither_writes_nor_reads(
    tmp_path: Path, four_photos: list[ImageRef], decodings: list[str]
) -> None:
    store(tmp_path).load(four_photos[0])
    off = store(tmp_path, 0)
    assert not off.load(four_photos[0])[1]
    assert not off.load(four_photos[1])[1]
    assert len(stored(tmp_path)) == 1
    assert decodings == ["0.png", "0.png", "1.png"]
