"""Folders with links, pipes and files of other suffixes in them."""

import logging
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from lic_exp.data import images
from lic_exp.data.fingerprints import file_sha256, fingerprint
from lic_exp.data.images import ImageError, list_images
from lic_exp.data.sources import Folder


@pytest.fixture(autouse=True)
def _nothing_said_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_said", set())


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """photos/a.png, photos/sub/b.png, and beside them elsewhere/c.png."""
    for i, name in enumerate(("photos/a.png", "photos/sub/b.png", "elsewhere/c.png")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 9), (i, i, i)).save(tmp_path / name)
    return tmp_path / "photos"


def names(place: Path | str) -> list[str]:
    return [image.name for image in list_images(place)]


LINKS = {
    "back": ({"sub/up": ".."}, ["a.png", "sub/b.png"], ["sub/up (is photos)"]),
    "back twice": ({"sub/up": "..", "sub/again": "../"}, ["a.png", "sub/b.png"], ["sub/again (", "sub/up ("]),
    "to itself": ({"sub/here": "."}, ["a.png", "sub/b.png"], ["sub/here (is sub)"]),
    "in a circle": ({"x": "sub/y", "sub/y": "../x"}, ["a.png", "sub/b.png"], ["2 links that lead nowhere"]),
    "between two": ({"sub/up": "../../elsewhere", "../elsewhere/back": "../photos"}, None, ["sub/up/back (is photos)"]),
    "shorter": ({"s": "sub"}, ["a.png", "s/b.png"], ["sub (is s)"]),
    "as short": ({"zzz": "sub", "aaa": "sub"}, ["a.png", "aaa/b.png"], ["sub (is aaa)", "zzz (is aaa)"]),
    "longer": ({"subfolder": "sub"}, ["a.png", "sub/b.png"], ["subfolder (is sub)"]),
    "one way out": ({"more": "../elsewhere"}, ["a.png", "more/c.png", "sub/b.png"], []),
    "to a file": ({"sub/same.png": "../a.png"}, ["a.png", "sub/b.png", "sub/same.png"], []),
    "nowhere": ({"gone.png": "../no/such.png", "lost": "/no/such"}, ["a.png", "sub/b.png"], ["gone.png, lost"]),
}


@pytest.mark.parametrize("links", LINKS)
def test_each_real_folder_once_whatever_links_there_are(folder: Path, links: str) -> None:
    made, expected, notes = LINKS[links]
    for name, target in made.items():
        (folder / name).symlink_to(target)
    found = list_images(folder)
    assert [image.name for image in found] == (expected or ["a.png", "sub/b.png", "sub/up/c.png"])
    assert all(any(part in note for note in found.notes) for part in notes), found.notes
    assert len(found.notes) == bool(notes)


def test_a_folder_deep_in_circles_ends(folder: Path) -> None:
    for i in range(12):
        (folder / f"d{i}").mkdir()
        for j in range(12):
            (folder / f"d{i}" / f"l{j}").symlink_to(f"../d{j}")
    assert names(folder) == ["a.png", "sub/b.png"]


def test_a_copy_without_links_has_the_fingerprint_of_one_with_a_link_back(folder: Path, tmp_path: Path) -> None:
    plain = shutil.copytree(folder, tmp_path / "copy")
    (folder / "sub" / "up").symlink_to("..")
    assert fingerprint(list_images(folder)) == fingerprint(list_images(plain))


def test_only_regular_files_are_images(folder: Path) -> None:
    os.mkfifo(folder / "pipe.png")
    (folder / "pipe_linked.png").symlink_to("pipe.png")
    (folder / "device.png").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(folder / "socket.png"))
    found = list_images(folder)
    assert [image.name for image in found] == ["a.png", "sub/b.png"]
    (note,) = found.notes
    assert note.endswith(
        "4 files were passed over that are no regular ones: device.png, pipe.png, pipe_linked.png, socket.png"
    )


def test_what_is_named_must_be_a_file_or_a_folder(folder: Path) -> None:
    os.mkfifo(folder / "pipe.png")
    with pytest.raises(ImageError, match=r"pipe\.png is neither a folder nor a regular file"):
        list_images(folder / "pipe.png")
    with pytest.raises(OSError, match="Not a regular file"):
        file_sha256(folder / "pipe.png")
    (folder / "lost").symlink_to("/no/such")
    with pytest.raises(ImageError, match="lost is a link that leads nowhere"):
        list_images(folder / "lost")


OTHERS = ("b.jfif", "c.JPE", "d.pgm", "e.gif", "f.gif", "sub/g.avif", "h.jp2")
SAID = "images of other suffixes than .png .jpg .jpeg .webp .bmp .ppm .tif .tiff were passed over: "


def test_images_of_other_suffixes_are_counted_and_said_once(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in (*OTHERS, "notes.txt", "labels.json", ".hidden.gif", "README"):
        (folder / name).touch()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert names(folder) == ["a.png", "sub/b.png"]
    counts = "1 .avif, 2 .gif, 1 .jfif, 1 .jp2, 1 .jpe, 1 .pgm"
    told = f"{folder}: {SAID}{counts}; name {folder}/*.avif too to have them read"
    assert [record.getMessage() for record in caplog.records] == [told]


def test_files_that_are_no_images_are_nobodys_business(folder: Path) -> None:
    for name in ("notes.txt", "labels.json", "a.png.part", "README", "Thumbs.db"):
        (folder / name).touch()
    assert list_images(folder).notes == []


def test_a_folder_of_nothing_but_other_suffixes_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.gif").touch()
    with pytest.raises(ImageError, match=r"holds no image .*; .* holds a\.gif; .* were passed over: 1 \.gif"):
        list_images(tmp_path)


def test_a_name_that_is_no_text_can_be_said(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    os.symlink("/no/such", os.fsencode(folder) + b"/caf\xe9.png")
    with caplog.at_level(logging.WARNING):
        list_images(folder)
    caplog.records[0].getMessage().encode()
    assert r"caf\xe9.png" in caplog.text


# Patterns


def test_a_pattern_takes_files_of_any_suffix(folder: Path) -> None:
    for i, name in enumerate(("x.gif", "sub/y.GIF", "sub/z.png")):
        Image.new("L", (9, 9), i).save(folder / name)
    assert names(f"{folder}/*.gif") == ["sub/y.GIF", "x.gif"]
    assert names(f"{folder}/*") == ["a.png", "sub/b.png", "sub/y.GIF", "sub/z.png", "x.gif"]
    assert names(f"{folder}/?.png") == ["a.png", "sub/b.png", "sub/z.png"]
    assert list_images(f"{folder}/*.gif").notes == []
    with pytest.raises(ImageError, match=r"photos holds no image \(\*\.jfif\)"):
        list_images(f"{folder}/*.jfif")
    with pytest.raises(ImageError, match=r"photo does not exist; did you mean .*/photos\?"):
        list_images(folder.parent / "photo" / "*.gif")


def test_a_folder_that_is_called_like_a_pattern_is_a_folder(folder: Path) -> None:
    odd = folder.rename(folder.with_name("what?*"))
    assert names(odd) == ["a.png", "sub/b.png"]


def test_a_pattern_beside_a_folder_is_a_set_of_its_own(folder: Path) -> None:
    Image.new("L", (9, 9), 77).save(folder / "x.gif")
    options = {"val": [str(folder.parent / "elsewhere")], "train_weights": None}
    alone = Folder(train=[str(folder)], **options)
    both = Folder(train=[str(folder), f"{folder}/*.gif"], **options)
    assert [image.name for image in both.train()[0].images] == ["0/a.png", "0/sub/b.png", "1/x.gif"]
    assert both.train()[0].images[-1].load().mean() == 77
    assert both.fingerprint() != alone.fingerprint()
    assert [note.partition("passed over: ")[2][:6] for note in alone.notes()] == ["1 .gif"]
