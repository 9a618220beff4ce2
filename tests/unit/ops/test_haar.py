"""The Haar transform is PyWavelets', orthonormal, and can be undone at every size."""

import pytest
import pywt
import torch
from torch.autograd import gradcheck

from lic_exp.ops.haar import haar2, ihaar2

SIZES = [(2, 2), (8, 6), (7, 8), (4, 5), (7, 5), (1, 1), (1, 4), (3, 1)]


def latent(height, width, channels=3):
    return torch.randn(2, channels, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_agrees_with_pywavelets(height, width):
    x = latent(height, width)
    low, details = pywt.dwt2(x.numpy(), "haar", mode="symmetric")
    expected = torch.cat([torch.tensor(band) for band in (low, *details)], dim=1)
    torch.testing.assert_close(haar2(x), expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_the_inverse_gives_the_latent_back(height, width):
    x = latent(height, width)
    torch.testing.assert_close(ihaar2(haar2(x), height, width), x, rtol=0, atol=1e-14)


def test_it_is_orthonormal():
    basis = torch.eye(24, dtype=torch.float64).reshape(24, 1, 4, 6)
    rows = haar2(basis).flatten(1)
    torch.testing.assert_close(rows @ rows.T, torch.eye(24, dtype=torch.float64), rtol=0, atol=1e-15)


def test_gradients_reach_an_extended_row():
    assert gradcheck(haar2, latent(3, 5, channels=2).requires_grad_())


def test_bands_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"bands \(2, 12, 4, 4\) are no Haar transform of 9 x 8 pixels"):
        ihaar2(haar2(latent(8, 8)), 9, 8)
