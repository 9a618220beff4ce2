"""Pictures to files and back: what the encoder saw of its own picture is what a decoder gives, or it is an error."""

import copy
import dataclasses
import logging
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from file_codecs import FOUR, codec_of, encoders_picture, pixels
from PIL import Image

import lic_exp
from lic_exp.files.coding import decode_image, decode_picture, encode_image, made_on
from lic_exp.files.layout import CodedString, FileError
from lic_exp.files.memory import bytes_per_pixel
from lic_exp.files.parsing import parse


@pytest.fixture(scope="module", params=FOUR)
def coded(request) -> tuple[str, bytes]:
    """A codec's name and a file of its own, of a picture whose sides are no multiples of anything."""
    return request.param, lic_exp.encode_image(pixels(70, 101), codec_of(request.param))


def test_the_picture_is_the_encoders(coded: tuple[str, bytes]) -> None:
    name, data = coded
    expected = encoders_picture(codec_of(name), pixels(70, 101))
    assert expected.std() > 5
    assert np.array_equal(lic_exp.decode_image(data, codec_of(name), form="array"), expected)
    assert np.array_equal(np.asarray(lic_exp.decode_image(data, codec_of(name))), expected)
    tensor = lic_exp.decode_image(data, codec_of(name), form="tensor")
    assert np.array_equal((tensor * 255).round().byte().permute(1, 2, 0).numpy(), expected)


def test_the_file_says_what_it_is(coded: tuple[str, bytes]) -> None:
    name, data = coded
    file, codec = parse(data), codec_of(name)
    assert (file.height, file.width, file.bits, file.grey, file.tile) == (70, 101, 8, False, None)
    assert file.padding == (58, 27)
    assert file.made_on == made_on(codec)
    assert file.quality == getattr(codec, "max_quality", None)
    x = codec.pad(torch.from_numpy(pixels(70, 101)).permute(2, 0, 1)[None] / 255)
    assert [string.content for string in file.strings[0]] == [kind[0] for kind in codec.compress(x).strings]
    assert file.string_bytes < len(data) < file.string_bytes + 250


@pytest.mark.parametrize("name", FOUR[:3])
def test_whoever_gives_the_picture_the_bytes_are_the_same(name: str) -> None:
    """Pillow's, an array, a tensor on whatever layout; by a codec in training, channels-last, after others, or new."""
    array, codec = pixels(40, 67), copy.deepcopy(codec_of(name))
    expected = encode_image(array, codec)
    tensor = torch.from_numpy(array).permute(2, 0, 1)
    codec.train().to(memory_format=torch.channels_last)
    assert encode_image(Image.fromarray(array), codec) == expected
    assert encode_image(tensor / 255, codec) == expected
    assert encode_image(np.asfortranarray(array), codec) == expected
    assert codec.training
    encode_image(pixels(64, 64), codec)
    assert encode_image(tensor, codec) == expected


@pytest.mark.parametrize("sides", [(1, 1), (1, 200), (130, 2), (64, 64)])
@pytest.mark.parametrize("name", FOUR[:3])
def test_sizes(name: str, sides: tuple[int, int]) -> None:
    array, codec = pixels(*sides), codec_of(name)
    assert np.array_equal(decode_image(encode_image(array, codec), codec, form="array"), encoders_picture(codec, array))


def test_qualities() -> None:
    codec, array = codec_of("dhic_tiny"), pixels(64, 64)
    files = [encode_image(array, codec, quality=quality) for quality in (0, 31.5, None)]
    assert [parse(data).quality for data in files] == [0, 31.5, codec.max_quality]
    assert len({len(data) for data in files}) == 3
    for data, quality in zip(files, (0, 31.5, None), strict=True):
        assert np.array_equal(decode_image(data, codec, form="array"), encoders_picture(codec, array, quality))
    with pytest.raises(ValueError, match="64"):
        encode_image(array, codec, quality=64)
    with pytest.raises(ValueError, match=r"quality=1: MeanScaleHyperprior has one rate"):
        encode_image(array, codec_of("mean_scale_hyperprior_tiny"), quality=1)


def test_tiles_are_coded_one_by_one() -> None:
    codec, array = codec_of("mean_scale_hyperprior_tiny"), pixels(200, 150)
    data = encode_image(array, codec, memory=int(128 * 128 * bytes_per_pixel(codec)))
    file = parse(data)
    assert file.tile is not None
    assert len(file.strings) > 1
    assert file.padding == (0, 0)
    picture = decode_image(data, codec, form="array")
    assert picture.shape == array.shape
    top, left = file.tile.height - file.tile.overlap, file.tile.width - file.tile.overlap
    corner = encoders_picture(codec, np.ascontiguousarray(array[: file.tile.height, : file.tile.width]))
    assert np.array_equal(picture[:top, :left], corner[:top, :left])


@pytest.mark.parametrize("name", FOUR[:2])
def test_grey_alpha_profile_and_sixteen_bits(name: str) -> None:
    array = pixels(64, 64)
    image = Image.fromarray(np.dstack([array, array[..., :1]]))
    codec = codec_of(name)
    back = decode_image(encode_image(image, codec), codec)
    assert back.mode == "RGBA"
    assert np.array_equal(np.asarray(back)[..., 3], array[..., 0])
    grey = decode_image(encode_image(array[..., 0], codec), codec, form="array")
    assert grey.shape == (64, 64)
    deep = decode_image(encode_image(array.astype(np.uint16) * 257, codec), codec, form="array")
    assert deep.dtype == np.uint16
    assert np.abs(deep / 257 - decode_image(encode_image(array, codec), codec, form="array")).max() <= 0.5


def test_other_weights_are_refused_by_name(coded: tuple[str, bytes]) -> None:
    name, data = coded
    other = lic_exp.create_model(name, seed=5)
    with pytest.raises(FileError, match=r"coded by (\w+ [0-9a-f]{12}), and this is \w+ [0-9a-f]{12}, other weights"):
        decode_image(data, other)
    with pytest.raises(FileError, match=r"and this is factorized [0-9a-f]{12}, another model"):
        decode_image(data, lic_exp.create_model("factorized_tiny"))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"tables": b"otherone"}, "coded with other tables"),
        ({"padding": (58, 28)}, r"\(58, 28\) rows and columns were added, but .* adds \(58, 27\)"),
        ({"quality": 99.0}, "has one rate, but the file names a quality|has none above 63"),
        ({"height": 150}, "cannot be decoded"),
        ({"height": 9000, "width": 9000}, "cannot be decoded"),
    ],
)
def test_what_a_file_says_wrongly(coded: tuple[str, bytes], changes: dict, told: str) -> None:
    """Far too large a picture is found out where its coarsest latent is read, before the finer ones are made."""
    name, data = coded
    file, codec = dataclasses.replace(parse(data), **changes), codec_of(name)
    if "height" in changes:
        padded = codec.padded_sides(file.height, file.width)
        file = dataclasses.replace(file, padding=(padded[0] - file.height, padded[1] - file.width))
    with pytest.raises(FileError, match=told):
        decode_picture(file, codec)


def test_strings_of_another_picture_or_place_are_refused(coded: tuple[str, bytes]) -> None:
    """With all checksums of bytes right: what is left is the symbols'."""
    name, data = coded
    codec = codec_of(name)
    own, other = parse(data), parse(encode_image(pixels(70, 101)[::-1], codec))
    for kind in range(own.kinds):
        mixed = list(own.strings[0])
        mixed[kind] = dataclasses.replace(mixed[kind], content=other.strings[0][kind].content)
        with pytest.raises(FileError, match="cannot be decoded"):
            decode_picture(dataclasses.replace(own, strings=[mixed]), codec)
    for strings in (own.strings[0][:-1], [*own.strings[0], CodedString(b"", 0)]):
        with pytest.raises(FileError, match="strings of"):
            decode_picture(dataclasses.replace(own, strings=[strings]), codec)
    if own.kinds > 1:
        contents = [string.content for string in reversed(own.strings[0])]
        swapped = [
            dataclasses.replace(string, content=content)
            for string, content in zip(own.strings[0], contents, strict=True)
        ]
        with pytest.raises(FileError, match="cannot be decoded"):
            decode_picture(dataclasses.replace(own, strings=[swapped]), codec)


@pytest.mark.parametrize("name", FOUR)
def test_samples_that_are_not_finite_are_no_picture(name: str) -> None:
    """The symbols are right, and what the synthesis makes of them is nothing that a picture could hold."""
    codec = copy.deepcopy(codec_of(name))
    *_, last = (own for key, own in codec.named_parameters() if key.startswith(("g_s.", "dec_blocks.")))
    with torch.no_grad():
        last.fill_(torch.nan)
    data = encode_image(pixels(64, 64), codec)
    with pytest.raises(FileError, match="cannot be decoded: the codec makes samples of it that are not finite"):
        decode_image(data, codec)
    with pytest.raises(FileError, match=r"nothing can be shown|samples of it that are not finite"):
        lic_exp.decode_image(data, codec, partial=True)


@pytest.mark.parametrize("name", FOUR)
def test_a_codec_whose_weights_have_no_values_codes_nothing(name: str) -> None:
    codec, array = codec_of(name), pixels(64, 64)
    data, without = encode_image(array, codec), copy.deepcopy(codec).to("meta")
    told = "are on the device meta, where they have no values, so it codes nothing"
    with pytest.raises(ValueError, match=told):
        encode_image(array, without)
    with pytest.raises(ValueError, match=told):
        decode_image(data, without)
    with pytest.raises(ValueError, match=told):
        without.update()


def test_what_was_made_elsewhere_is_said_before(coded: tuple[str, bytes], caplog: pytest.LogCaptureFixture) -> None:
    name, data = coded
    foreign = dataclasses.replace(parse(data), made_on="cuda of another world")
    with caplog.at_level(logging.WARNING, "lic_exp.files"):
        decode_image(data, codec_of(name))
        assert not caplog.records
        decode_picture(foreign, codec_of(name))
    assert "made on cuda of another world and not on cpu" in caplog.text


def test_what_cannot_be_a_form() -> None:
    with pytest.raises(ValueError, match="form='jpeg': should be one of pil, array, tensor"):
        decode_image(b"", codec_of("factorized_tiny"), form="jpeg")


@pytest.mark.parametrize("name", ["mean_scale_hyperprior_tiny", "dhic_tiny"])
@pytest.mark.parametrize("train", [False, True], ids=["eval", "train"])
def test_threads_that_share_a_codec_make_the_same_file(name, train):
    codec = lic_exp.create_model(name).train(train)
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    data = encode_image(picture, codec)
    shown = decode_image(data, codec, form="array")

    def both(_):
        made = encode_image(picture, codec)
        return made == data and np.array_equal(decode_image(made, codec, form="array"), shown)

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(both, range(16)))
    assert codec.training == train
