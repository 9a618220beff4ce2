"""Weights gone wild are refused, by every codec: CompressAI's coder would hang and hear no signal."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

import lic_exp
from lic_exp.models.base import Codec
from lic_exp.models.coding_error import CodingError
from lic_exp.models.compressai_coding import LONGEST_ROW, comparing_pictures, decode, encode, gaussian_tables

ZOO = [
    *("factorized_tiny", "hyperprior_tiny", "mean_scale_hyperprior_tiny"),
    *("joint_autoregressive_tiny", "cheng2020_anchor_tiny", "cheng2020_attention_tiny"),
]
WITH_SCALES = ZOO[1:]
NAN, INF = float("nan"), float("inf")


def last(part: torch.nn.Module) -> Tensor:
    return [parameter for name, parameter in part.named_parameters() if name.endswith("weight")][-1]


@torch.no_grad()
def spoilt(name: str, change: Callable[[Codec], object]) -> tuple[Codec, Tensor]:
    codec = lic_exp.create_model(name).eval()
    side = codec.facts.downsampling_factor
    change(codec)
    return codec, torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("name", "times"), [*zip(ZOO, [1e12, 1e30, INF, NAN, 1e12, NAN], strict=True)])
def test_wild_latents_are_refused(name, times):
    codec, x = spoilt(name, lambda codec: codec.g_a[-1].register_forward_hook(lambda *at: times * (1 + at[2].abs())))
    codec.update()
    with pytest.raises(CodingError, match=r"beyond 2\^26.*diverged"):
        codec.compress(x)
    assert not {"quantize", "dequantize", "build_indexes"} & set(vars(codec.entropy_bottleneck))


@pytest.mark.parametrize("value", [1.6e8, 2e9, 3e9, -1e10, 1e20, INF, NAN])
def test_what_becomes_another_whole_number_is_refused_too(value):
    """As int32 the coder would see a number that may pass for a symbol."""
    tables = gaussian_tables([0.11, 1.0, 10.0], 1e-9)
    with pytest.raises(CodingError, match="not finite or beyond"):
        encode(torch.tensor([0.0, value]), torch.tensor([0, 2]), tables)


@pytest.mark.parametrize("value", [NAN, INF])
@pytest.mark.parametrize("name", [*WITH_SCALES, "hpcm_tiny", "dhic_tiny"])
def test_scales_and_means_must_be_finite(name, value):
    codec, x = spoilt(name, lambda codec: None)
    codec.update()
    compressed = codec.compress(x)
    part = codec.latent_blocks()[0].prior if name == "dhic_tiny" else codec.h_s
    for module in part.modules():
        if getattr(module, "bias", None) is not None:
            torch.nn.init.constant_(module.bias, value)
    with pytest.raises(CodingError, match=r"not finite.*diverged"):
        codec.compress(x)
    with pytest.raises(CodingError, match=r"not finite.*diverged"):
        codec.decompress(replace(compressed, state=None))


@pytest.mark.parametrize("times", [1e4, 1e9, 1e30, INF, NAN])
@pytest.mark.parametrize("name", ["factorized_tiny", "mean_scale_hyperprior_tiny", "joint_autoregressive_tiny"])
def test_quantiles_too_far_apart_have_no_tables(name, times):
    codec, _ = spoilt(name, lambda codec: codec.entropy_bottleneck.quantiles.mul_(times))
    with pytest.raises(CodingError, match=rf"quantiles.*{LONGEST_ROW} are the most"):
        codec.update()


@pytest.mark.parametrize("scale", [1e5, 1e9, 1e30, INF, NAN])
def test_hyper_scales_too_large_have_no_tables(scale):
    codec, _ = spoilt("hpcm_tiny", lambda codec: codec.scales_hyper[0, 3].fill_(scale))
    with pytest.raises(ValueError, match=r"scales_hyper.*scale"):
        codec.update()


@pytest.mark.parametrize("name", ZOO[:4])
def test_a_damaged_string_is_refused_once_it_was_decoded_to_something(name):
    """An escape that announces more than there is does not make the decoder read beyond its string."""
    codec, x = spoilt(name, lambda codec: None)
    codec.update()
    compressed = codec.compress(x)
    for damaged in (b"\xff" * 40, b"", b"\xf0\xff\xff\xff" * 3):
        strings = [[damaged] for _ in compressed.strings]
        received = replace(compressed, strings=strings, state=None)
        with comparing_pictures():
            assert codec.decompress(received).shape == x.shape
        with pytest.raises(CodingError, match="symbols that it does not stand for"):
            codec.decompress(received)


def test_the_largest_symbols_are_coded():
    tables = gaussian_tables([0.11, 256.0], 1e-9)
    symbols = torch.tensor([2**26, -(2**26), 0, 7])
    rows = torch.tensor([0, 1, 0, 1])
    assert torch.equal(decode(encode(symbols, rows, tables), rows, tables).long(), symbols)


@pytest.mark.parametrize("median", [6e4, -6e4, 1e6, 1e12])
def test_tables_are_as_long_as_the_median_is_away(median):
    codec, _ = spoilt("factorized_tiny", lambda codec: codec.entropy_bottleneck.quantiles[0, 0, 1].fill_(median))
    with pytest.raises(CodingError, match=r"quantiles asks for tables of .* symbols"):
        codec.update()
