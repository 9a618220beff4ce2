"""Images at another size: against Pillow, scipy's DCT, and what must come back."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import fft

from lic_exp.ops.resampling import resample, resampling_matrix

CPU = torch.device("cpu")
METHODS = ("dct", "area", "lanczos")


def photo(height: int, width: int) -> torch.Tensor:
    return torch.rand(3, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("height", "width"), [(20, 31), (16, 16), (64, 90), (1, 1)])
def test_dct_is_scipy_s_lowest_coefficients(height, width):
    x = photo(37, 53)
    spectrum = fft.dctn(x.numpy(), axes=(1, 2), norm="ortho")
    kept = np.zeros((3, height, width))
    rows, columns = min(height, 37), min(width, 53)
    kept[:, :rows, :columns] = spectrum[:, :rows, :columns]
    expected = fft.idctn(kept, axes=(1, 2), norm="ortho") * np.sqrt(height * width / (37 * 53))
    assert resample(x, (height, width), "dct").numpy() == pytest.approx(expected, abs=1e-12)


def test_an_image_with_nothing_above_the_band_comes_back_and_is_the_small_one_resampled():
    small = photo(24, 16)
    large = resample(small, (64, 48), "dct")
    assert (resample(large, (24, 16), "dct") - small).abs().max() < 1e-13
    assert (resample(resample(large, (24, 16), "dct"), (64, 48), "dct") - large).abs().max() < 1e-13


@pytest.mark.parametrize(("method", "filter_"), [("lanczos", Image.Resampling.LANCZOS), ("area", Image.Resampling.BOX)])
@pytest.mark.parametrize(("height", "width"), [(32, 16), (16, 48)])
def test_lanczos_and_whole_areas_are_pillow_s(method, filter_, height, width):
    x = photo(64, 96)
    expected = [
        np.asarray(Image.fromarray(plane.float().numpy(), mode="F").resize((width, height), filter_)) for plane in x
    ]
    assert resample(x, (height, width), method).numpy() == pytest.approx(np.stack(expected), abs=2e-7)


def test_lanczos_is_pillow_s_at_any_ratio_and_upwards():
    x = photo(37, 53)
    for size in ((20, 31), (60, 90)):
        planes = [Image.fromarray(plane.float().numpy(), mode="F") for plane in x]
        expected = np.stack([np.asarray(plane.resize(size[::-1], Image.Resampling.LANCZOS)) for plane in planes])
        assert resample(x, size, "lanczos").numpy() == pytest.approx(expected, abs=5e-7)


def test_a_pixel_on_a_border_counts_in_proportion():
    found = resample(torch.tensor([[[1.0, 2.0, 6.0]]], dtype=torch.float64), (1, 2), "area")
    assert found.flatten().tolist() == pytest.approx([(1 + 2 / 2) / 1.5, (2 / 2 + 6) / 1.5])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("samples", "wanted"), [(128, 64), (53, 31), (31, 53), (7, 1)])
def test_a_constant_stays_what_it_is(method, samples, wanted):
    matrix = resampling_matrix(samples, wanted, method, torch.float64, CPU)
    assert matrix.shape == (wanted, samples)
    assert (matrix.sum(1) - 1).abs().max() < 1e-13


@pytest.mark.parametrize("method", METHODS)
def test_the_same_size_is_the_same_tensor_and_dtypes_stay(method):
    x = torch.rand(2, 3, 16, 16)
    assert resample(x, (16, 16), method) is x
    for dtype in (torch.bfloat16, torch.float32, torch.float64):
        assert resample(x.to(dtype), (8, 8), method).dtype == dtype
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(resample(x, (8, 8), method), resample(x.clone(), (8, 8), method))
        inside = resample(x, (8, 8), method)
    assert torch.equal(inside, resample(x, (8, 8), method))


def test_what_cannot_be_resampled_is_refused():
    with pytest.raises(TypeError, match=r"not torch\.uint8; scale images"):
        resample(torch.zeros(3, 8, 8, dtype=torch.uint8), (4, 4), "dct")
    with pytest.raises(ValueError, match="from 8 to 0 samples"):
        resample(torch.zeros(3, 8, 8), (0, 4), "dct")
    with pytest.raises(ValueError, match="method is 'cubic', but must be one of dct, area, lanczos"):
        resample(torch.zeros(3, 8, 8), (4, 4), "cubic")  # type: ignore[arg-type]
