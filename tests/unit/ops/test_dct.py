"""The DCT against scipy, and the truncation against its dense definition."""

import math

import numpy as np
import pytest
import scipy.fft
import torch
from torch import Tensor

from lic_exp.ops import dct

SIZES = [(16, 16), (12, 20), (20, 12), (7, 13), (1, 5), (33, 32)]
SHARP = {torch.float32: 1e-5, torch.float64: 1e-12}


def noise(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(*shape, dtype=dtype, generator=torch.Generator().manual_seed(0))


def dense_truncation(x: Tensor, tau: float, mask: dct.MaskShape) -> Tensor:
    """Eq. 3-5 by four full products in float64."""
    height, width = x.shape[-2:]
    rows, columns = (dct.dct_matrix(n, torch.float64, torch.device("cpu")) for n in (height, width))
    spectrum = rows @ x.double() @ columns.T
    return rows.T @ (spectrum * dct.frequency_mask(height, width, tau, mask)) @ columns


@pytest.mark.parametrize("size", [*SIZES, (256, 256)])
@pytest.mark.parametrize("dtype", SHARP)
def test_transforms_agree_with_scipy(size, dtype):
    x = noise(2, 3, *size, dtype=dtype)
    forward = scipy.fft.dctn(x.numpy(), axes=(-2, -1), norm="ortho")
    backward = scipy.fft.idctn(x.numpy(), axes=(-2, -1), norm="ortho")
    assert np.abs(dct.dct2(x).numpy() - forward).max() < SHARP[dtype] * max(1, np.abs(forward).max())
    assert np.abs(dct.idct2(x).numpy() - backward).max() < SHARP[dtype] * max(1, np.abs(backward).max())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", SHARP)
def test_inverse_and_parseval(size, dtype):
    x = noise(2, 3, *size, dtype=dtype)
    X = dct.dct2(x)
    torch.testing.assert_close(dct.idct2(X), x, rtol=0, atol=SHARP[dtype])
    torch.testing.assert_close(X.square().sum(), x.square().sum(), rtol=SHARP[dtype], atol=0)


@pytest.mark.parametrize("tau", [0.05, 0.3, 1 / 3, 1.0])
def test_soft_mask_is_equation_4_at_every_coefficient(tau):
    mask = dct.frequency_mask(9, 14, tau, "soft")
    for u in range(9):
        for v in range(14):
            rho = math.sqrt((u / 9) ** 2 + (v / 14) ** 2)
            assert mask[u, v].item() == pytest.approx(max(0.0, (tau - rho) / tau), abs=1e-15)


def test_hard_mask_is_strict():
    mask = dct.frequency_mask(4, 4, 0.5, "hard")
    assert mask[1, 1] == 1
    assert mask[2, 0] == 0, "rho is exactly tau there"
    assert set(mask.unique().tolist()) == {0.0, 1.0}


def test_soft_mask_at_tau_one_is_not_the_identity_but_an_infinite_cutoff_is():
    assert dct.frequency_mask(8, 8, 1.0, "soft")[4, 0] == 0.5
    assert (dct.frequency_mask(8, 8, math.inf, "soft") == 1).all()


@pytest.mark.parametrize("size", [*SIZES, (48, 32), (32, 48)])
@pytest.mark.parametrize("tau", [0.01, 0.05, 0.25, 0.3, 1.0, 1.2, 3.0])
@pytest.mark.parametrize("mask", ["soft", "hard"])
@pytest.mark.parametrize("dtype", SHARP)
def test_truncate_equals_the_dense_computation(size, tau, mask, dtype):
    x = noise(2, 3, *size, dtype=dtype)
    out = dct.truncate(x, tau, mask)
    assert out.dtype == dtype
    torch.testing.assert_close(out.double(), dense_truncation(x, tau, mask), rtol=0, atol=SHARP[dtype])


@pytest.mark.parametrize("size", range(1, 120))
def test_no_kept_coefficient_is_dropped_at_a_boundary(size):
    """Just above k / size the hard mask keeps k, although tau * size may round to k."""
    for k in range(size):
        tau = math.nextafter(k / size, 1)
        kept = dct._kept(torch.Size((size, 1)), tau, "hard", torch.float64, torch.device("cpu"))
        assert kept.mask.shape[0] == int(dct.frequency_mask(size, 1, tau, "hard").sum())


def test_only_kept_rows_and_columns_take_part():
    kept = dct._kept(torch.Size((40, 100)), 0.05, "soft", torch.float32, torch.device("cpu"))
    assert [tuple(part.shape) for part in kept] == [(2, 40), (5, 100), (2, 5)]


def test_channels_and_images_are_independent():
    x = noise(2, 3, 16, 16)
    alone = dct.truncate(x[1, 2], 0.3, "soft")
    torch.testing.assert_close(dct.truncate(x, 0.3, "soft")[1, 2], alone)


def test_non_contiguous_input():
    x = noise(2, 16, 20, 3).permute(0, 3, 1, 2)
    torch.testing.assert_close(dct.truncate(x, 0.3, "soft"), dct.truncate(x.contiguous(), 0.3, "soft"))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_input_is_computed_in_float32(dtype):
    x = noise(2, 3, 64, 64).to(dtype)
    out = dct.truncate(x, 0.3, "soft")
    assert out.dtype == dtype
    assert torch.equal(out, dct.truncate(x.float(), 0.3, "soft").to(dtype))


@pytest.mark.parametrize("operation", [dct.dct2, dct.idct2, lambda x: dct.truncate(x, 0.3, "soft")])
def test_autocast_changes_nothing(operation):
    x = noise(2, 3, 64, 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (x @ x).dtype == torch.bfloat16, "autocast is on"
        under_autocast = operation(x)
    assert under_autocast.dtype == torch.float32
    assert torch.equal(under_autocast, operation(x))


@pytest.mark.parametrize("size", [(5, 4), (4, 5)])
@pytest.mark.parametrize("mask", ["soft", "hard"])
def test_gradients(size, mask):
    x = noise(1, 2, *size, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda t: dct.truncate(t, 0.6, mask), x)
    assert torch.autograd.gradgradcheck(lambda t: dct.truncate(t, 0.6, mask), x)


def test_truncation_is_its_own_adjoint():
    """P^T M P is symmetric, so the gradient of <truncate(x), g> is truncate(g)."""
    x, g = noise(1, 3, 12, 10).requires_grad_(), torch.randn(1, 3, 12, 10)
    (dct.truncate(x, 0.4, "soft") * g).sum().backward()
    torch.testing.assert_close(x.grad, dct.truncate(g, 0.4, "soft"), rtol=0, atol=1e-6)


def test_first_use_in_inference_mode_does_not_spoil_later_training():
    with torch.inference_mode():
        dct.truncate(noise(1, 1, 37, 41), 0.37, "soft")
        dct.dct2(noise(1, 1, 37, 41))
    x = noise(1, 1, 37, 41).requires_grad_()
    (dct.truncate(x, 0.37, "soft") + dct.dct2(x)).sum().backward()
    assert x.grad is not None


def test_matrices_are_shared_and_orthonormal():
    first = dct.dct_matrix(31, torch.float64, torch.device("cpu"))
    assert dct.dct_matrix(31, torch.float64, torch.device("cpu")) is first
    torch.testing.assert_close(first @ first.T, torch.eye(31, dtype=torch.float64), rtol=0, atol=1e-13)


def test_default_device_does_not_reach_the_caches():
    """A model built on the meta device must not leave an empty matrix behind."""
    with torch.device("meta"):
        matrix = dct.dct_matrix(43, torch.float32, torch.device("cpu"))
        out = dct.truncate(torch.rand(1, 1, 43, 5, device="cpu"), 0.43, "soft")
    assert matrix.device.type == out.device.type == "cpu"


def test_truncation_is_not_clamped():
    step = torch.zeros(1, 1, 64, 64)
    step[..., 32:] = 1
    out = dct.truncate(step, 0.3, "hard")
    assert out.min() < 0
    assert out.max() > 1


@pytest.mark.parametrize("tau", [0.0, -0.1, float("nan")])
def test_cutoff_must_be_positive(tau):
    with pytest.raises(ValueError, match=r"tau is .* must be above 0"):
        dct.truncate(noise(1, 1, 8, 8), tau, "soft")


def test_unknown_mask_names_the_choices():
    with pytest.raises(ValueError, match="mask is 'round', but must be one of soft, hard"):
        dct.truncate(noise(1, 1, 8, 8), 0.3, "round")


def test_integer_images_are_refused():
    with pytest.raises(TypeError, match=r"floating-point tensor, not torch.uint8"):
        dct.truncate(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), 0.3, "soft")
