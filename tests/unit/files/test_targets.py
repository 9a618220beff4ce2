"""Files of a wanted rate, distortion or size: of the codec, of the bytes that were made, and never above."""

import numpy as np
import pytest
from skimage import data

import lic_exp
from lic_exp.files.coding import decode_picture, encode_picture
from lic_exp.files.parsing import parse
from lic_exp.files.pixels import Picture, Samples
from lic_exp.files.targets import FileMade, FileTarget, FileTargetError, encode_for, estimate, psnr_of
from lic_exp.models.base import Codec

COLOUR = data.astronaut()[:128, 128:320]
PICTURES = {
    "colour": Picture(COLOUR),
    "grey": Picture(data.camera()[:128, :128]),
    "16 bits with a profile": Picture((COLOUR.astype(np.uint16) * 257)[:, :130], icc=bytes(16) + b"RGB " + bytes(300)),
}


@pytest.fixture(scope="module")
def codec() -> Codec:
    return lic_exp.create_model("dhic_tiny")


@pytest.fixture(scope="module")
def ends(codec: Codec) -> dict[str, tuple[bytes, bytes]]:
    """{picture: its files at the lowest and the highest quality}"""
    return {
        name: (encode_picture(picture, codec, quality=0), encode_picture(picture, codec))
        for name, picture in PICTURES.items()
    }


def bpp(content: bytes) -> float:
    file = parse(content)
    return 8 * file.string_bytes / (file.height * file.width)


@pytest.mark.parametrize("quality", [20.3, 43.1])
@pytest.mark.parametrize("name", PICTURES)
def test_a_wanted_rate_is_that_of_the_file(codec: Codec, name: str, quality: float) -> None:
    wanted = bpp(encode_picture(PICTURES[name], codec, quality=quality))
    made = encode_for(PICTURES[name], codec, FileTarget("bpp", wanted))
    assert made.met
    assert made.reached == bpp(made.data) == pytest.approx(wanted, rel=0.02)
    assert parse(made.data).quality == made.quality


@pytest.mark.parametrize("name", ["colour", "grey"])
def test_a_wanted_distortion_is_that_of_the_decoded_file(codec: Codec, name: str) -> None:
    def psnr(content: bytes) -> float:
        return psnr_of(decode_picture(parse(content), codec), PICTURES[name])

    wanted = psnr(encode_picture(PICTURES[name], codec, quality=20.3))
    made = encode_for(PICTURES[name], codec, FileTarget("psnr", wanted))
    assert made.reached == psnr(made.data) == pytest.approx(wanted, abs=0.02)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.6, 0.999, 1.0])
@pytest.mark.parametrize("name", ["colour", "16 bits with a profile"])
def test_no_file_has_more_bytes_than_it_may(
    codec: Codec, ends: dict[str, tuple[bytes, bytes]], name: str, share: float
) -> None:
    smallest, largest = map(len, ends[name])
    most = int(smallest + share * (largest - smallest))
    made = encode_for(PICTURES[name], codec, FileTarget("bytes", most))
    assert 0.97 * most <= len(made.data) <= most
    assert made.reached == len(made.data)


def test_what_leaves_room_is_the_best_there_is(codec: Codec, ends: dict[str, tuple[bytes, bytes]]) -> None:
    assert encode_for(PICTURES["colour"], codec, FileTarget("bytes", 10**9)) == FileMade(
        ends["colour"][1], 63.0, len(ends["colour"][1]), True
    )


def test_what_cannot_be_had_is_said_with_what_can(codec: Codec, ends: dict[str, tuple[bytes, bytes]]) -> None:
    low, high = ends["colour"]
    with pytest.raises(FileTargetError, match=f"^{len(low) - 1} bytes are too few: .* has {len(low)}$"):
        encode_for(PICTURES["colour"], codec, FileTarget("bytes", len(low) - 1))
    for wanted in (bpp(low) * 0.9, bpp(high) * 1.1):
        with pytest.raises(FileTargetError, match=rf"out of reach: .*{bpp(low):.4f} bpp .*{bpp(high):.4f} bpp"):
            encode_for(PICTURES["colour"], codec, FileTarget("bpp", wanted))


@pytest.mark.parametrize("wanted", ["bpp", "psnr", "bytes"])
@pytest.mark.parametrize("name", ["hpcm_tiny", "factorized_tiny"])
def test_codecs_of_one_rate_are_refused_by_name(name: str, wanted: str) -> None:
    codec = lic_exp.create_model(name)
    with pytest.raises(FileTargetError, match=f"{type(codec).__name__} has one rate"):
        encode_for(PICTURES["colour"], codec, FileTarget(wanted, 30))  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_numbers_that_no_file_has_are_refused(codec: Codec, value: float) -> None:
    with pytest.raises(FileTargetError, match="must be a number above 0"):
        encode_for(PICTURES["colour"], codec, FileTarget("bpp", value))


def test_tiles_are_foretold_as_they_are_coded(codec: Codec) -> None:
    picture, memory = Picture(data.astronaut()[:200]), 2**16 * 132
    content = encode_picture(picture, codec, quality=30, memory=memory)
    assert len(parse(content).strings) == 2
    found = estimate(picture, codec, 30, memory=memory)
    assert found["bpp"] == pytest.approx(bpp(content), rel=0.05)
    assert found["psnr"] == pytest.approx(psnr_of(decode_picture(parse(content), codec), picture), abs=1)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("shape", [(300, 5, 3), (9, 9), (1, 1)])
def test_psnr_is_on_one_scale(dtype: str, shape: tuple[int, ...]) -> None:
    random = np.random.default_rng(0)
    one, other = (random.random(shape) for _ in range(2))
    most = 1 if dtype == "float32" else np.iinfo(dtype).max
    one, other = ((most * array if most == 1 else np.rint(most * array)).astype(dtype) for array in (one, other))
    mean = np.square(one.astype(np.float64) / most - other.astype(np.float64) / most).mean()
    pictures: list[Samples] = [one, other]
    assert psnr_of(*map(Picture, pictures)) == pytest.approx(-10 * np.log10(mean), abs=1e-4)
    assert psnr_of(Picture(one), Picture(one)) == float("inf")


def test_from_python(codec: Codec, ends: dict[str, tuple[bytes, bytes]]) -> None:
    picture, most = COLOUR, len(ends["colour"][0]) + 500
    assert (
        lic_exp.encode_image(picture, codec, max_bytes=most)
        == encode_for(Picture(picture), codec, FileTarget("bytes", most)).data
    )
    for asked, named in (
        ({"quality": 3, "max_bytes": most}, f"quality 3 and {most} bytes"),
        ({"target_bpp": 1, "target_psnr": 30}, "1 bpp and 30 dB"),
    ):
        with pytest.raises(FileTargetError, match=f"a file cannot meet {named}: give one of them"):
            lic_exp.encode_image(picture, codec, **asked)
