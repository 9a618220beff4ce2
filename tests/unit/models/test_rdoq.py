"""Rate-distortion optimised quantisation of DHIC's encoders: what it chooses, and that decoders need not know of it."""

import golden_dhic as golden
import pytest
import torch

import lic_exp
from lic_exp.files.identity import identity

STRENGTH = 0.15


def made(rdoq: float):
    codec = lic_exp.create_model("dhic_tiny", rdoq=rdoq)
    golden.fill(codec)
    return codec.eval()


@pytest.fixture(scope="module")
def x():
    return torch.rand(1, 3, 128, 192, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def test_of_rounding_and_its_neighbour_towards_0_it_takes_what_costs_less() -> None:
    """Cost in squared steps: distance^2 + rdoq nats, by the probabilities that rates are counted by."""
    block = made(STRENGTH).latent_blocks()[-1]
    random = torch.Generator().manual_seed(1)
    shifted = 3 * torch.randn(1, 4, 32, 32, generator=random, dtype=torch.float64)
    deviation = torch.rand(1, 4, 32, 32, generator=random, dtype=torch.float64) + 0.2

    def cost(k):
        return (shifted - k).square() + STRENGTH * block.discrete_gaussian.nats(k, deviation)

    rounded = shifted.round()
    nearer = torch.where(rounded == 0, rounded, rounded - rounded.sign())
    chosen = block.quantised(shifted, deviation)
    assert torch.equal(cost(chosen), torch.minimum(cost(rounded), cost(nearer)))
    assert 0.02 < (chosen != rounded).double().mean() < 0.5


@torch.no_grad()
@pytest.mark.parametrize("quality", [0.0, 40.0])
def test_a_codec_that_rounds_decodes_what_it_has_written(x, quality: float) -> None:
    ours, theirs = made(STRENGTH), made(0.0)
    assert identity(ours) == identity(theirs)
    compressed, plain = (codec.compress(x, quality=quality) for codec in (ours, theirs))
    assert torch.equal(theirs.decompress(compressed), ours.reconstruct(compressed))
    assert sum(len(one) for kind in compressed.strings for one in kind) < sum(
        len(one) for kind in plain.strings for one in kind
    )


def test_training_is_not_touched(x) -> None:
    outputs = []
    for rdoq in (0.0, STRENGTH):
        torch.manual_seed(0)
        outputs.append(made(rdoq).train()(x, torch.tensor([20.0])))
    assert torch.equal(outputs[0].x_hat, outputs[1].x_hat)
    assert all(torch.equal(outputs[0].bits[name], bits) for name, bits in outputs[1].bits.items())
