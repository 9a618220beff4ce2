"""Decoding and finding image files."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lic_exp.data.images import ImageError, ImageRef, list_images

RGB = np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype=np.uint8)
GREY = RGB[..., 0]


def save(path: Path, image: Image.Image, **options: object) -> ImageRef:
    image.save(path, **options)
    return ImageRef(path, path.name)


@pytest.mark.parametrize("suffix", ["png", "bmp", "ppm", "tif"])
def test_rgb_files_are_read_as_they_are(tmp_path: Path, suffix: str) -> None:
    pixels = save(tmp_path / f"a.{suffix}", Image.fromarray(RGB)).load()
    assert pixels.dtype == np.uint8
    assert np.array_equal(pixels, RGB)


def test_lossless_webp_is_read_as_it_is(tmp_path: Path) -> None:
    assert np.array_equal(save(tmp_path / "a.webp", Image.fromarray(RGB), lossless=True).load(), RGB)


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_grey_is_replicated(tmp_path: Path, mode: str) -> None:
    pixels = save(tmp_path / "a.png", Image.fromarray(GREY).convert(mode)).load()
    assert np.array_equal(pixels, np.stack([GREY] * 3, axis=-1))


def test_one_bit_becomes_black_and_white(tmp_path: Path) -> None:
    pixels = save(tmp_path / "a.png", Image.fromarray(GREY > 127)).load()
    assert np.array_equal(pixels[..., 1], np.where(GREY > 127, 255, 0))


def test_16_bit_grey_is_scaled_and_rounded(tmp_path: Path) -> None:
    wide = np.array([[0, 128, 129, 385, 386, 32768, 65407, 65535]], dtype=np.uint16)
    pixels = save(tmp_path / "a.png", Image.fromarray(wide)).load()
    assert np.array_equal(pixels[0, :, 2], np.rint(wide[0] / 257))
    assert not np.array_equal(pixels[0, :, 2], wide[0] >> 8)


def test_palette_is_looked_up_also_with_transparency(tmp_path: Path) -> None:
    palette = Image.fromarray(RGB).quantize(16)
    expected = np.array(palette.convert("RGB"))
    assert np.array_equal(save(tmp_path / "a.png", palette).load(), expected)
    assert np.array_equal(save(tmp_path / "b.png", palette, transparency=bytes([0, 128] * 8)).load(), expected)


def test_alpha_is_dropped_not_composited(tmp_path: Path) -> None:
    alpha = np.zeros((*GREY.shape, 1), dtype=np.uint8)
    alpha[3:, 5:] = 200
    assert np.array_equal(save(tmp_path / "a.png", Image.fromarray(np.concatenate([RGB, alpha], -1))).load(), RGB)


def test_cmyk_jpeg_keeps_its_colours(tmp_path: Path) -> None:
    orange = Image.new("RGB", (16, 16), (250, 120, 10)).convert("CMYK")
    pixels = save(tmp_path / "a.jpg", orange, quality=100).load()
    assert np.abs(pixels.astype(int) - (250, 120, 10)).max() <= 3


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (8, 1), (3, 2), (6, 3)])
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int, turns: int) -> None:
    exif = Image.Exif()
    exif[0x112] = orientation
    upright = save(tmp_path / "a.png", Image.fromarray(RGB), exif=exif).load()
    assert np.array_equal(upright, np.rot90(RGB, turns))


def test_what_is_no_image_is_named(tmp_path: Path) -> None:
    text = tmp_path / "notes.png"
    text.write_text("not a picture")
    with pytest.raises(ImageError, match=r"notes\.png is not an image"):
        ImageRef(text, "notes").load()


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_truncated_files_are_refused_by_name(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"half.{suffix}"
    Image.fromarray(np.kron(RGB, np.ones((20, 20, 1), np.uint8))).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ImageError, match=rf"half\.{suffix} (cannot be decoded|is not an image)"):
        ImageRef(path, path.name).load()


def test_broken_png_checksum_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", Image.fromarray(RGB)).path
    data = bytearray(path.read_bytes())
    data[data.index(b"IDAT") + 20] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(ImageError, match=r"a\.png cannot be decoded"):
        ImageRef(path, "a").load()


def test_values_without_a_known_white_are_refused(tmp_path: Path) -> None:
    floats = save(tmp_path / "float.tif", Image.fromarray(GREY.astype(np.float32)))
    with pytest.raises(ImageError, match=r"float\.tif.*floating-point"):
        floats.load()
    wide = save(tmp_path / "wide.tif", Image.fromarray(GREY.astype(np.int32) * 70000))
    with pytest.raises(ImageError, match=r"wide\.tif.*not 16-bit"):
        wide.load()


def test_a_file_that_vanished_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"gone\.png"):
        ImageRef(tmp_path / "gone.png", "gone").load()


def test_folders_are_searched_recursively_and_sorted(tmp_path: Path) -> None:
    for name in ("b.PNG", "sub/a.jpeg", "a/z.webp", "notes.txt", "._b.PNG", ".cache/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [image.name for image in list_images(tmp_path, "3/")] == ["3/a/z.webp", "3/b.PNG", "3/sub/a.jpeg"]
    assert list_images(tmp_path / "notes.txt") == [ImageRef(tmp_path / "notes.txt", "notes.txt")]


def test_home_and_relative_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.png").touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert list_images("~/photos") == list_images("photos") == [ImageRef(tmp_path / "photos/a.png", "a.png")]


def test_a_missing_folder_gets_a_hint(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    with pytest.raises(ImageError, match=r"trian does not exist; did you mean .*/train\?"):
        list_images(tmp_path / "trian")
    with pytest.raises(ImageError, match=r"does not exist; .* holds train/"):
        list_images(tmp_path / "validation" / "kodak")


def test_a_folder_without_images_says_what_it_holds(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"holds no image .* holds nothing"):
        list_images(tmp_path)
    for i in range(10):
        (tmp_path / f"{i}.npy").touch()
    with pytest.raises(ImageError, match=r"0\.npy, .*7\.npy and 2 more"):
        list_images(tmp_path)
