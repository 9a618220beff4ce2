"""Tiles are as large as memory allows by the codec's own layers, and none where the whole fits."""

import pytest

import lic_exp
from lic_exp.files.coding import tiling_of
from lic_exp.files.memory import DEFAULT_BYTES, bytes_per_pixel, pixels_within

MEASURED = {"dhic_tiny": 100, "hpcm_tiny": 115, "mean_scale_hyperprior_tiny": 200, "joint_autoregressive_tiny": 155}
"""Bytes a pixel at the peak of coding, found once."""


@pytest.mark.parametrize("name", MEASURED)
def test_what_coding_takes_is_foretold_not_too_low_and_not_far_above(name: str) -> None:
    codec = lic_exp.create_model(name)
    mode = codec.training
    assert MEASURED[name] <= bytes_per_pixel(codec) <= 2 * MEASURED[name]
    assert codec.training == mode
    assert not any(module._forward_hooks for module in codec.modules())


def test_a_wider_codec_takes_smaller_tiles() -> None:
    narrow, wide = (lic_exp.create_model("factorized_tiny", N=n) for n in (16, 64))
    assert bytes_per_pixel(wide) > bytes_per_pixel(narrow)
    assert pixels_within(wide, 2**28) < pixels_within(narrow, 2**28)


def test_small_pictures_are_whole_and_large_ones_are_not() -> None:
    codec = lic_exp.create_model("dhic_tiny")
    assert tiling_of(2000, 3000, codec).count == 1
    large = tiling_of(4000, 6000, codec)
    assert large.count > 1
    assert large.tile_height * large.tile_width * bytes_per_pixel(codec) <= DEFAULT_BYTES
    assert tiling_of(4000, 6000, codec, None).count == 1
    assert tiling_of(64, 64, codec, 1).count == 1  # less would be no tile
    assert tiling_of(65, 64, codec, 1).count > 1
    assert tiling_of(1024, 1024, codec, DEFAULT_BYTES).count == 1
