"""What people have becomes planes and comes back in the form it had, to the last bit, or is refused by name."""

import numpy as np
import pytest
import torch
from PIL import Image

from lic_exp.files.pixels import Picture, PixelsError, of_array, planes, samples, to_array, to_pil, to_tensor
from lic_exp.files.reading import picture_of

RANDOM = np.random.default_rng(0)


def random_array(dtype: str, *shape: int) -> np.ndarray:
    if dtype.startswith("float"):
        return RANDOM.random(shape).astype(dtype)
    return RANDOM.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 2), (5, 7, 3), (5, 7, 4), (1, 1), (1, 1, 3)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_arrays_come_back_as_they_were_through_planes(dtype: str, shape: tuple[int, ...]) -> None:
    array = random_array(dtype, *shape)
    picture = picture_of(array)
    assert picture.grey == (len(shape) == 2 or shape[2] < 3)
    assert picture.bits == 8 * array.itemsize
    coded = planes(picture)
    assert coded.dtype == np.float32
    assert coded.shape == (3, *shape[:2])
    decoded = Picture(samples(coded, grey=picture.grey, bits=picture.bits), picture.alpha)
    assert np.array_equal(to_array(decoded), array)
    assert to_array(decoded).dtype == array.dtype


@pytest.mark.parametrize("bits", [8, 16])
def test_every_level_is_one_float32_and_comes_back(bits: int) -> None:
    levels = np.arange(2**bits, dtype=f"uint{bits}")[None]
    shown = planes(Picture(levels))
    assert np.array_equal(shown[0], levels / np.float32(2**bits - 1))
    assert np.array_equal(samples(shown, grey=True, bits=bits), levels)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_floats_are_taken_as_they_are_and_given_in_8_bits(dtype: str) -> None:
    array = random_array(dtype, 6, 4, 3)
    picture = picture_of(array)
    assert np.array_equal(planes(picture), array.astype(np.float32).transpose(2, 0, 1))
    assert np.array_equal(to_array(picture), np.rint(array.astype(np.float32) * 255).astype(np.uint8))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.uint8])
def test_tensors_have_their_channels_first(dtype: torch.dtype, channels: int) -> None:
    levels = torch.from_numpy(random_array("uint8", channels, 6, 4))
    tensor = (levels.double() / 255).to(dtype) if dtype.is_floating_point else levels
    picture = picture_of(tensor.requires_grad_() if dtype.is_floating_point else tensor)
    back = to_tensor(picture)
    assert back.shape == tensor.shape
    assert torch.allclose(back, levels / 255, atol=0 if dtype != torch.bfloat16 else 1 / 128)


def test_what_is_only_seen_otherwise_is_taken_as_it_is_seen() -> None:
    levels = torch.rand(3, 6, 4, generator=torch.Generator().manual_seed(0))
    seen = [torch.complex(levels, -levels).conj().imag, levels.to_sparse().to_dense(), torch.nn.Parameter(levels)]
    assert seen[0].is_neg()
    for tensor in seen:
        assert np.array_equal(planes(picture_of(tensor)), levels.numpy())
    grey = random_array("uint8", 5, 7)
    for array in (grey.view(np.matrix), np.ma.masked_array(grey, mask=False)):
        assert np.array_equal(picture_of(array).colour, grey)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_images_of_pillow_keep_mode_samples_and_profile(mode: str) -> None:
    channels = len(mode)
    pixels = random_array("uint8", 5, 7, channels) if channels > 1 else random_array("uint8", 5, 7)
    image = Image.fromarray(pixels, mode)
    profile = bytes(16) + (b"GRAY" if mode.startswith("L") else b"RGB ") + bytes(200)
    image.info["icc_profile"] = profile
    back = to_pil(picture_of(image))
    assert (back.mode, back.size, back.info["icc_profile"]) == (mode, (7, 5), profile)
    assert np.array_equal(np.asarray(back), pixels)


@pytest.mark.parametrize("mode", ["I;16", "I;16B"])
def test_grey_of_16_bits_is_pillows_own(mode: str) -> None:
    pixels = random_array("uint16", 5, 7)
    image = Image.frombytes(mode, (7, 5), pixels.astype("<u2" if mode == "I;16" else ">u2").tobytes())
    picture = picture_of(image)
    assert np.array_equal(picture.colour, pixels)
    assert np.array_equal(np.asarray(to_pil(picture)), pixels)


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_what_pillow_has_no_mode_for_is_said(channels: int) -> None:
    with pytest.raises(PixelsError, match="16 bits for grey alone: take this picture as an array"):
        to_pil(of_array(random_array("uint16", 4, 4, channels)))


def test_a_part_is_that_of_the_whole() -> None:
    for array in (random_array("uint8", 20, 30, 3), random_array("uint16", 20, 30), random_array("float32", 20, 30, 4)):
        picture = picture_of(array)
        assert np.array_equal(planes(picture, 3, 5, 7, 11), planes(picture)[:, 3:10, 5:16])


def test_grey_is_the_mean_of_the_three_planes_and_rounded_once() -> None:
    decoded = random_array("float32", 3, 9, 9)
    expected = np.rint(decoded.astype(np.float64).mean(0) * 255)
    assert np.abs(samples(decoded, grey=True, bits=8) - expected).max() <= 1
    wild = np.array([[[-3.0]], [[2.0]], [[0.0]]], np.float32)
    assert samples(wild, grey=False, bits=8).tolist() == [[[0, 255, 0]]]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_decoded_values_that_are_not_finite_are_no_picture(bad: float) -> None:
    decoded = random_array("float32", 3, 4, 4)
    decoded[1, 2, 3] = bad
    with pytest.raises(ValueError, match="not finite"):
        samples(decoded, grey=False, bits=8)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((3, 40, 50), np.uint8), r"an array of 3 x 40 x 50 is no picture: .* channels last, a tensor first"),
        (np.zeros((1, 3, 40, 50), np.uint8), r"an array of 1 x 3 x 40 x 50 is no picture"),
        (np.zeros((40, 50, 5), np.uint8), "an array of 40 x 50 x 5 is no picture"),
        (np.zeros(7, np.uint8), "an array of 7 is no picture"),
        (np.zeros((0, 5, 3), np.uint8), "holds no pixels"),
        (np.zeros((5, 5), bool), "pixels of bool have no known white"),
        (np.zeros((5, 5), np.int32), "pixels of int32 have no known white"),
        (np.full((5, 5), 1.5), r"pixels of float64 must be in \[0, 1\]"),
        (np.full((5, 5), -0.001, np.float32), r"pixels of float32 must be in \[0, 1\]"),
        (np.full((5, 5), np.nan), r"must be in \[0, 1\]"),
        (torch.zeros(1, 3, 8, 8), r"a tensor \(1, 3, 8, 8\) is no picture: .*: give x\[0\]"),
        (torch.zeros(8, 8), r"a tensor \(8, 8\) is no picture"),
        (torch.zeros(8, 8, 3), r"a tensor \(8, 8, 3\) is no picture"),
        (torch.zeros(3, 8, 8, dtype=torch.int64), "pixels of int64 have no known white"),
        (torch.zeros(3, 8, 8, dtype=torch.complex64), "pixels of complex64 have no known white"),
        (torch.zeros(3, 8, 8, dtype=torch.complex64).conj(), "pixels of complex64 have no known white"),
        (torch.zeros(3, 8, 8, device="meta"), "a tensor on the device meta has no pixels"),
        (torch.zeros(3, 8, 8).to_sparse(), r"layout torch.sparse_coo is no picture: give its .to_dense\(\)"),
        (torch.zeros(3, 8, 8).to_mkldnn(), r"layout torch._mkldnn is no picture: give its .to_dense\(\)"),
        (torch._efficientzerotensor((3, 8, 8)), "pixels of a Tensor of torch.float32 cannot be read"),
        (np.ma.masked_array(np.zeros((5, 5), np.uint8), mask=np.eye(5)), "some of whose pixels are masked"),
        (Image.new("F", (4, 4)), "floating-point numbers, whose white is unknown"),
        (Image.new("I", (4, 4)), "white is unknown"),
        ("photo.png", "str is no picture: it must be Pillow's Image, an array or a tensor"),
        (None, "NoneType is no picture"),
    ],
)
def test_what_is_no_picture_is_refused_by_name(image: object, message: str) -> None:
    with pytest.raises(PixelsError, match=message):
        picture_of(image)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_tensors_whose_numbers_mean_others_are_refused_by_name() -> None:
    """Torch warns of their makers."""
    tensor = torch.zeros(3, 8, 8)
    with pytest.raises(PixelsError, match=r"a quantised tensor \(torch.quint8\) is no picture: give its .dequantize"):
        picture_of(torch.quantize_per_tensor(tensor, 0.01, 0, torch.quint8))
    with pytest.raises(PixelsError, match="a nested tensor is no picture"):
        picture_of(torch.nested.nested_tensor([tensor, tensor]))
