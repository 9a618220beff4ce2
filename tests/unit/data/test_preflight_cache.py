"""What is remembered of images that were looked at, and what is not."""

import errno
import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lic_exp.data import preflight as looking
from lic_exp.data.images import ImageRef, list_images
from lic_exp.data.preflight import Seen, look, survey
from lic_exp.data.sources import Folder


@pytest.fixture
def folders(tmp_path):
    """Folders train (a.png, b.png) and val (c.png)."""
    for seed, name in enumerate(("train/a", "train/b", "val/c")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        values = np.random.default_rng(seed).integers(0, 256, (20, 30, 3), dtype=np.uint8)
        Image.fromarray(values).save(tmp_path / f"{name}.png")
    return tmp_path


@pytest.fixture
def decoded(monkeypatch):
    """Names of the images that were decoded since the test began."""
    seen, load = [], ImageRef.load
    monkeypatch.setattr(ImageRef, "load", lambda image: seen.append(image.name) or load(image))
    return seen


def report(folders, cache):
    source = Folder(train=[str(folders / "train")], val=[str(folders / "val")], train_weights=None)
    return survey(source, [], cache=cache).report(crop_size=8, val_crop_size=8)


def found_wrong(folders, cache):
    return report(folders, cache).messages()


@pytest.mark.parametrize("seen", [Seen("caf\udce9.png is bad"), Seen(None, 7, 9, b"p" * 32, b"t" * 256)])
def test_what_was_seen_survives_the_way_to_disk(seen):
    assert Seen.unpacked(seen.packed()) == seen


def test_what_was_seen_by_another_version_is_seen_anew(folders, decoded, monkeypatch):
    cache = folders / "cache.sqlite"
    report(folders, cache)
    decoded.clear()
    monkeypatch.setattr(looking, "SEEN_AS", "another thumbnail")
    report(folders, cache)
    assert sorted(decoded) == ["a.png", "b.png", "c.png"]


@pytest.mark.parametrize("code", [errno.EIO, errno.EACCES, errno.ENOENT])
def test_what_could_not_be_read_is_looked_at_again(folders, decoded, monkeypatch, code):
    """Only what the bytes say is remembered."""
    cache = folders / ".preflight.sqlite"
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", lambda _: (_ for _ in ()).throw(OSError(code, "the disk says no")))
        found = report(folders, cache).bad_train
        assert set(found) == {"a.png", "b.png"}
    decoded.clear()
    assert found_wrong(folders, cache) == []
    assert sorted(decoded) == ["a.png", "b.png", "c.png"]
    decoded.clear()
    assert found_wrong(folders, cache) == []
    assert decoded == []


def test_a_file_that_vanishes_while_it_is_looked_at_is_named(folders):
    images = list_images(folders / "train")
    (folders / "train" / "a.png").unlink()
    found = dict(look(images, folders / ".preflight.sqlite"))
    assert found[images[0]].error == f"{folders}/train/a.png cannot be read: No such file or directory"
    assert found[images[1]].error is None


def test_a_look_at_many_images_is_written_down_bit_by_bit(folders, decoded, monkeypatch):
    monkeypatch.setattr(looking, "AT_ONCE", 1)
    cache = folders / ".preflight.sqlite"
    images = list_images(folders / "train")
    walk = look(images, cache)
    next(walk), next(walk)
    walk.close()
    decoded.clear()
    assert [image for image, _ in look(images, cache)] == images
    assert decoded in ([], ["b.png"])


@pytest.mark.parametrize("lying", [lambda x: x, lambda x: x[::-1, ::2], lambda x: x.swapaxes(0, 1)])
def test_pixels_have_the_digest_that_caches_know_them_by_however_they_lie_in_memory(lying):
    pixels = lying(np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8))
    ((_, seen),) = look([ImageRef(Path("a.png"), "a.png")], None, lambda image: pixels)
    assert seen.pixels == hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).digest()
    assert (seen.height, seen.width) == pixels.shape[:2]
