import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from skimage.transform import downscale_local_mean

from lic_exp import metrics


def pair(height: int, width: int, noise: float = 0.1, batch: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    x = torch.rand(batch, 3, height, width, generator=generator)
    return x + noise * torch.randn(x.shape, generator=generator), x


def as_uint8(image: torch.Tensor) -> np.ndarray:
    levels: np.ndarray = np.round(255 * np.clip(image.permute(1, 2, 0).numpy(), 0, 1))
    return levels.astype(np.uint8)


def test_psnr_is_that_of_the_8bit_pictures() -> None:
    x_hat, x = pair(20, 31)
    expected = [peak_signal_noise_ratio(as_uint8(b), as_uint8(a)) for a, b in zip(x_hat, x, strict=True)]
    torch.testing.assert_close(
        metrics.psnr(x_hat, x), torch.tensor(expected, dtype=torch.float32), rtol=1e-5, atol=1e-4
    )


def test_psnr_does_not_see_what_eight_bits_cannot_hold() -> None:
    x = torch.tensor([0.0, 100 / 255, 1.0]).view(1, 3, 1, 1)
    x_hat = x + torch.tensor([-0.3, 0.4 / 255, 0.2]).view(1, 3, 1, 1)
    assert metrics.psnr(x_hat, x).item() == math.inf
    one_level = x + torch.tensor([0, 0.6 / 255, 0]).view(1, 3, 1, 1)
    assert metrics.psnr(one_level, x).item() == pytest.approx(10 * math.log10(255**2 * 3), abs=1e-3)


def test_mse_is_per_image_and_has_a_gradient_outside_the_range() -> None:
    x_hat, x = pair(4, 5)
    x_hat = (x_hat + 2).requires_grad_()
    values = metrics.mse(x_hat, x)
    expected = ((x_hat - x).detach().numpy().astype(np.float64) ** 2).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(values.detach().numpy(), expected, rtol=1e-5)
    values[0].backward()
    assert x_hat.grad is not None
    assert (x_hat.grad[0] != 0).all()
    assert (x_hat.grad[1] == 0).all()


def test_psnr_from_mse_at_a_known_error() -> None:
    torch.testing.assert_close(metrics.psnr_from_mse(torch.tensor([1e-3, 1.0])), torch.tensor([30.0, 0.0]))


def ms_ssim_by_definition(x_hat: np.ndarray, x: np.ndarray) -> float:
    """Product over scales of the mean contrast-structure, and of SSIM at the coarsest, for one channel."""
    window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    weights, value = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333), 1.0
    for scale, weight in enumerate(weights):
        # A huge K1 turns SSIM's luminance term into 1 and leaves contrast and structure.
        k1 = 0.01 if scale == 4 else 1e6
        _, ssim_map = structural_similarity(x_hat, x, K1=k1, K2=0.03, full=True, **window)
        value *= ssim_map[5:-5, 5:-5].mean() ** weight
        x_hat, x = downscale_local_mean(x_hat, 2), downscale_local_mean(x, 2)
    return float(value)


def test_ms_ssim_follows_its_definition() -> None:
    x_hat, x = pair(192, 176)
    clamped = x_hat.clamp(0, 1).double().numpy()
    expected = [
        np.mean([ms_ssim_by_definition(a[c], b[c]) for c in range(3)])
        for a, b in zip(clamped, x.double().numpy(), strict=True)
    ]
    np.testing.assert_allclose(metrics.ms_ssim(x_hat, x).numpy(), expected, atol=1e-5)


def test_ms_ssim_works_at_the_smallest_side_and_explains_itself_below() -> None:
    x = torch.rand(1, 3, metrics.MIN_MS_SSIM_SIDE, 170)
    assert metrics.ms_ssim(x, x).item() == pytest.approx(1.0)
    with pytest.raises(ValueError, match="at least 161 x 161 pixels, got 170 x 160"):
        metrics.ms_ssim(x[..., :160, :], x[..., :160, :])


def test_ms_ssim_db_is_finite_for_equal_pictures() -> None:
    values = metrics.ms_ssim_db(torch.tensor([0.0, 0.9, 0.99, 1.0]))
    torch.testing.assert_close(values, torch.tensor([0.0, 10.0, 20.0, metrics.MAX_MS_SSIM_DB]), atol=1e-4, rtol=0)


@pytest.mark.parametrize("metric", [metrics.mse, metrics.psnr, metrics.ms_ssim])
def test_images_of_other_sizes_are_not_broadcast(metric: Callable[..., torch.Tensor]) -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        metric(torch.zeros(1, 3, 170, 1), torch.zeros(1, 3, 170, 170))


def test_bits_per_pixel_sums_latents_per_image_over_original_pixels() -> None:
    bits = {"y": torch.full((2, 4, 3, 3), 0.5), "z": torch.tensor([2.0, 4.0]).view(2, 1, 1, 1)}
    torch.testing.assert_close(metrics.bits_per_pixel(bits, pixels=40), torch.tensor([20 / 40, 22 / 40]))
    with pytest.raises(ValueError, match="no latent"):
        metrics.bits_per_pixel({}, pixels=40)
