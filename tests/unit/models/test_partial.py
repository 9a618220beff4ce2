"""Decoding from the first scales alone, and what each of them costs."""

from itertools import pairwise

import pytest
import torch
from scale_toys import Banded
from training_parts import ScalableCodec, SmallCodec

import lic_exp
from lic_exp.models.base import decodes_partially
from lic_exp.models.hpcm.partition import partition


@pytest.fixture(scope="module")
def hpcm():
    torch.manual_seed(3)
    codec = lic_exp.create_model("hpcm_tiny").eval()
    with torch.no_grad():
        for key, parameter in codec.named_parameters():
            if parameter.dim() == 4 and key.startswith(("g_a", "h_a", "g_s")):
                parameter.mul_(2.5)
    return codec


@torch.no_grad()
def test_partial_pictures_of_nested_scales(hpcm):
    """All scales are the picture; the first ones do not know what the later ones would say."""
    side = hpcm.facts.downsampling_factor
    x = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(1))
    output = hpcm(x)
    assert output.latents[-1].unique().numel() > 4
    pictures = [hpcm.partial(x, scales=scales) for scales in range(4)]
    assert torch.equal(pictures[3], output.x_hat)
    assert all(not torch.equal(one, other) for one, other in pairwise(pictures))
    for scales in (-1, 4):
        with pytest.raises(ValueError, match=rf"scales is {scales}.*0 to 3"):
            hpcm.partial(x, scales=scales)
    with pytest.raises(ValueError, match="float64"):
        hpcm.partial(x.double(), scales=1)


@torch.no_grad()
def test_bits_of_nested_scales_are_those_of_their_positions(hpcm):
    """1/16 of all symbols is in s1, 3/16 more in s2, and the rest in s3, whatever they cost."""
    side = hpcm.facts.downsampling_factor // 16
    y = torch.ones(2, hpcm.M, side, 2 * side)
    bits = hpcm.bits_by_scale({"y": y, "z": torch.full((2, 3, 1, 2), 0.5)})
    assert list(bits) == ["z", "s1", "s2", "s3"]
    symbols = y[0].numel()
    assert [values.tolist() for values in bits.values()] == [
        [3.0, 3.0],
        *([share * symbols / 16] * 2 for share in (1, 3, 12)),
    ]
    grid = partition(side, 2 * side, hpcm.compat, y.device)
    first = grid.steps[2][0] | grid.steps[2][1]  # of the finest scale's positions, those that were said before
    positions = first.squeeze(1).repeat_interleave(hpcm.M // 8, 0).expand(2, -1, -1, -1).to(y.dtype)
    known = hpcm.bits_by_scale({"y": positions, "z": torch.zeros(2, 3, 1, 2)})
    assert known["s3"].tolist() == [0.0, 0.0]
    assert (known["s1"] + known["s2"]).tolist() == [symbols / 4] * 2


def test_who_decodes_partially(hpcm):
    kinds = (hpcm, Banded((0, 0.5, 1)), SmallCodec(), ScalableCodec())
    assert [decodes_partially(codec) for codec in kinds] == [True, True, False, False]


def test_bits_that_nobody_explains_are_refused():
    with pytest.raises(NotImplementedError, match="bits of y, z, but 1 latents"):
        SmallCodec().bits_by_scale({"y": torch.zeros(1), "z": torch.zeros(1)})
