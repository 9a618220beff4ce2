"""Fingerprints of images and hashes of files: what they tell apart, and how often a file is opened for them."""

import builtins
import hashlib
import json
import os
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from checkout import ROOT
from commands import finish, start
from PIL import Image

from lic_exp.data import fingerprints
from lic_exp.data.fingerprints import file_sha256, fingerprint
from lic_exp.data.images import ImageRef, list_images

RGB = np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype=np.uint8)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    Image.fromarray(RGB).save(folder / "a.png")
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (80, 80, 3), dtype=np.uint8)).save(folder / "sub/b.png")
    return folder


def folder_fingerprint(folder: Path) -> str:
    return fingerprint(list_images(folder))


def test_fingerprint_ignores_where_files_lie(photos: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(photos, tmp_path / "elsewhere" / "set")
    assert folder_fingerprint(copy) == folder_fingerprint(photos)


def test_fingerprint_ignores_the_order_of_listing(photos: Path) -> None:
    images = list_images(photos)
    assert fingerprint(images[::-1], images) == fingerprint(images, images)


def test_fingerprint_tells_training_from_validation(photos: Path) -> None:
    a, b = list_images(photos)
    assert len({fingerprint([a], [b]), fingerprint([b], [a]), fingerprint([a, b]), fingerprint([], [a, b])}) == 4


@pytest.mark.parametrize("change", ["pixel", "rename", "move", "remove", "append"])
def test_fingerprint_sees_changes(photos: Path, change: str) -> None:
    before = folder_fingerprint(photos)
    file = photos / "sub/b.png"
    if change == "pixel":
        pixels = np.array(Image.open(file))
        pixels[40, 40, 1] ^= 1
        Image.fromarray(pixels).save(file)
    elif change == "append":
        with open(file, "ab") as stream:
            stream.write(b"\0")
    elif change == "remove":
        file.unlink()
    else:
        file.rename(photos / ("sub/c.png" if change == "rename" else "b.png"))
    assert folder_fingerprint(photos) != before


def test_fingerprint_sees_a_pixel_checksum_in_the_tail_alone(photos: Path) -> None:
    """Same size and same first 4 KiB: only the PNG's closing checksum differs."""
    file = photos / "sub/b.png"
    data = bytearray(file.read_bytes())
    before = folder_fingerprint(photos)
    assert len(data) > 3 * 4096
    (crc,) = struct.unpack(">I", data[-16:-12])
    data[-16:-12] = struct.pack(">I", crc ^ 1)
    file.write_bytes(bytes(data))
    assert folder_fingerprint(photos) != before


def test_fingerprint_is_this_for_ever(tmp_path: Path) -> None:
    """Another value would give every run of the past another name."""
    for name, size in (("small.png", 5), ("large.png", 20_000)):
        (tmp_path / name).write_bytes(bytes(number * number % 251 for number in range(size)))
    small, large = (ImageRef(tmp_path / name, name) for name in ("small.png", "large.png"))
    assert fingerprint([large], [small]) == "814ffb6d09774e3e5be6c4d15f0bfb13b4ecf07a629df73d27bcae5f37148ee5"


# How often files are opened


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Names of the files opened since, with an empty cache and every file long settled."""
    names: list[str] = []

    def counting(path: str, mode: str) -> object:
        names.append(Path(path).name)
        return builtins.open(path, mode)

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setattr(fingerprints, "_memory", {})
    monkeypatch.setattr(fingerprints, "open", counting, raising=False)
    monkeypatch.setattr(fingerprints, "has_settled", lambda changed, now: True)
    return names


def change_unseen(path: Path, content: bytes) -> None:
    """Another content of the same size at the same time of modification; only the time of change tells."""
    before = path.stat()
    assert len(content) == before.st_size
    while path.stat().st_ctime_ns == before.st_ctime_ns:  # the kernel's clock has not ticked
        path.write_bytes(content)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def forget(memory: str) -> None:
    if memory == "disk":
        fingerprints._memory.clear()


@pytest.mark.parametrize("memory", ["process", "disk"])
def test_an_image_is_opened_once(photos: Path, opened: list[str], memory: str) -> None:
    first = folder_fingerprint(photos)
    assert sorted(opened) == ["a.png", "b.png"]
    forget(memory)
    assert folder_fingerprint(photos) == first
    assert len(opened) == 2


def test_an_image_of_two_sets_is_opened_once(photos: Path, opened: list[str]) -> None:
    fingerprint(list_images(photos), list_images(photos / "sub"))
    assert sorted(opened) == ["a.png", "b.png"]


@pytest.mark.parametrize("memory", ["process", "disk"])
def test_a_changed_image_is_opened_again_and_no_other(photos: Path, opened: list[str], memory: str) -> None:
    before = folder_fingerprint(photos)
    content = bytearray((photos / "a.png").read_bytes())
    content[-20] ^= 1
    change_unseen(photos / "a.png", bytes(content))
    opened.clear()
    forget(memory)
    assert folder_fingerprint(photos) != before
    assert opened == ["a.png"]


def test_an_image_that_takes_anothers_place_is_opened(photos: Path, opened: list[str]) -> None:
    before = folder_fingerprint(photos)
    shutil.copy2(photos / "a.png", photos / "c.png")
    Image.fromarray(255 - RGB).save(photos / "new.png")
    os.replace(photos / "new.png", photos / "a.png")
    (photos / "c.png").unlink()
    opened.clear()
    assert folder_fingerprint(photos) != before
    assert opened == ["a.png"]


def test_what_changed_within_a_tick_is_not_kept(
    photos: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second change within the same tick of the clock would have the same times."""
    monkeypatch.setattr(fingerprints, "has_settled", lambda changed, now: False)
    assert folder_fingerprint(photos) == folder_fingerprint(photos)
    assert sorted(opened) == ["a.png", "a.png", "b.png", "b.png"]


@pytest.mark.parametrize(
    ("age_ms", "fraction", "settled"),
    [
        (-5000, 1, False),
        (0, 1, False),
        (10, 1, False),
        (30, 1, True),
        (30, 0, False),
        (1500, 0, False),
        (2500, 0, True),
    ],
)
def test_when_a_file_has_settled(age_ms: int, fraction: int, settled: bool) -> None:
    changed = 1_700_000_000_000_000_000 + fraction
    assert fingerprints.has_settled(changed, changed + age_ms * 1_000_000) is settled


@pytest.mark.parametrize("memory", ["process", "disk"])
def test_a_large_file_is_hashed_once(tmp_path: Path, opened: list[str], memory: str) -> None:
    weights, content = tmp_path / "weights.pt", bytes(range(256)) * 100
    weights.write_bytes(content)
    assert file_sha256(weights) == hashlib.sha256(content).hexdigest()
    forget(memory)
    assert file_sha256(str(weights)) == hashlib.sha256(content).hexdigest()
    assert opened == ["weights.pt"]
    other = content[:12_000] + b"?" + content[12_001:]
    change_unseen(weights, other)
    assert file_sha256(weights) == hashlib.sha256(other).hexdigest()


def test_a_files_two_digests_are_not_confused(photos: Path, opened: list[str]) -> None:
    before = folder_fingerprint(photos)
    assert file_sha256(photos / "a.png") == hashlib.sha256((photos / "a.png").read_bytes()).hexdigest()
    assert folder_fingerprint(photos) == before
    assert opened.count("a.png") == 2


def test_memory_is_bounded_and_the_disk_knows_the_rest(
    photos: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprints, "_MOST_IN_MEMORY", 1)
    before = folder_fingerprint(photos)
    assert len(fingerprints._memory) == 1
    assert folder_fingerprint(photos) == before
    assert len(opened) == 2


@pytest.mark.parametrize("read", [lambda path: fingerprint([ImageRef(path, "x")]), file_sha256])
def test_a_missing_file_is_an_error_also_if_it_was_known(
    tmp_path: Path, opened: list[str], read: Callable[[Path], str]
) -> None:
    file = tmp_path / "x.png"
    file.write_bytes(b"content")
    read(file)
    file.unlink()
    with pytest.raises(FileNotFoundError):
        read(file)


def test_what_has_no_files_needs_no_database() -> None:
    script = (
        "import sys, lic_exp.config.signing; from lic_exp.data.sources import Synthetic\n"
        "Synthetic(train_images=1, val_images=1, height=9, width=9, image_seed=0).fingerprint()\n"
        "print([m for m in ('torch', 'numpy', 'PIL', 'sqlite3') if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", script], text=True, cwd=ROOT) == "[]\n"


# A whole plan

SCRIPT = f"""
import json, os, runpy, sys
folder, opened = os.path.realpath(sys.argv[1]), []
def hear(event, args):
    if event == "open" and isinstance(args[0], (str, bytes, os.PathLike)):
        path = os.fsdecode(args[0])
        if path.startswith(folder):
            opened.append(os.path.basename(path))
sys.addaudithook(hear)
sys.argv = ["launch.py", *sys.argv[2:]]
try:
    runpy.run_path({str(ROOT / "launch.py")!r}, run_name="__main__")
except SystemExit as end:
    assert not end.code, end.code
print("OPENED", json.dumps(opened))
"""


def plan(images: Path, folder: Path) -> tuple[list[str], list[str]]:
    """Names of the images that a plan of a table over them opens, and the names of its runs."""
    data = ("data=folder", f"data.train=[{images}/train]", f"data.val=[{images}/val]")
    done = finish(
        start("-c", SCRIPT, str(images), "-m", "experiment=table2", "scale=mini", *data, "plan=true", folder=folder)
    )
    assert done.returncode == 0, done.stdout + done.stderr
    text, _, opened = done.stdout.rpartition("OPENED ")
    return json.loads(opened), re.findall(r"\b[0-9a-f]{16}\b", text)


def test_a_plan_opens_each_image_once_and_the_next_plan_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    images, random = tmp_path / "images", np.random.default_rng(0)
    for number in range(300):
        path = images / ("val" if number < 20 else "train") / f"{number % 7}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)
    opened, runs = plan(images, tmp_path)
    assert sorted(opened, key=lambda name: int(name[:-4])) == [f"{number}.png" for number in range(300)]
    assert len(runs) == len(set(runs)) > 10
    assert plan(images, tmp_path) == ([], runs)
    changed = images / "train" / "0" / "21.png"
    content = bytearray(changed.read_bytes())
    content[-20] ^= 1
    change_unseen(changed, bytes(content))
    opened, others = plan(images, tmp_path)
    assert opened == ["21.png"]
    assert not set(runs) & set(others)
