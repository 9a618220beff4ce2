"""A latent block: the prior of one scale, its posterior, quantisation, and what it adds to the running feature."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lic_exp.models.dhic.blocks import BaseBlock
from lic_exp.models.dhic.conditioning import Gains
from lic_exp.models.dhic.convolution import Conv1x1
from lic_exp.models.dhic.likelihood import DiscreteGaussian, training_nats
from lic_exp.models.noise import Noise
from lic_exp.models.portable import narrowed
from lic_exp.ops.bounds import Bound, upper_bound
from lic_exp.ops.precision import widened

LOG_SCALE_MOST, SOFTPLUS_SHIFT = 10.0, 2.3


@dataclass(frozen=True)
class PriorMoments:
    """mean mu, and scaled by the step: mean mu~ = mu / s and standard deviation v~; each (B, Zc, h, w)."""

    mean: Tensor
    scaled_mean: Tensor
    scaled_deviation: Tensor


@dataclass(frozen=True)
class Latent:
    """One scale, each (B, Zc, h, w): z = z~ s, z~, posterior mean m, prior mean mu, and nats of every symbol."""

    z: Tensor
    scaled: Tensor
    mean: Tensor
    prior_mean: Tensor
    nats: Tensor


class LatentBlock(nn.Module):
    """f_out = f + Q z, z from the encoder's tap, from bytes, or the prior's mean.

    scale_power: p of v~ = v / s^p: 2 in the released model, 1 where v scales as mu does.
    rdoq: the option of `lic_exp.models.dhic.codec.DHIC`.
    """

    def __init__(self, width: int, channels: int, ffn_ratio: int, scale_power: int, rdoq: float) -> None:
        super().__init__()
        self.scale_power = scale_power
        self.rdoq = rdoq
        self.discrete_gaussian = DiscreteGaussian()
        self.noise = Noise()
        self.enc_resblock = BaseBlock(width, width, width, ffn_ratio)
        self.posterior = BaseBlock(2 * width, width, channels, ffn_ratio)
        self.z_proj = Conv1x1(channels, width)
        self.prior = Conv1x1(width, 2 * channels)
        self.up_bound = Bound(LOG_SCALE_MOST)

    def forward(self, f: Tensor, tap: Tensor, gains: Gains) -> tuple[Tensor, Latent]:
        """f_out and the latent.

        k = `quantised`(m~ - mu~) and its own probability in eval mode. In train mode rounding passes its gradient
        straight through, and the rate is that of m~ with uniform noise.
        """
        prior, m = self._prior(f, gains), self._posterior(f, tap, gains)
        scaled_m = m / gains.step
        shifted = scaled_m - prior.scaled_mean
        if self.training:
            k = shifted.round()
            r = scaled_m + self.noise(scaled_m)
            nats = training_nats(r, prior.scaled_mean, prior.scaled_deviation).to(m.dtype)
            k = k.detach() + (shifted - shifted.detach())
        else:
            k = self.quantised(shifted, prior.scaled_deviation)
            nats = self.discrete_gaussian.nats(k, prior.scaled_deviation)
        scaled = k + prior.scaled_mean
        z = scaled * gains.step
        return self._continue(f, z), Latent(z, scaled, m, prior.mean, nats)

    def skip(self, f: Tensor, gains: Gains) -> tuple[Tensor, None]:
        """f_out with z := mu; nothing is coded."""
        return self._continue(f, self._prior(f, gains).mean), None

    def encode(self, f: Tensor, tap: Tensor, gains: Gains) -> tuple[Tensor, list[bytes]]:
        """f_out and one string per image."""
        prior, m = self._prior(f, gains), self._posterior(f, tap, gains)
        k = self.quantised(m / gains.step - prior.scaled_mean, prior.scaled_deviation)
        strings = self.discrete_gaussian.encode(k, prior.scaled_deviation)
        return self._continue(f, (k + prior.scaled_mean) * gains.step), strings

    def quantised(self, shifted: Tensor, deviation: Tensor) -> Tensor:
        """The integers k that are coded for m~ - mu~ under N(0, v~), all (B, Zc, h, w), in the encoder alone.

        Rate-distortion optimised: k = round(shifted), or its neighbour towards 0 where that is further away by less
        than `rdoq` squared steps for each nat that it saves.
        """
        k = shifted.round()
        if not self.rdoq:
            return k
        nearer = k - k.sign()
        saved = self.discrete_gaussian.nats(k, deviation) - self.discrete_gaussian.nats(nearer, deviation)
        further = (shifted - nearer).square() - (shifted - k).square()
        return torch.where(self.rdoq * saved > further, nearer, k)

    def decode(self, f: Tensor, strings: list[bytes], gains: Gains) -> tuple[Tensor, None]:
        """f_out from what `encode` wrote."""
        prior = self._prior(f, gains)
        k = self.discrete_gaussian.decode(strings, prior.scaled_deviation)
        return self._continue(f, (k + prior.scaled_mean) * gains.step), None

    def _prior(self, f: Tensor, gains: Gains) -> PriorMoments:
        mean, a = widened(self.prior(f * gains.entropy)).chunk(2, 1)
        log_deviation = F.softplus(a + SOFTPLUS_SHIFT) - SOFTPLUS_SHIFT
        deviation = upper_bound(log_deviation, self.up_bound.bound).exp()
        return PriorMoments(mean, mean / gains.step, deviation / gains.step**self.scale_power)

    def _posterior(self, f: Tensor, tap: Tensor, gains: Gains) -> Tensor:
        own = self.enc_resblock(tap * gains.encoder)
        return widened(self.posterior(torch.cat((narrowed(f, own), own), 1)))

    def _continue(self, f: Tensor, z: Tensor) -> Tensor:
        f_out: Tensor = f + self.z_proj(z)
        return f_out
