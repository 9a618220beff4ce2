"""Which codec a file is of: all that it computes with tells codecs apart, and nothing else does."""

import copy

import pytest
import torch
from file_codecs import FOUR, codec_of
from torch import nn

import lic_exp
from lic_exp.capabilities import CodecFacts
from lic_exp.files.identity import identity, tables_hash
from lic_exp.models.base import Codec

GOLDEN = {
    "dhic_tiny": "dhic 1b26dc57dbe7",
    "hpcm_tiny": "hpcm128 bbe8f9a4674e",
    "mean_scale_hyperprior_tiny": "mean_scale_hyperprior 0297fc49fe7e",
    "joint_autoregressive_tiny": "joint_autoregressive 3953e876b620",
}
"""Of weights in closed form. They stand in files, and stay."""


@pytest.mark.parametrize("name", FOUR)
def test_it_is_the_same_in_every_version(name: str) -> None:
    assert str(identity(codec_of(name))) == GOLDEN[name]


@pytest.mark.parametrize("name", FOUR)
def test_what_computes_the_same_is_the_same(name: str) -> None:
    codec = codec_of(name)
    made = identity(codec)
    other = lic_exp.create_model(name, seed=3)
    other.load_state_dict(codec.state_dict())
    assert identity(other.train()) == made
    other.update()
    assert identity(other) == made
    assert identity(other.to(memory_format=torch.channels_last)) == made
    assert identity(copy.deepcopy(other)) == made


@pytest.mark.parametrize("name", FOUR)
def test_one_bit_of_one_weight_is_another_codec(name: str) -> None:
    codec = copy.deepcopy(codec_of(name))
    before = identity(codec)
    weights = list(codec.parameters())
    for weight in (weights[0], weights[-1]):
        with torch.no_grad():
            weight.view(-1)[-1:].copy_(torch.nextafter(weight.view(-1)[-1:], torch.tensor(9.0)))
        assert identity(codec) != before
        before = identity(codec)


def test_coding_changes_no_name() -> None:
    """A serial context masks its weights, in place, when it is first used."""
    new, used = (copy.deepcopy(codec_of("joint_autoregressive_tiny")) for _ in range(2))
    with torch.no_grad():
        for codec in (new, used):
            codec.context_prediction.weight.add_(0.1)
    used(torch.zeros(1, 3, 64, 64))
    assert not torch.equal(new.context_prediction.weight, used.context_prediction.weight)
    assert identity(new) == identity(used)


def test_options_tell_codecs_of_equal_weights_apart() -> None:
    """The number of heads is in no tensor; what weights begin as is not computed with."""
    one, other = (lic_exp.create_model("hpcm_tiny", attention_heads=heads) for heads in (4, 8))
    other.load_state_dict(one.state_dict())
    assert identity(one) != identity(other)
    begun = {"spectral_init": "random", "initial_step": [1, 1]}
    trained, same = lic_exp.create_model("dhic_tiny"), lic_exp.create_model("dhic_tiny", **begun)
    same.load_state_dict(trained.state_dict())
    assert identity(trained) == identity(same)
    single, double = lic_exp.create_model("factorized_tiny"), lic_exp.create_model("factorized_tiny").double()
    assert identity(single) != identity(double)


class Local(Codec):
    """A codec of somebody's own, with an option in a form that JSON has not."""

    facts = CodecFacts(downsampling_factor=8, latents=1)

    def __init__(self, *, layer: nn.Module, depth: float) -> None:
        super().__init__()
        self.layer = layer


def test_a_codec_of_ones_own() -> None:
    layer = nn.Conv2d(3, 3, 1)
    one, same, other = (Local(layer=layer, depth=depth) for depth in (2, 2.0, 3))
    assert identity(one) == identity(same) != identity(other)
    assert identity(one).name.endswith("Local")
    assert tables_hash(one) == tables_hash(other)


def test_tables_are_told_apart() -> None:
    codec = copy.deepcopy(codec_of("mean_scale_hyperprior_tiny"))
    codec.update()
    before = tables_hash(codec)
    codec.entropy_bottleneck._quantized_cdf[0, 1] += 1
    assert tables_hash(codec) != before
