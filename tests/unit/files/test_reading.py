"""Image files of every kind become pictures that lose nothing, or say what they lose."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from image_files import png_chunk, with_png_chunk, write_tiff
from PIL import Image, ImageCms, ImageOps

from lic_exp.data.decoding import decode
from lic_exp.files.pixels import PixelsError
from lic_exp.files.reading import picture_of, read_picture

RGB = np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8)
ALPHA = np.random.default_rng(1).integers(0, 256, (24, 20), dtype=np.uint8)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png_of_16_bits(colour_type: int, samples: np.ndarray) -> bytes:
    height, width = samples.shape[:2]
    rows = samples.astype(">u2").reshape(height, -1)
    data = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(data)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "BMP", "PPM"])
def test_colour_is_what_the_platform_decodes(kind: str) -> None:
    content = saved(Image.fromarray(RGB), kind, **({"lossless": True} if kind == "WEBP" else {}))
    picture = read_picture(content)
    assert np.array_equal(picture.colour, decode(content))
    assert np.array_equal(picture.colour, RGB)
    assert (picture.alpha, picture.icc, picture.notes) == (None, b"", ())


@pytest.mark.parametrize("mode", ["L", "1"])
def test_grey_stays_grey(mode: str) -> None:
    image = Image.fromarray(RGB[..., 0]).convert(mode)
    picture = read_picture(saved(image))
    assert (picture.grey, picture.bits, picture.notes) == (True, 8, ())
    assert np.array_equal(picture.colour, np.asarray(image.convert("L")))


def test_grey_of_16_bits_is_kept_whole() -> None:
    values = np.arange(48, dtype=np.uint16).reshape(8, 6) * 1365
    picture = read_picture(saved(Image.frombytes("I;16", (6, 8), values.tobytes())))
    assert (picture.bits, picture.grey, picture.notes) == (16, True, ())
    assert np.array_equal(picture.colour, values)


@pytest.mark.parametrize(("bits", "inverted"), [(12, False), (16, False), (16, True)])
def test_wide_grey_is_scaled_to_16_bits(tmp_path: Path, bits: int, inverted: bool) -> None:
    values = np.rint(np.linspace(0, 2**bits - 1, 48)).astype(int)
    packed = int("".join(f"{value:0{bits}b}" for value in values), 2).to_bytes(6 * bits, "big")
    data = packed if bits == 12 else values.astype("<u2").tobytes()
    path = write_tiff(tmp_path / "a.tif", data, (6, 8), bits=[bits], photometric=0 if inverted else 1)
    picture = read_picture(path.read_bytes())
    expected = np.rint(values * 65535 / (2**bits - 1)).reshape(8, 6)
    assert picture.colour.dtype == np.uint16
    assert np.abs(picture.colour - (65535 - expected if inverted else expected)).max() <= 1


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_alpha_is_kept_with_the_colours_below_it(kind: str) -> None:
    pixels = np.dstack([RGB, ALPHA])
    picture = read_picture(
        saved(Image.fromarray(pixels), kind, **({"lossless": True, "exact": True} if kind == "WEBP" else {}))
    )
    assert np.array_equal(picture.colour, RGB)
    assert np.array_equal(picture.alpha, ALPHA)


def test_grey_with_alpha() -> None:
    picture = read_picture(saved(Image.fromarray(np.dstack([RGB[..., 0], ALPHA]), "LA")))
    assert picture.grey
    assert np.array_equal(picture.colour, RGB[..., 0])
    assert np.array_equal(picture.alpha, ALPHA)


@pytest.mark.parametrize("transparent", [False, True])
def test_palettes_become_colour_with_alpha_where_an_entry_is_transparent(transparent: bool) -> None:
    image = Image.fromarray(RGB).quantize(16)
    content = saved(image, **({"transparency": 3} if transparent else {}))
    picture = read_picture(content)
    assert np.array_equal(picture.colour, np.asarray(image.convert("RGB")))
    assert (picture.alpha is not None) == transparent
    if picture.alpha is not None:
        assert np.array_equal(picture.alpha == 0, np.asarray(image) == 3)


@pytest.mark.parametrize(("mode", "transparency"), [("RGB", (1, 2, 3)), ("L", 7)])
def test_one_transparent_colour_is_alpha(mode: str, transparency: object) -> None:
    pixels = RGB.copy() if mode == "RGB" else RGB[..., 0].copy()
    pixels[4, 5] = transparency
    picture = read_picture(saved(Image.fromarray(pixels), transparency=transparency))
    assert picture.alpha is not None
    assert picture.alpha[4, 5] == 0
    assert picture.grey == (mode == "L")


@pytest.mark.parametrize(("colour_type", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_samples_that_pillow_cuts_to_8_bits_are_said(colour_type: int, channels: int) -> None:
    wide = np.random.default_rng(2).integers(0, 65536, (4, 5, channels))
    picture = read_picture(png_of_16_bits(colour_type, wide))
    assert picture.notes == ("of its 16 bits a sample only the upper 8 can be read",)
    assert (picture.bits, picture.grey, picture.alpha is not None) == (8, channels == 2, channels in (2, 4))
    assert np.array_equal(picture.colour.reshape(4, 5, -1), (wide >> 8)[..., : 1 if channels == 2 else 3])


def test_wide_colour_in_other_files_is_said_too(tmp_path: Path) -> None:
    wide = np.full((2, 2, 3), 0x1234, "<u2")
    tiff = write_tiff(tmp_path / "a.tif", wide.tobytes(), (2, 2), bits=[16, 16, 16], photometric=2).read_bytes()
    for content in (tiff, b"P6 2 2 65535\n" + wide.astype(">u2").tobytes()):
        assert read_picture(content).notes == ("of its 16 bits a sample only the upper 8 can be read",)


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr"])
def test_other_colours_are_converted_and_that_is_said(mode: str) -> None:
    image = Image.fromarray(RGB).convert(mode)
    picture = picture_of(image)
    assert picture.notes == (f"{mode} is converted to RGB",)
    assert np.array_equal(picture.colour, np.asarray(image.convert("RGB")))


def test_a_profile_is_kept_where_it_is_of_what_is_kept() -> None:
    assert read_picture(saved(Image.fromarray(RGB), icc_profile=SRGB)).icc == SRGB
    for image in (Image.fromarray(RGB[..., 0]), Image.fromarray(RGB).convert("CMYK")):
        profile = SRGB if image.mode == "L" else SRGB[:16] + b"CMYK" + SRGB[20:]
        picture = read_picture(saved(image, "TIFF", icc_profile=profile))
        assert picture.icc == b""
        assert "its colour profile is left out" in picture.notes[-1]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_colour_and_alpha(orientation: int) -> None:
    image = Image.fromarray(np.dstack([RGB, ALPHA]))
    exif = image.getexif()
    exif[0x0112] = orientation
    image = Image.open(io.BytesIO(saved(image, exif=exif)))
    expected = np.asarray(ImageOps.exif_transpose(image))
    for picture in (read_picture(saved(image, exif=exif)), picture_of(image)):
        assert np.array_equal(picture.colour, expected[..., :3])
        assert np.array_equal(picture.alpha, expected[..., 3])


def test_metadata_never_decide() -> None:
    broken = with_png_chunk(saved(Image.fromarray(RGB)), png_chunk(b"iTXt", b"x" * 40, checksum=1))
    assert np.array_equal(read_picture(broken).colour, RGB)


def test_several_pictures_in_a_file_are_said() -> None:
    frames = [Image.fromarray(RGB[::step]) for step in (1, 1)]
    frames[1].putpixel((0, 0), (1, 1, 1))
    content = saved(frames[0], "TIFF", save_all=True, append_images=frames[1:])
    picture = read_picture(content)
    assert picture.notes == ("only the first of its pictures is taken",)
    assert np.array_equal(picture.colour, RGB)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not an image"),
        (b"<html></html>", "is not an image"),
        (saved(Image.fromarray(RGB))[:200], "cannot be decoded"),
        (saved(Image.fromarray(RGB), "JPEG")[:-300], "cannot be decoded"),
        (saved(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF"), "floating-point numbers"),
        (saved(Image.fromarray(np.zeros((4, 4), np.int32)), "TIFF"), "integers of 32 bits"),
    ],
)
def test_what_is_no_whole_image_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(PixelsError, match=message):
        read_picture(content)


def test_an_image_of_a_damaged_file_that_was_only_opened() -> None:
    image = Image.open(io.BytesIO(saved(Image.fromarray(RGB))[:300]))
    with pytest.raises(PixelsError):
        picture_of(image)
