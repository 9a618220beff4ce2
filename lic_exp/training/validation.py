"""`val/rd_loss` and its parts: the only numbers that checkpoints, plateau schedules and speed-ups may use."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from lic_exp import metrics
from lic_exp.models.base import Codec
from lic_exp.ops.precision import exact_float32
from lic_exp.tracking import names
from lic_exp.training.criterion import RateDistortion


class Validation:
    """Measures a codec on a fixed list of (name, image (1, 3, H, W) in [0, 1]).

    Eval mode (rounded latents), full spectrum, float32 without autocast or TF32, x_hat clamped to [0, 1], estimated
    bits over the original pixels. rd_loss = R + lmbda D per image; every number is the mean over the images.
    MS-SSIM is left out unless every image is large enough for it.
    """

    def __init__(self, criterion: RateDistortion, images: Sequence[tuple[str, Tensor]], device: torch.device) -> None:
        self.criterion = criterion
        self.images = images
        self.device = device

    def __call__(self, codec: Codec) -> dict[str, float]:
        was_training = codec.training
        codec.eval()
        try:
            with torch.no_grad(), exact_float32():
                rows = [self._measure(codec, image.to(self.device)) for _, image in self.images]
        finally:
            codec.train(was_training)
        shared = set.intersection(*(set(row) for row in rows))
        return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0] if name in shared}

    def _measure(self, codec: Codec, x: Tensor) -> dict[str, float]:
        height, width = x.shape[-2:]
        output = codec.forward(codec.pad(x))  # not through a compiled call: images differ in size
        x_hat = output.x_hat[..., :height, :width].clamp(0, 1)
        bpp = float(metrics.bits_per_pixel(output.bits, height * width))
        mse = float(metrics.mse(x_hat, x))
        row = {
            names.VAL_BPP_LOSS: bpp,
            names.VAL_MSE_LOSS: mse,
            names.VAL_PSNR: float(metrics.psnr(x_hat, x)),
        }
        if min(height, width) >= metrics.MIN_MS_SSIM_SIDE:
            similarity = metrics.ms_ssim(x_hat, x)
            row[names.VAL_MS_SSIM] = float(similarity)
            row[names.VAL_MS_SSIM_DB] = float(metrics.ms_ssim_db(similarity))
        rd_loss = self.criterion.rd_loss(bpp=bpp, mse=mse, ms_ssim=row.get(names.VAL_MS_SSIM, math.nan))
        return {names.VAL_RD_LOSS: rd_loss} | row
