"""Decoded photos on disk: found again, and never other pixels than a decoder gives, whatever became of them."""

import os
import pickle
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from decoded_photos import PHOTO, H, W, store, stored
from PIL import Image

from lic_exp.data import pixel_store, store_room
from lic_exp.data.images import ImageError, ImageRef
from lic_exp.data.pixel_store import PixelStore
from lic_exp.data.sources import Synthetic

pytestmark = pytest.mark.usefixtures("settled")


def test_a_photo_is_decoded_once_by_all_that_ask(
    tmp_path: Path, four_photos: list[ImageRef], decodings: list[str]
) -> None:
    one = store(tmp_path)
    for asking in (one, one, pickle.loads(pickle.dumps(one)), store(tmp_path)):  # a worker; another run
        for photo in four_photos:
            pixels, kept = asking.load(photo)
            assert kept
            assert np.array_equal(pixels, photo.load())
            decodings.remove(photo.name)
    assert decodings == [photo.name for photo in four_photos]


@pytest.mark.parametrize("first", [0, 7, 15, 16, 33])
def test_any_rows_are_those_of_the_photo(tmp_path: Path, four_photos: list[ImageRef], first: int) -> None:
    made = store(tmp_path)
    whole, _ = made.load(four_photos[0])
    asked: list[tuple[int, int]] = []

    def wanted(height: int, width: int) -> tuple[int, int]:
        asked.append((height, width))
        return first, 17

    rows = made.rows(four_photos[0], wanted)
    assert rows is not None
    assert np.array_equal(rows, whole[first : first + 17])
    assert asked == [(H, W)]
    assert made.rows(four_photos[1], wanted) is None, "which nobody has decoded yet"


@pytest.mark.parametrize("size", [(1, 1), (16, 3), (17, 5), (20_000, 1)])
def test_photos_of_any_size(tmp_path: Path, size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    photo, made = ImageRef(tmp_path / "a.png", "a.png"), store(tmp_path)
    assert np.array_equal(made.load(photo)[0], pixels)
    rows = made.rows(photo, lambda height, _: (height - 1, 1))
    assert rows is not None
    assert np.array_equal(rows, pixels[-1:])


def test_a_copy_or_a_moved_folder_is_not_decoded_again(
    tmp_path: Path, four_photos: list[ImageRef], decodings: list[str]
) -> None:
    made = store(tmp_path)
    made.load(four_photos[0])
    copy = ImageRef(tmp_path / "copy.png", "copy.png")
    shutil.copy(four_photos[0].path, copy.path)
    assert np.array_equal(made.load(copy)[0], made.load(four_photos[0])[0])
    assert decodings == ["0.png"]
    assert len(stored(tmp_path)) == 1


def swapped(four_photos: list[ImageRef]) -> None:
    four_photos[0].path.write_bytes(four_photos[1].path.read_bytes())


def with_its_times(four_photos: list[ImageRef]) -> None:
    """Other pixels in a file of the same length, dated as before."""
    status = four_photos[0].path.stat()
    content = four_photos[1].path.read_bytes()
    four_photos[0].path.write_bytes(content.ljust(status.st_size, b"\0")[: max(status.st_size, len(content))])
    os.utime(four_photos[0].path, ns=(status.st_atime_ns, status.st_mtime_ns))


def replaced(four_photos: list[ImageRef]) -> None:
    shutil.copy(four_photos[1].path, four_photos[0].path.with_name("new"))
    os.replace(four_photos[0].path.with_name("new"), four_photos[0].path)


@pytest.mark.parametrize("change", [swapped, with_its_times, replaced])
def test_a_changed_file_defeats_it(tmp_path: Path, four_photos: list[ImageRef], change: Callable[..., None]) -> None:
    made = store(tmp_path)
    made.load(four_photos[0])
    time.sleep(0.03)  # the kernel's clock ticks
    change(four_photos)
    assert made.rows(four_photos[0], lambda height, _: (0, height)) is None
    assert np.array_equal(made.load(four_photos[0])[0], four_photos[1].load())


def test_what_changed_a_moment_ago_is_not_remembered_of_the_path(
    tmp_path: Path, four_photos: list[ImageRef], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixel_store, "has_settled", lambda changed, now: False)
    assert store(tmp_path).load(four_photos[0])[1]
    assert stored(tmp_path, "files") == []


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flipped(offset: int) -> Callable[[Path], None]:
    def flip(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[offset] ^= 1
        path.write_bytes(content)

    return flip


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def anothers(path: Path) -> None:
    other = next(one for one in path.parent.parent.rglob("*") if one.is_file() and one != path)
    shutil.copy(other, path)


DAMAGE = {
    "gone": Path.unlink,
    "cut": cut,
    "empty": emptied,
    "a text": lambda path: path.write_text("text " * 3000),
    "header": flipped(10),
    "size": flipped(41),
    "checksum": flipped(55),
    "first pixel": flipped(-PHOTO),
    "last pixel": flipped(-1),
    "another's": anothers,
    "a folder": a_folder,
    "a pipe": a_pipe,
}

LONG = ("size", "checksum", "first pixel")
"""Damage further on than the small files reach."""


@pytest.mark.parametrize(
    ("kind", "damage"),
    [(kind, damage) for kind in ("photos", "files") for damage in DAMAGE if kind == "photos" or damage not in LONG],
)
def test_damage_is_never_taken_for_pixels(tmp_path: Path, four_photos: list[ImageRef], damage: str, kind: str) -> None:
    made = store(tmp_path)
    for photo in four_photos:
        made.load(photo)
    for path in stored(tmp_path, kind):
        DAMAGE[damage](path)
    for asking in (made, store(tmp_path), store(tmp_path)):
        for photo in four_photos:
            rows = asking.rows(photo, lambda height, _: (0, height))
            assert rows is None or np.array_equal(rows, photo.load())
            assert np.array_equal(asking.load(photo)[0], photo.load())


def test_what_is_damaged_is_mended(tmp_path: Path, four_photos: list[ImageRef], decodings: list[str]) -> None:
    made = store(tmp_path)
    made.load(four_photos[0])
    flipped(-1)(stored(tmp_path)[0])
    made.load(four_photos[0])
    made.load(four_photos[0])
    assert decodings == ["0.png"] * 2


def test_the_store_may_vanish_at_any_moment(tmp_path: Path, four_photos: list[ImageRef]) -> None:
    made = store(tmp_path)
    for _ in range(2):
        assert np.array_equal(made.load(four_photos[0])[0], four_photos[0].load())
        shutil.rmtree(tmp_path / "store")
    assert made.load(four_photos[0])[1], "and is made again"
    assert made.take_notes() == []


def test_other_decoders_are_other_pixels(
    tmp_path: Path, four_photos: list[ImageRef], decodings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store(tmp_path).load(four_photos[0])
    monkeypatch.setattr(pixel_store, "decoded_as", lambda: "another Pillow")
    store(tmp_path).load(four_photos[0])
    assert decodings == ["0.png"] * 2


def test_images_that_are_no_files_are_left_alone(tmp_path: Path) -> None:
    class Enlarged(ImageRef):
        """Somebody's own kind of image, of which the file is not all."""

        def load(self) -> np.ndarray:
            return super().load().repeat(2, axis=0)

    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    made = store(tmp_path)
    synthetic = Synthetic(train_images=1, val_images=1, height=9, width=9, image_seed=0).val()[0]
    for image in (synthetic, Enlarged(tmp_path / "a.png", "a.png")):
        assert not made.load(image)[1]
        assert np.array_equal(made.load(image)[0], image.load())
    assert not (tmp_path / "store").exists()


def test_a_bad_image_is_refused_as_without(tmp_path: Path, four_photos: list[ImageRef]) -> None:
    made = store(tmp_path)
    four_photos[0].path.write_text("text")
    four_photos[1].path.unlink()
    for photo, message in (
        (four_photos[0], "0.png is not an image"),
        (four_photos[1], "1.png cannot be read: No such file"),
    ):
        with pytest.raises(ImageError, match=message):
            made.load(photo)


def test_many_makers_at_once_make_the_same(tmp_path: Path, four_photos: list[ImageRef]) -> None:
    wrong: list[str] = []
    expected = {photo.name: photo.load() for photo in four_photos}

    def work(asking: PixelStore) -> None:
        for photo in four_photos * 5:
            wrong.extend([photo.name] * (not np.array_equal(asking.load(photo)[0], expected[photo.name])))

    shared = store(tmp_path)
    threads = [threading.Thread(target=work, args=[asking]) for asking in (shared, shared, *map(store, [tmp_path] * 4))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(stored(tmp_path)) == len(four_photos)
    assert not list(tmp_path.rglob(f"*{store_room.UNFINISHED}"))
