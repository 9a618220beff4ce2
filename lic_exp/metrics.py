"""Distortion and rate, each with its unit. Images are (B, 3, H, W) in [0, 1]; results are one value per image, (B,)."""

from collections.abc import Mapping

import pytorch_msssim
import torch
from torch import Tensor

MIN_MS_SSIM_SIDE = 161
"""Smallest image side of MS-SSIM [pixels]: four halvings must leave more than an 11-pixel window's 10."""

MAX_MS_SSIM_DB = 60.0
"""Ceiling of `ms_ssim_db` [dB]. 1 - MS-SSIM below 1e-6 is rounding noise of float32."""


def to_8bit(x: Tensor) -> Tensor:
    """The picture that a file would hold: x clamped to [0, 1] and rounded to multiples of 1/255, same shape."""
    return (x.clamp(0, 1) * 255).round() / 255


def mse(x_hat: Tensor, x: Tensor) -> Tensor:
    """Mean squared error (B,) on the scale [0, 1]; neither clamped nor rounded, so that it has a gradient."""
    _check_same_shape(x_hat, x)
    return (x_hat - x).square().flatten(1).mean(1)


def psnr_from_mse(mse: Tensor) -> Tensor:
    """PSNR [dB] of a mean squared error on the scale [0, 1], -10 log10(mse), same shape; +inf where it is 0.

    For the training curve: without the rounding to 8 bits it differs from `psnr` by some hundredths of a dB.
    """
    return -10 * mse.log10()


def psnr(x_hat: Tensor, x: Tensor) -> Tensor:
    """PSNR (B,) [dB] over all RGB samples of the 8-bit pictures, 10 log10(255^2 / MSE); +inf for equal pictures.

    Both are clamped to [0, 1] and rounded to 255 levels first, as a file of the reconstruction would be.
    """
    return psnr_from_mse(mse(to_8bit(x_hat), to_8bit(x)))


def ms_ssim(x_hat: Tensor, x: Tensor) -> Tensor:
    """MS-SSIM (B,) in [0, 1], mean over R, G and B, of both images clamped to [0, 1] (Wang et al., 2003).

    Five scales, Gaussian window of 11 pixels and sigma 1.5. Raises ValueError below `MIN_MS_SSIM_SIDE`.
    """
    _check_same_shape(x_hat, x)
    height, width = x.shape[-2:]
    if min(height, width) < MIN_MS_SSIM_SIDE:
        raise ValueError(
            f"MS-SSIM needs images of at least {MIN_MS_SSIM_SIDE} x {MIN_MS_SSIM_SIDE} pixels, got {width} x {height}"
        )
    value: Tensor = pytorch_msssim.ms_ssim(x_hat.clamp(0, 1), x.clamp(0, 1), data_range=1.0, size_average=False)
    return value


def ms_ssim_db(value: Tensor) -> Tensor:
    """MS-SSIM as -10 log10(1 - value) [dB], same shape; at most `MAX_MS_SSIM_DB`, also for equal images."""
    return -10 * (1 - value).clamp(min=10 ** (-MAX_MS_SSIM_DB / 10)).log10()


def bits_per_pixel(bits: Mapping[str, Tensor], pixels: int) -> Tensor:
    """Estimated rate (B,) [bits per pixel]: each image's `CodecOutput.bits`, summed, over `pixels`.

    pixels: height times width of the original image, before any padding.
    """
    if not bits:
        raise ValueError("no bits given: the codec reports no latent in CodecOutput.bits")
    return torch.stack([latent.flatten(1).sum(1) for latent in bits.values()]).sum(0) / pixels


def _check_same_shape(x_hat: Tensor, x: Tensor) -> None:
    # Broadcasting would compare an image with a differently sized one without a word.
    if x_hat.shape != x.shape:
        raise ValueError(f"x_hat {tuple(x_hat.shape)} and x {tuple(x.shape)} differ in shape")
