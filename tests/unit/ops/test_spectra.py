"""Overlap of spectra: 0 for disjoint frequencies, 1 for the same, whatever the scale, sign and channels."""

import pytest
import torch

from lic_exp.ops.dct import idct2
from lic_exp.ops.spectra import energy_distribution, spectral_overlap


def map_of(coefficients, size=8, channels=2):
    """A feature map (1, C, size, size) of a single DCT coefficient per channel."""
    spectrum = torch.zeros(1, channels, size, size)
    for channel, (u, v) in enumerate(coefficients):
        spectrum[0, channel, u, v] = 1.0
    return idct2(spectrum)


def test_disjoint_and_equal_frequencies():
    coarse = map_of([(1, 0), (0, 2)], size=4)
    assert spectral_overlap(coarse, map_of([(5, 0), (0, 6)])) == pytest.approx(0, abs=1e-6)
    assert spectral_overlap(coarse, -7 * map_of([(0, 2), (1, 0)])) == pytest.approx(1, abs=1e-6)
    assert spectral_overlap(coarse, map_of([(1, 0), (0, 7)])) == pytest.approx(0.5, abs=1e-6)


def test_far_apart_is_not_disjoint():
    """The point of reporting both: z and -z are as far apart as can be, and hold the same."""
    z = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert spectral_overlap(z, -z) == pytest.approx(1, abs=1e-6)


def test_an_offset_is_no_structure():
    z = torch.randn(2, 3, 4, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(energy_distribution(z + 100), energy_distribution(z), rtol=1e-3, atol=1e-5)
    assert energy_distribution(z).sum() == pytest.approx(1, abs=1e-6)
    assert energy_distribution(torch.full((1, 2, 4, 4), 3.0)).sum() == 0
