"""`val/rd_loss` and its parts: the only numbers that checkpoints, plateau schedules and speed-ups may use."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from lic_exp import metrics
from lic_exp.models.base import Codec
from lic_exp.ops.precision import exact_float32, uncompiled
from lic_exp.ops.ranks import gathered, is_first, rank, said_by_first, world
from lic_exp.tracking import names
from lic_exp.training.coding_gap import coding_gap, has_quantiles
from lic_exp.training.criterion import RateDistortion
from lic_exp.training.objective import Criterion
from lic_exp.training.variable_rate import VariableRate

BY_RATE = (names.VAL_RD_LOSS, names.VAL_BPP_LOSS, names.VAL_PSNR)
"""What is also told of each rate, where there are several."""


WATCHED = 256
"""The side of what is encoded in validation [pixels]."""


class Validation:
    """Measures a codec on a fixed list of (name, image (1, 3, H, W) in [0, 1]).

    Eval mode (rounded latents), full spectrum, float32 without autocast or TF32, x_hat clamped to [0, 1], estimated
    bits over the original pixels, in all and of each latent. rd_loss = R + lmbda D per image; every number is the mean
    over the images. MS-SSIM is left out unless every image is large enough for it. Of several ranks each measures its
    share of the images, every one once, and all give the same numbers. Of a codec with quantiles the middle of the
    first image is encoded besides, to see whether the estimated bits are the real ones (`lic_exp.training.coding_gap`).

    Of a variable-rate codec so at each of the criterion's validation rates: rd_loss is then the geometric mean of the
    rates' values, since they span orders of magnitude, and every other number their arithmetic mean. BY_RATE are told
    of each rate too, as `lic_exp.tracking.names.at_quality` has it.
    """

    def __init__(self, criterion: Criterion, images: Sequence[tuple[str, Tensor]], device: torch.device) -> None:
        self.criterion = criterion
        self.images = images
        self.device = device

    def __call__(self, codec: Codec) -> dict[str, float]:
        was_training = codec.training
        codec.eval()
        try:
            with torch.no_grad(), exact_float32(), uncompiled():
                if isinstance(self.criterion, VariableRate):
                    return self._over_rates(codec, self.criterion)
                return self._over_images(codec, self.criterion) | self._gap(codec)
        finally:
            codec.train(was_training)

    def _over_rates(self, codec: Codec, criterion: VariableRate) -> dict[str, float]:
        rates = criterion.range_of(codec).spaced(criterion.validation_rates)
        found = {rate: self._over_images(codec, criterion.at(rate.lmbda), quality=rate.quality) for rate in rates}
        first, *_ = found.values()
        means = {name: sum(metrics[name] for metrics in found.values()) / len(rates) for name in first}
        means |= self._gap(codec, quality=rates[0].quality)
        means[names.VAL_RD_LOSS] = geometric_mean([metrics[names.VAL_RD_LOSS] for metrics in found.values()])
        return means | {
            names.at_quality(name, rate.quality): metrics[name] for name in BY_RATE for rate, metrics in found.items()
        }

    def _over_images(self, codec: Codec, criterion: RateDistortion, **at: float) -> dict[str, float]:
        """at: the quality, of a variable-rate codec."""
        own = {
            place: self._measure(codec, criterion, self.images[place][1].to(self.device), **at)
            for place in range(rank(), len(self.images), world())
        }
        found = {place: row for rows in gathered(own) for place, row in rows.items()}
        rows = [found[place] for place in range(len(self.images))]
        shared = set.intersection(*(set(row) for row in rows))
        return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0] if name in shared}

    def _gap(self, codec: Codec, **at: float) -> dict[str, float]:
        """Of the middle of the first image, which is the first rank's; nothing of codecs without quantiles."""
        if not has_quantiles(codec):
            return {}
        gap = said_by_first(coding_gap(codec, codec.pad(self._watched()), **at) if is_first() else None)
        return {} if gap is None else {names.VAL_CODING_GAP: gap}

    def _watched(self) -> Tensor:
        """What is really coded: WATCHED x WATCHED pixels at most, since some codecs visit them one by one."""
        image = self.images[0][1]
        top, left = (max(side - WATCHED, 0) // 2 for side in image.shape[-2:])
        return image[..., top : top + WATCHED, left : left + WATCHED].to(self.device)

    def _measure(self, codec: Codec, criterion: RateDistortion, x: Tensor, **at: float) -> dict[str, float]:
        height, width = x.shape[-2:]
        output = codec.forward(codec.pad(x), **at)  # not through a compiled call: images differ in size
        x_hat = codec.crop(output.x_hat, height, width).clamp(0, 1)
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
        for name, bits in output.bits.items():
            row[names.val_latent_bpp(name)] = float(bits.double().sum()) / (height * width)
        rd_loss = criterion.rd_loss(bpp=bpp, mse=mse, ms_ssim=row.get(names.VAL_MS_SSIM, math.nan))
        return {names.VAL_RD_LOSS: rd_loss} | row


def geometric_mean(values: Sequence[float]) -> float:
    """By logarithms; 0 where a value is 0."""
    return float(torch.tensor(values, dtype=torch.float64).log().mean().exp())
