"""Every shipped codec at work: rates and qualities rise, sizes are exact, what is decoded is what was coded."""

import io
from pathlib import Path

import numpy as np
import pytest
from file_codecs import is_stand_in
from PIL import Image

from analysis.measured.codec import AnchorCodec, AnchorError, CodedPicture, shipped, shipped_codec
from analysis.measured.codecs import avif, jpegxl, webp
from analysis.measured.ffmpeg import FFmpegCodec
from analysis.measured.pillow import PillowCodec
from lic_exp.picture_metrics import psnr


def codec_of(name: str) -> AnchorCodec:
    codec = shipped_codec(name)
    if reason := codec.missing():
        pytest.skip(f"{name}: {reason}")
    return codec


def good_codec_of(name: str) -> AnchorCodec:
    """One whose pictures can be looked at."""
    if is_stand_in(name):
        pytest.skip(f"{name}: its weights are for tests alone")
    return codec_of(name)


def photo(height: int, width: int) -> np.ndarray:
    """A part of a photo that has texture and colour."""
    from skimage.data import astronaut

    return np.ascontiguousarray(astronaut()[40 : 40 + height, 180 : 180 + width])


def coded(name: str, picture: np.ndarray, quality: float) -> CodedPicture:
    return codec_of(name).code(picture, quality)


@pytest.mark.parametrize("name", shipped())
def test_more_rate_gives_more_quality_and_the_points_are_where_learned_codecs_are(name: str) -> None:
    codec, picture = good_codec_of(name), photo(96, 128)
    points = [codec.code(picture, quality) for quality in codec.qualities[::2]]

    rates, qualities = (
        [len(point.data) - point.container for point in points],
        [psnr(picture, point.decoded) for point in points],
    )
    assert rates == sorted(set(rates))
    assert qualities == sorted(set(qualities))
    assert 4 <= len(codec.qualities) <= 6
    assert 20 < qualities[0] < 34
    assert qualities[-1] < 44


@pytest.mark.parametrize("name", shipped())
@pytest.mark.parametrize("size", [(37, 51), (64, 64), (8, 90)])
def test_any_size_comes_back_in_its_size(name: str, size: tuple[int, int]) -> None:
    codec, picture = good_codec_of(name), photo(*size)

    found = codec.code(picture, codec.qualities[-1])

    assert found.decoded.shape == picture.shape
    assert found.decoded.dtype == np.uint8
    assert psnr(picture, found.decoded) > 30


@pytest.mark.parametrize("name", shipped())
def test_the_same_picture_and_command_give_the_same_bytes(name: str) -> None:
    codec, picture = codec_of(name), photo(64, 72)
    first, second = (codec.code(picture, codec.qualities[1]) for _ in range(2))

    assert first.data == second.data
    assert (first.decoded == second.decoded).all()
    assert codec.command(codec.qualities[0]) != codec.command(codec.qualities[1])
    assert codec.version()


@pytest.mark.parametrize("name", [name for name in shipped() if isinstance(shipped_codec(name), PillowCodec)])
def test_a_file_counts_but_for_its_container(name: str) -> None:
    found, codec = coded(name, photo(64, 72), shipped_codec(name).qualities[2]), codec_of(name)

    with Image.open(io.BytesIO(found.data)) as image:
        assert (np.asarray(image.convert("RGB")) == found.decoded).all()
    assert 0 <= found.container < len(found.data)
    if name in ("jpeg", "jpeg2000", "jpegxl"):
        assert found.container == 0
    assert codec.optimized_for in ("mse", None)


def test_what_containers_take_is_read_from_their_own_headers() -> None:
    found = coded("webp", photo(64, 72), 50)
    assert found.container == 20
    assert int.from_bytes(found.data[16:20], "little") == len(found.data) - 20
    if shipped_codec("avif").missing() is None:
        found = coded("avif", photo(64, 72), 34)
        place = found.data.index(b"mdat")
        assert len(found.data) - found.container == int.from_bytes(found.data[place - 4 : place], "big") - 8
    boxes = (8).to_bytes(4, "big") + b"ftyp" + (1).to_bytes(4, "big") + b"mdat" + (21).to_bytes(8, "big") + b"12345"
    assert avif.container(boxes) == len(boxes) - 5
    assert jpegxl.container(b"\xff\x0a1234") == 0
    assert jpegxl.container((12).to_bytes(4, "big") + b"JXL 1234" + (13).to_bytes(4, "big") + b"jxlc12345") == 20
    odd = b"RIFF----WEBP" + b"VP8 " + (3).to_bytes(4, "little") + b"abc\0" + b"EXIF" + (2).to_bytes(4, "little") + b"xy"
    assert webp.container(odd) == len(odd) - 3


@pytest.mark.parametrize("name", [name for name in shipped() if isinstance(shipped_codec(name), FFmpegCodec)])
def test_codecs_of_video_are_asked_for_psnr_alone(name: str) -> None:
    command = shipped_codec(name).command(30)

    assert shipped_codec(name).optimized_for == "mse"
    assert {"hevc": "-tune psnr", "av1": "-tune psnr", "vvc": "-qpa 0"}[name] in command


@pytest.mark.parametrize("name", ["jpeg", "webp"])
def test_a_picture_that_a_codec_cannot_take_is_its_own_error(name: str) -> None:
    wide = np.zeros((1, 70_000, 3), np.uint8)

    with pytest.raises(AnchorError, match=f"Pillow {name.upper()}"):
        coded(name, wide, 50)


def test_two_builds_of_one_ffmpeg_are_two_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from analysis.measured import ffmpeg

    versions = set()
    for name in ("one", "other"):
        (tmp_path / name).write_text(name)
        monkeypatch.setattr(ffmpeg, "_program", lambda name=name: str(tmp_path / name))
        monkeypatch.setattr(ffmpeg, "_listed", lambda what: "ffmpeg version 9.0 Copyright")
        versions.add(shipped_codec("vvc").version())

    assert len(versions) == 2
    assert all(version.startswith("libvvenc in ffmpeg 9.0 (") for version in versions)


def test_a_missing_program_is_a_reason_and_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    from analysis.measured import ffmpeg

    ffmpeg._listed.cache_clear()
    monkeypatch.setattr(ffmpeg, "_program", lambda: None)
    assert "pip install 'lic-exp[anchors]'" in str(shipped_codec("vvc").missing())
    with pytest.raises(AnchorError, match="there is no ffmpeg"):
        shipped_codec("hevc").code(photo(64, 64), 30)


@pytest.mark.parametrize(
    ("line", "is_here"),
    [
        (" DEV.L. vvc  H.266 / VVC (encoders: libvvenc)", True),
        (" DEV.L. vvc  H.266 / VVC (encoders: other)", False),
        (" .EV.L. vvc  H.266 / VVC (encoders: libvvenc)", False),
        (" DEV.L. hevc  H.265 (encoders: libx265)", False),
    ],
)
def test_an_ffmpeg_that_lacks_one_of_both_ways_is_a_reason(
    line: str, is_here: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from analysis.measured import ffmpeg

    monkeypatch.setattr(ffmpeg, "_program", lambda: "ffmpeg")
    monkeypatch.setattr(ffmpeg, "_listed", lambda what: line)
    assert (shipped_codec("vvc").missing() is None) == is_here
