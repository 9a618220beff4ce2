"""Pictures in files keep samples, alpha and profile, or are refused by name."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lic_exp.files.picture_files import save_picture
from lic_exp.files.pixels import Picture, PixelsError
from lic_exp.files.reading import read_picture

RANDOM = np.random.default_rng(0)
PROFILE = {True: bytes(16) + b"GRAY" + bytes(108), False: bytes(16) + b"RGB " + bytes(108)}


def a_picture(bits: int, channels: int) -> Picture:
    samples = RANDOM.integers(0, 2**bits, (9, 7, channels), dtype=f"uint{bits}")
    grey = channels < 3
    return Picture(
        samples[..., 0] if grey else samples[..., :3], samples[..., -1] if channels in (2, 4) else None, PROFILE[grey]
    )


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".tif", ".tiff"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_8_bits_come_back(tmp_path: Path, suffix: str, channels: int) -> None:
    picture = a_picture(8, channels)
    save_picture(picture, tmp_path / f"a{suffix}")
    back = read_picture((tmp_path / f"a{suffix}").read_bytes())
    assert np.array_equal(back.colour, picture.colour)
    assert (back.alpha is None) == (picture.alpha is None)
    assert picture.alpha is None or np.array_equal(back.alpha, picture.alpha)
    assert (back.icc, back.notes) == (picture.icc, ())


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_grey_of_16_bits_comes_back(tmp_path: Path, suffix: str) -> None:
    picture = a_picture(16, 1)
    save_picture(picture, tmp_path / f"a{suffix}")
    back = read_picture((tmp_path / f"a{suffix}").read_bytes())
    assert np.array_equal(back.colour, picture.colour)
    assert back.icc == picture.icc


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_16_bits_of_more_are_a_png_that_others_read(tmp_path: Path, channels: int) -> None:
    picture = a_picture(16, channels)
    save_picture(picture, tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    with Image.open(io.BytesIO(content)) as image:  # checks every checksum, and reads the upper 8 bits
        image.load()
        shown = np.asarray(image)
    expected = picture.colour >> 8
    assert np.array_equal(shown[..., 0], expected if channels == 2 else expected[..., 0])
    back = read_picture(content)
    assert back.icc == picture.icc
    assert np.array_equal(
        unpacked(content, channels),
        np.dstack([picture.colour, *([picture.alpha] if picture.alpha is not None else [])]),
    )


def unpacked(png: bytes, channels: int) -> np.ndarray:
    """The samples (H, W, C) of a PNG of 16 bits whose rows are all filtered by Up."""
    place = png.index(b"IDAT")
    (length,) = struct.unpack_from(">I", png, place - 4)
    rows = np.frombuffer(zlib.decompress(png[place + 4 : place + 4 + length]), np.uint8).reshape(9, -1)
    assert (rows[:, 0] == 2).all()
    samples = np.add.accumulate(rows[:, 1:], axis=0, dtype=np.uint8)
    return samples.copy().view(">u2").reshape(9, 7, channels)


@pytest.mark.parametrize(
    ("name", "bits", "channels", "message"),
    [
        ("a.jpg", 8, 3, "a.jpg: pictures are written as .png, .tif, .tiff, which lose nothing, not as '.jpg'"),
        ("a", 8, 3, "not as ''"),
        ("a.lic", 8, 3, "not as '.lic'"),
        ("a.tif", 16, 3, "a.tif: 16 bits of more than grey are written as .png alone"),
        ("a.tif", 16, 2, "written as .png alone"),
    ],
)
def test_forms_that_would_lose_something_are_refused(
    tmp_path: Path, name: str, bits: int, channels: int, message: str
) -> None:
    with pytest.raises(PixelsError, match=message.replace(".", r"\.")):
        save_picture(a_picture(bits, channels), tmp_path / name)
    assert not list(tmp_path.iterdir())
