"""Files that another device decodes: what they hold beside others, and what is said where it does not work."""

import copy
import dataclasses
import logging

import numpy as np
import pytest
from file_codecs import codec_of, encoders_picture, pixels
from other_arithmetic import OtherArithmetic

import lic_exp
from lic_exp.config.errors import ConfigError
from lic_exp.files import coding
from lic_exp.files.coding import decode_image, encode_image
from lic_exp.files.layout import FileError
from lic_exp.files.memory import bytes_per_pixel
from lic_exp.files.parsing import parse
from lic_exp.files.writing import write
from lic_exp.models.base import Codec
from lic_exp.models.portable import PortableMode, portable_coding

NAMES = ("dhic_tiny", "hpcm_tiny", "mean_scale_hyperprior_tiny")


@pytest.fixture(params=NAMES)
def codec(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Codec:
    """One with tables, which are not made anew: a device that makes others is told from their hash."""
    codec = copy.deepcopy(codec_of(request.param))
    codec.update()
    monkeypatch.setattr(codec, "update", lambda force=True: None)
    return codec


@pytest.mark.parametrize("sides", [(40, 67), (150, 80)])
def test_a_portable_file_is_written_and_read_by_any_arithmetic(codec, sides):
    """The larger one in tiles."""
    array, memory = pixels(*sides), int(128 * 128 * bytes_per_pixel(codec))
    data = encode_image(array, codec, portable=True, memory=memory)
    assert parse(data).delta == codec.portable_mode().margin
    with OtherArithmetic(reorder=True, relative=2**-52):
        assert encode_image(array, codec, portable=True, memory=memory) == data
        elsewhere = decode_image(data, codec, form="array")
    here = decode_image(data, codec, form="array")
    assert np.abs(here.astype(int) - elsewhere).max() <= 1
    if parse(data).tile is None:
        with portable_coding():
            assert np.array_equal(here, encoders_picture(codec, array))


def test_what_deviates_by_more_is_an_error_that_says_so(codec):
    data = encode_image(pixels(64, 64), codec, portable=True)
    with OtherArithmetic(relative=0.3), pytest.raises(FileError, match="was decoded to"):
        decode_image(data, codec)


def test_lists_go_into_the_file_and_damaged_ones_are_refused(codec, monkeypatch):
    mode = codec.portable_mode()
    monkeypatch.setattr(type(codec), "portable_mode", lambda self: dataclasses.replace(mode, margin=0.01))
    data = encode_image(pixels(64, 64), codec, portable=True)
    file = parse(data)
    assert sum(len(string.near_lines) for tile in file.strings for string in tile) > 10
    expected = decode_image(data, codec, form="array")
    with OtherArithmetic(relative=1e-5):
        assert np.abs(decode_image(data, codec, form="array").astype(int) - expected).max() <= 1

    def damaged(change):
        strings = [[dataclasses.replace(s, near_lines=change(s.near_lines)) for s in tile] for tile in file.strings]
        return write(dataclasses.replace(file, strings=strings))

    found = r"a list (of|names) table row|decoded to (other symbols|symbols that it does not stand for)"
    for change in (lambda own: own[:-1], lambda own: own + b"\x00\x00" * 9999, lambda own: b"\xff" * 9):
        with pytest.raises(FileError, match=found):
            decode_image(damaged(change), codec)


def test_only_a_file_that_is_not_portable_warns_of_another_machine(caplog, monkeypatch):
    codec = codec_of("mean_scale_hyperprior_tiny")
    files = {portable: encode_image(pixels(64, 64), codec, portable=portable) for portable in (False, True)}
    monkeypatch.setattr(coding, "made_on", lambda codec: "another machine")
    for portable, data in files.items():
        caplog.clear()
        with caplog.at_level(logging.WARNING, logger="lic_exp.files"):
            decode_image(data, codec)
        assert ("not on another machine" in caplog.text) is not portable


def test_the_models_option_is_what_nobody_asks_for_and_no_part_of_weights():
    for portable in (False, True):
        codec = lic_exp.create_model("hyperprior_tiny", portable=portable)
        assert (parse(encode_image(pixels(64, 64), codec)).delta is None) is not portable
        assert parse(encode_image(pixels(64, 64), codec, portable=False)).delta is None
        assert parse(encode_image(pixels(64, 64), copy.deepcopy(codec), portable=True)).delta is not None


@pytest.mark.parametrize(
    ("name", "given"),
    [("joint_autoregressive_tiny", {}), ("cheng2020_attention_tiny", {}), ("hpcm_tiny", {"compat": True})],
)
def test_models_without_it_refuse_by_name(name, given):
    with pytest.raises(ConfigError, match=r"model.portable: \w+ has no portable mode"):
        lic_exp.create_model(name, portable=True, **given)
    codec = lic_exp.create_model(name, portable=False, **given)
    with pytest.raises(ValueError, match="has no portable mode"):
        encode_image(pixels(64, 64), codec, portable=True)
    plain = encode_image(np.zeros((64, 64, 3), np.uint8), codec, portable=False)
    forged = write(dataclasses.replace(parse(plain), delta=1e-9))
    with pytest.raises(FileError, match=r"it was coded in portable mode, but .* has no portable mode"):
        decode_image(forged, codec)


def test_a_codec_of_a_users_own_has_none_unless_it_says_so():
    assert Codec.portable is None
    assert PortableMode(("a.*",), 1e-9, ("a.b",)).predicts("a.c")
    assert not PortableMode(("a.*",), 1e-9, ("a.b",)).predicts("a.b")
