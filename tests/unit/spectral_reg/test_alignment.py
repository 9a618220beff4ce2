"""Features at half the size, and the linear maps from them."""

import math

import pytest
import torch
from torch.autograd import gradcheck
from torch.utils._python_dispatch import TorchDispatchMode

from lic_exp.ops.haar import haar2
from lic_exp.spectral_reg.alignment import FACTOR, FEATURES, Aligner


@pytest.mark.parametrize("alignment", FEATURES)
@pytest.mark.parametrize("size", [(4, 6), (5, 3), (1, 1)])
def test_features_halve_every_size(alignment, size):
    fine = torch.randn(2, 3, *size)
    height, width = (math.ceil(side / 2) for side in size)
    assert FEATURES[alignment](fine).shape == (2, FACTOR[alignment] * 3, height, width)


def test_a_strided_convolution_is_a_1x1_on_patches():
    fine, weight = torch.randn(2, 3, 5, 6), torch.randn(4, 3, 3, 3)
    expected = torch.nn.functional.conv2d(fine, weight, stride=2, padding=1)
    aligner = Aligner(3, 4, alignment="strided_conv", conv="trained", bias=False)
    aligner.weight.data = weight.flatten(1)
    torch.testing.assert_close(aligner(fine, None), expected, rtol=1e-4, atol=1e-5)


def test_low_band_is_twice_the_average():
    fine = torch.randn(1, 2, 5, 4)
    torch.testing.assert_close(FEATURES["low_band"](fine), 2 * FEATURES["average_pool"](fine))


def test_least_squares_finds_the_linear_map():
    fine, weight = torch.randn(8, 2, 8, 8), torch.randn(5, 8)
    coarse = torch.einsum("oi,bihw->bohw", weight, haar2(fine)) + 3
    with_bias, without = (
        Aligner(2, 5, alignment="haar", conv="least_squares", bias=bias)(fine, coarse) for bias in (True, False)
    )
    torch.testing.assert_close(with_bias, coarse, rtol=0, atol=0.05)
    assert (without - coarse).abs().mean() > 1


@pytest.mark.parametrize("conv", ["trained", "unit_norm", "least_squares"])
def test_gradients_are_those_of_finite_differences(conv):
    aligner = Aligner(1, 2, alignment="haar", conv=conv, bias=True).double()
    fine, coarse = (torch.randn(2, width, side, side, dtype=torch.float64) for width, side in ((1, 6), (2, 3)))
    assert gradcheck(aligner, (fine.requires_grad_(), coarse.requires_grad_()))


@pytest.mark.parametrize("outputs", [3, 20])
def test_orthogonal_weights_keep_energy_or_take_some(outputs):
    weight = Aligner(2, outputs, alignment="haar", conv="frozen_orthogonal", bias=False).weight
    gram = weight @ weight.T if outputs < 8 else weight.T @ weight
    torch.testing.assert_close(gram, torch.eye(len(gram)), rtol=0, atol=1e-5)
    assert not weight.requires_grad


def test_an_aligner_draws_nothing_from_the_noise_of_training():
    before = torch.get_rng_state()
    Aligner(3, 4, alignment="haar", conv="trained", bias=True)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("bias", [False, True])
def test_a_fit_is_not_looked_at(bias):
    """Which the device would wait for, and a recording cannot do."""
    seen = []

    class Names(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, arguments=(), options=None):
            seen.append(str(function))
            return function(*arguments, **options or {})

    with Names():
        Aligner(2, 5, alignment="haar", conv="least_squares", bias=bias)(torch.rand(2, 2, 4, 4), torch.rand(2, 5, 2, 2))
    assert any("linalg_solve" in name for name in seen)
    assert not [name for name in seen if "check_errors" in name or "local_scalar" in name]
