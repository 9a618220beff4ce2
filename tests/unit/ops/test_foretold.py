"""What one latent foretells of another, on images that the map has not seen."""

import pytest
import torch

from lic_exp.ops.foretold import foretold
from lic_exp.ops.haar import haar2, ihaar2


def drawn(count, channels, height, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(channels, height, width, generator=generator) for _ in range(count)]


@pytest.mark.parametrize("ratio", [1, 2, 4])
@pytest.mark.parametrize("images", [2, 5, 11])
def test_a_copy_is_foretold_and_what_is_independent_not(ratio, images):
    coarse = drawn(images, 3, 16, 12)
    fine = [latent.repeat_interleave(ratio, -1).repeat_interleave(ratio, -2) for latent in coarse]
    assert foretold(coarse, fine) > 0.95
    assert foretold(coarse, drawn(images, 3, 16 * ratio, 12 * ratio, seed=1)) < 0.05


def test_any_linear_map_of_the_bands_is_found_and_half_of_one_by_half():
    fine = drawn(6, 2, 32, 32)
    mix = torch.randn(5, 8, generator=torch.Generator().manual_seed(3))
    told = [torch.einsum("ck,khw->chw", mix, haar2(latent[None])[0]) + 7 for latent in fine]
    assert foretold(told, fine) > 0.99
    own = drawn(6, 5, 16, 16, seed=4)
    half = [one + (mix.square().sum(1).sqrt()[:, None, None] * other) for one, other in zip(told, own, strict=True)]
    assert foretold(half, fine) == pytest.approx(0.5, abs=0.06)


def test_constant_channels_do_not_count():
    coarse = drawn(4, 2, 16, 16)
    fine = [ihaar2(torch.cat((latent, 0 * latent, 0 * latent, 0 * latent))[None], 32, 32)[0] for latent in coarse]
    with_constant = [torch.cat((latent, torch.full((1, 16, 16), 3.0))) for latent in coarse]
    assert foretold(with_constant, fine) == pytest.approx(foretold(coarse, fine))
    assert foretold([torch.ones(2, 16, 16)] * 4, fine) is None


@pytest.mark.parametrize("channels", [2, 24])
def test_a_copy_needs_no_more_positions_than_it_has_channels(channels):
    """96 features of 24 channels, of which three quarters are constant or repeat others."""
    coarse = drawn(5, channels, 4, 4)
    fine = [latent.repeat_interleave(2, -1).repeat_interleave(2, -2) for latent in coarse]
    assert foretold(coarse, fine) > 0.9
    assert foretold(coarse, [torch.cat((latent, -latent, 2 * latent)) for latent in fine]) > 0.9
    assert foretold(coarse, drawn(5, 24, 8, 8, seed=1)) is None


@pytest.mark.parametrize(
    ("coarse", "fine"),
    [
        (drawn(1, 2, 32, 32), drawn(1, 2, 64, 64)),
        (drawn(4, 2, 2, 2), drawn(4, 8, 4, 4)),
        (drawn(4, 2, 8, 8), drawn(4, 2, 24, 24)),
        (drawn(4, 2, 8, 8), drawn(4, 2, 4, 4)),
    ],
    ids=["one image", "few positions", "three times the size", "the finer is smaller"],
)
def test_what_cannot_be_told_is_not(coarse, fine):
    assert foretold(coarse, fine) is None
