"""Inner products by radial bands, against scipy's DCT and plain loops."""

import numpy as np
import pytest
import torch
from scipy.fft import dctn

from lic_exp.ops.bands import LUMA_CHROMA, band_edges, band_products


@pytest.mark.parametrize(("height", "width"), [(16, 16), (24, 40), (15, 8)])
@pytest.mark.parametrize("count", [1, 5, 16])
def test_products_are_those_of_scipys_spectra(height, width, count):
    signals = torch.randn(3, 3, height, width, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    planes = np.einsum("dc,nchw->ndhw", np.array(LUMA_CHROMA), signals.numpy())
    spectra = dctn(planes, axes=(2, 3), norm="ortho")
    edges, expected = band_edges(count), np.zeros((2, count, 3, 3))
    for u in range(height):
        for v in range(width):
            rho = np.hypot(u / height, v / width) / np.sqrt(2)
            if u or v:
                band = max(number for number in range(count) if edges[number] <= rho + 1e-12)
                for kind, chosen in enumerate(([0], [1, 2])):
                    for plane in chosen:
                        here = spectra[:, plane, u, v]
                        expected[kind, band] += np.outer(here, here)
    np.testing.assert_allclose(band_products(signals, count).numpy(), expected, rtol=1e-9, atol=1e-9)


def test_all_bands_together_have_the_energy_less_the_mean():
    signals = torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(2))
    products = band_products(signals, 16).sum((0, 1)).diagonal()
    planes = torch.einsum("dc,nchw->ndhw", torch.tensor(LUMA_CHROMA), signals)
    energy = (planes - planes.mean((2, 3), keepdim=True)).square().sum((1, 2, 3))
    assert products.tolist() == pytest.approx(energy.tolist(), rel=1e-5)


def test_gray_has_no_chroma_and_a_constant_nothing():
    gray = torch.rand(1, 1, 16, 16).expand(1, 3, 16, 16)
    products = band_products(torch.cat((gray, torch.full((1, 3, 16, 16), 0.7))), 4)
    assert products[0, :, 0, 0].min() > 0
    assert products[1].abs().max() < 1e-9
    assert products[..., 1].abs().max() < 1e-9
