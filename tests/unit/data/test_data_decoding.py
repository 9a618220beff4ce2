"""Pixels of every kind are what they mean or refused, and metadata never decide about a picture."""

import errno
import io
import struct
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from image_files import png_chunk, with_jpeg_segment, with_png_chunk, with_webp_chunk, write_tiff
from PIL import Image, ImageOps

from lic_exp.data.images import ImageError, ImageRef, UnreadableError
from lic_exp.data.metadata import without_metadata

RGB = np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8)
RAMP = np.linspace(0, 1, 48)
SHAPE = (8, 6)


def load(path: Path) -> np.ndarray:
    return ImageRef(path, path.name).load()


def encoded(kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(RGB).save(file, kind, **options)
    return file.getvalue()


# Grey


@pytest.mark.parametrize("white_is_zero", [False, True])
@pytest.mark.parametrize(("bits", "big"), [(8, False), (8, True), (16, False), (16, True)])
@pytest.mark.parametrize("order", ["<", ">"])
def test_grey_tiff_is_as_bright_as_it_says(
    tmp_path: Path, bits: int, big: bool, order: str, white_is_zero: bool
) -> None:
    values = np.rint(RAMP * (2**bits - 1)).astype(f"{order}u{bits // 8}")
    path = write_tiff(
        tmp_path / "a.tif",
        values.tobytes(),
        SHAPE,
        bits=[bits],
        photometric=0 if white_is_zero else 1,
        order=order,
        big=big,
    )
    if order == ">" and (big or (bits, white_is_zero) == (16, True)):
        with pytest.raises(ImageError, match=r"a\.tif cannot be decoded: .* a form of TIFF that Pillow does not know"):
            load(path)
        return
    expected = np.rint(values.astype(float) * 255 / (2**bits - 1))
    expected = 255 - expected if white_is_zero else expected
    assert np.abs(load(path)[..., 1].ravel() - expected).max() <= 0.5


@pytest.mark.parametrize("white_is_zero", [False, True])
def test_one_bit_tiff(tmp_path: Path, white_is_zero: bool) -> None:
    path = write_tiff(tmp_path / "a.tif", b"\xa0\x0f", (8, 2), bits=[1], photometric=0 if white_is_zero else 1)
    expected = np.unpackbits(np.array([0xA0, 0x0F], dtype=np.uint8)) * 255
    assert load(path)[..., 0].ravel().tolist() == (255 - expected if white_is_zero else expected).tolist()


def test_twelve_bits_are_not_taken_for_sixteen(tmp_path: Path) -> None:
    values = np.rint(RAMP * 4095).astype(int)
    packed = int("".join(f"{value:012b}" for value in values), 2).to_bytes(72, "big")
    path = write_tiff(tmp_path / "a.tif", packed, SHAPE, bits=[12], photometric=1)
    assert np.array_equal(load(path)[..., 0].ravel(), np.rint(values * 255 / 4095))


@pytest.mark.parametrize("maxval", [300, 1023, 4095, 65534, 65535])
def test_grey_of_any_maximum_in_a_portable_graymap(tmp_path: Path, maxval: int) -> None:
    values = np.rint(RAMP * maxval).astype(">u2")
    (tmp_path / "a.ppm").write_bytes(b"P5 8 6 %d\n" % maxval + values.tobytes())
    assert np.abs(load(tmp_path / "a.ppm")[..., 2].ravel() - values * 255.0 / maxval).max() <= 0.51


SIGNED, WIDE = (339, 3, [2]), (339, 3, [1])


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("kind", "more"), [("i1", [SIGNED]), ("i2", [SIGNED]), ("i4", [SIGNED]), ("u4", [WIDE]), ("u4", [])]
)
def test_integers_without_a_known_white_are_refused(tmp_path: Path, order: str, kind: str, more: list) -> None:
    """Also where all values are those of 8 bits, which on the scale of 32 would be black."""
    values = np.arange(48).astype(order + kind)
    path = write_tiff(
        tmp_path / "a.tif",
        values.tobytes(),
        SHAPE,
        bits=[8 * values.itemsize],
        photometric=1,
        more=more,
        order=order,
    )
    with pytest.raises(ImageError, match=r"a\.tif cannot be decoded: .*(white is unknown|Pillow does not know)"):
        load(path)


@pytest.mark.parametrize("bits", [8, 16])
def test_grey_that_does_not_say_what_zero_is_is_refused(tmp_path: Path, bits: int) -> None:
    path = write_tiff(tmp_path / "a.tif", bytes(6 * bits), SHAPE, bits=[bits], photometric=None)
    with pytest.raises(ImageError, match=r"a\.tif cannot be decoded: its white is unknown"):
        load(path)


def test_planes_of_16_bits_are_refused(tmp_path: Path) -> None:
    data = np.random.default_rng(0).integers(0, 65536, (3, 6, 8), dtype=np.uint16).tobytes()
    places = [(273, 4, [8, 8 + 96, 8 + 192]), (279, 4, [96] * 3), (284, 3, [2])]
    path = write_tiff(tmp_path / "a.tif", data, SHAPE, bits=[16] * 3, photometric=2, more=places)
    with pytest.raises(ImageError, match=r"a\.tif cannot be decoded"):
        load(path)


def test_grey_multiplied_by_its_alpha_is_divided(tmp_path: Path) -> None:
    path = write_tiff(
        tmp_path / "a.tif", bytes([255, 255, 100, 200, 0, 0]), (3, 1), bits=[8, 8], photometric=1, more=[(338, 3, [1])]
    )
    assert np.abs(load(path)[0, :2, 0].astype(int) - [255, 127]).max() <= 1


# Orientation


@pytest.mark.parametrize("orientation", [*range(1, 9), 0, 9, 65535])
@pytest.mark.parametrize("suffix", ["png", "webp", "tif", "jpg"])
def test_every_orientation_turns_as_pillow_does(tmp_path: Path, suffix: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x112] = orientation
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(RGB).save(path, exif=exif, **({"lossless": True} if suffix == "webp" else {}))
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    pixels = load(path)
    assert np.array_equal(pixels, expected)
    assert pixels.flags.c_contiguous


# Metadata

BAD_EXIF = {
    "nonsense": b"no tags here",
    "empty": b"",
    "beyond": b"II*\0" + struct.pack("<I", 10**6),
    "short": b"MM\0*\0\0\0\x08\xff\xff",
    "endless": b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\xff\xff\xff\x7f\x08\0\0\0\0\0\0\0",
    "text": b"II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x04\0\0\0six\0\0\0\0\0",
}


@pytest.mark.parametrize("bad", BAD_EXIF)
@pytest.mark.parametrize("kind", ["png", "webp", "jpeg"])
def test_broken_exif_is_no_reason_to_refuse_a_picture(tmp_path: Path, kind: str, bad: str) -> None:
    exif = BAD_EXIF[bad]
    whole = encoded(kind, lossless=True) if kind == "webp" else encoded(kind)
    spoilt = {
        "png": lambda: with_png_chunk(whole, png_chunk(b"eXIf", exif)),
        "webp": lambda: with_webp_chunk(whole, (20, 24), b"EXIF", exif),
        "jpeg": lambda: with_jpeg_segment(whole, 0xE1, b"Exif\0\0" + exif),
    }[kind]()
    (tmp_path / "a.png").write_bytes(spoilt)
    (tmp_path / "whole.png").write_bytes(whole)
    assert np.array_equal(load(tmp_path / "a.png"), load(tmp_path / "whole.png"))


BOMB = zlib.compress(bytes(70 * 2**20), 9)
BAD_CHUNKS = {
    "text": png_chunk(b"tEXt", b"Comment\0fine", checksum=0),
    "profile": png_chunk(b"iCCP", b"icc\0\0no zlib here"),
    "profile of no method": png_chunk(b"iCCP", b"icc\0\x07" + zlib.compress(b"x")),
    "bomb": png_chunk(b"zTXt", b"Comment\0\0" + BOMB),
    "international bomb": png_chunk(b"iTXt", b"Comment\0\1\0\0\0" + BOMB),
    "exif with a wrong checksum": png_chunk(b"eXIf", b"II*\0", checksum=1),
    "density": png_chunk(b"pHYs", b"\0"),
    "gamma": png_chunk(b"gAMA", b""),
    "transparency": png_chunk(b"tRNS", b"\0\0\0\0\0\0", checksum=1),
    "animation": png_chunk(b"acTL", b"\0\0"),
}


@pytest.mark.parametrize("before", [b"IDAT", b"IEND"])
@pytest.mark.parametrize("bad", BAD_CHUNKS)
def test_a_chunk_beside_the_pixels_cannot_spoil_a_png(tmp_path: Path, bad: str, before: bytes) -> None:
    (tmp_path / "a.png").write_bytes(with_png_chunk(encoded("png"), BAD_CHUNKS[bad], before=before))
    assert np.array_equal(load(tmp_path / "a.png"), RGB)


def test_texts_that_are_too_many_cannot_spoil_a_png(tmp_path: Path) -> None:
    many = png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2**20 - 1))) * 70
    (tmp_path / "a.png").write_bytes(with_png_chunk(encoded("png"), many))
    assert np.array_equal(load(tmp_path / "a.png"), RGB)


@pytest.mark.parametrize("name", [b"EXIF", b"XMP "])
def test_a_webp_cut_within_its_metadata_is_whole(tmp_path: Path, name: bytes) -> None:
    cut = with_webp_chunk(encoded("webp", lossless=True), (20, 24), name, b"12345678", length=4000)
    (tmp_path / "a.webp").write_bytes(cut)
    assert np.array_equal(load(tmp_path / "a.webp"), RGB)


@pytest.mark.parametrize("tag", [270, 305, 700, 34377, 34665, 34675, 34853])
@pytest.mark.parametrize("value", [0, 2**32 - 1])
def test_a_tag_beside_the_pixels_cannot_spoil_a_tiff(tmp_path: Path, tag: int, value: int) -> None:
    path = write_tiff(
        tmp_path / "a.tif", RGB.tobytes(), (20, 24), bits=[8] * 3, photometric=2, more=[(tag, 4, [value])]
    )
    assert np.array_equal(load(path), RGB)


def test_exif_that_is_whole_still_turns_a_picture_whose_text_is_broken(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x112] = 6
    (tmp_path / "a.png").write_bytes(with_png_chunk(encoded("png", exif=exif), BAD_CHUNKS["text"]))
    assert np.array_equal(load(tmp_path / "a.png"), np.rot90(RGB, 3))


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "tiff"])
@pytest.mark.parametrize("keep_exif", [False, True])
def test_what_is_stripped_of_metadata_has_its_pixels(kind: str, keep_exif: bool) -> None:
    exif = Image.Exif()
    exif[0x112], exif[0x10E] = 1, "a description"
    whole = encoded(kind, exif=exif, icc_profile=b"p" * 300)
    stripped = without_metadata(whole, keep_exif=keep_exif)
    with Image.open(io.BytesIO(whole)) as one, Image.open(io.BytesIO(stripped)) as other:
        assert np.array_equal(np.asarray(one), np.asarray(other))
        assert "icc_profile" not in other.info


# Damage


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "tiff", "bmp", "gif"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_what_is_cut_within_its_pixels_is_refused(tmp_path: Path, kind: str, kept: float) -> None:
    whole = encoded(kind)
    begins = whole.index(b"IDAT") if kind == "png" else whole.index(b"\xff\xda") if kind == "jpeg" else 60
    (tmp_path / "a.png").write_bytes(whole[: begins + int(kept * (len(whole) - begins - 150))])
    with pytest.raises(ImageError, match=r"a\.png (cannot be decoded: |is not an image)"):
        load(tmp_path / "a.png")


def test_wrong_checksums_of_pixels_and_of_text_are_refused_together(tmp_path: Path) -> None:
    spoilt = bytearray(with_png_chunk(encoded("png"), BAD_CHUNKS["text"]))
    spoilt[spoilt.index(b"IDAT") + 30] ^= 1
    (tmp_path / "a.png").write_bytes(spoilt)
    with pytest.raises(ImageError, match=r"a\.png cannot be decoded: "):
        load(tmp_path / "a.png")


OTHERS_INSIDE = {
    "DDS": b"DDS " + struct.pack("<7I", 124, 0x1007, 16, 16, 0, 0, 0) + bytes(44) + struct.pack("<2I", 32, 0x100000),
    "PSD": b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, 10, 10, 8, 77),
    "GIF": b"GIF89a",
    "FITS": b"SIMPLE  =                    T".ljust(80) + b"BITPIX  =  99".ljust(80) + b"END".ljust(80),
    "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(30),
    "SGI": b"\x01\xda\x01\x09" + bytes(20),
    "BMP": b"BM" + bytes(8) + struct.pack("<II", 54, 77) + bytes(90),
    "TIFF": b"II*\0\x08\0\0\0",
    "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: x\n",
}


@pytest.mark.parametrize("kind", OTHERS_INSIDE)
def test_whatever_stands_in_a_file_is_an_error_that_names_it(tmp_path: Path, kind: str) -> None:
    (tmp_path / "x.png").write_bytes(OTHERS_INSIDE[kind].ljust(200, b"\0"))
    with pytest.raises(ImageError, match=r"x\.png (cannot be decoded: .|is not an image)"):
        load(tmp_path / "x.png")


@pytest.mark.parametrize("kind", ["png", "jpeg", "gif", "webp", "tiff"])
@pytest.mark.parametrize("length", [8, 12])
def test_of_an_image_that_is_cut_in_its_header_it_is_said_that_it_cannot_be_decoded(
    tmp_path: Path, kind: str, length: int
) -> None:
    (tmp_path / "x.png").write_bytes(encoded(kind)[: length if kind != "webp" else 12])
    with pytest.raises(ImageError, match=r"x\.png cannot be decoded: ") as error:
        load(tmp_path / "x.png")
    assert "is not an image" not in str(error.value)


@pytest.mark.parametrize("error", [NotImplementedError("no"), KeyError(3), AssertionError(), RecursionError("deep")])
def test_whatever_a_plugin_raises_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    (tmp_path / "x.png").write_bytes(encoded("png"))

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(ImageError, match=r"x\.png cannot be decoded: \S") as caught:
        load(tmp_path / "x.png")
    assert not isinstance(caught.value, UnreadableError)


def test_no_memory_is_no_fault_of_the_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.png").write_bytes(encoded("png"))
    monkeypatch.setattr(Image.Image, "tobytes", lambda *_, **__: (_ for _ in ()).throw(MemoryError))
    with pytest.raises(MemoryError):
        load(tmp_path / "x.png")


@pytest.mark.parametrize("code", [errno.EIO, errno.EACCES, errno.ENOENT, errno.ESTALE])
def test_what_cannot_be_read_is_told_from_what_cannot_be_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    (tmp_path / "x.png").write_bytes(encoded("png"))
    monkeypatch.setattr(Path, "read_bytes", lambda _: (_ for _ in ()).throw(OSError(code, "the disk says no")))
    with pytest.raises(UnreadableError, match=r"x\.png cannot be read: the disk says no"):
        load(tmp_path / "x.png")


def test_large_photographs_are_read_without_a_word_and_larger_ones_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.png").write_bytes(encoded("png"))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300)
    warnings.simplefilter("error")
    assert np.array_equal(load(tmp_path / "a.png"), RGB), "above the limit of Pillow's warning"
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 200)
    with pytest.raises(ImageError, match=r"a\.png cannot be decoded: Image size \(480 pixels\) exceeds limit of 400"):
        load(tmp_path / "a.png")


def test_warnings_of_others_are_shown_no_more_often(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded("png"))
    load(tmp_path / "a.png")
    before = list(warnings.filters)
    threads = [threading.Thread(target=load, args=[tmp_path / "a.png"]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert warnings.filters == before
