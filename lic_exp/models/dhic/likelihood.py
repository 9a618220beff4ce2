"""Probabilities of quantised values under Gaussians, in nats, and their coding to bytes.

Both cumulative distributions are 0.5 (1 + erf(.)), as the released model has them: in float32 erfc differs in the tail.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lic_exp.models.compressai_coding import Tables, check_moments, decode, encode, gaussian_tables
from lic_exp.models.near_lines import log_scales
from lic_exp.models.portable import near_lines
from lic_exp.ops.bounds import Bound, lower_bound

SCALE_FLOOR, PROBABILITY_FLOOR = 0.11, 1e-9
SCALES, SMALLEST_SCALE, LARGEST_SCALE, TAIL_MASS = 64, 0.11, 20.0, 1e-9
DENSITY_BELOW, SMALLEST_LOGARITHM = 1e-6, 1e-8
TABLES = ("_offset", "_quantized_cdf", "_cdf_length")


def training_nats(r: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """-ln of N(mean, scale)'s mass in [r - 1/2, r + 1/2], in float32, or -ln of its density at r where that is tiny.

    A mass below 1e-6 loses its digits and then its gradient in float32, the density's logarithm does not. The
    logarithm and erf go through float64: float32 ones bias the rate by some 1e-9, which differs between processors.
    """
    r, mean, scale = r.float(), mean.float(), scale.float()
    mass = _cdf(r + 0.5, mean, scale) - _cdf(r - 0.5, mean, scale)
    log_density = -((r - mean) ** 2) / (2 * scale**2) - scale.log() - math.log(math.sqrt(2 * math.pi))
    log_mass = mass.clamp(min=SMALLEST_LOGARITHM).double().log().float()
    return -torch.where(mass > DENSITY_BELOW, log_mass, log_density)


def _cdf(value: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    erf: Tensor = _Erf.apply((value - mean) * scale.reciprocal() / math.sqrt(2))
    return 0.5 * (1 + erf)


class _Erf(torch.autograd.Function):
    """erf and the exponential in its derivative, each rounded once to the dtype of x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.erf(x.double()).to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (x,), (gradient,) = ctx.saved_tensors, gradients
        density = torch.exp(-x.square().double()).to(x.dtype)
        return 2 / math.sqrt(math.pi) * density * gradient


class DiscreteGaussian(nn.Module):
    """Integers k under N(0, scale): their probability when evaluating, and their coding by a table of 64 scales.

    The tables depend on nothing that is learned. They are in the state dict because the released one has them, and
    whatever a file holds for them is passed over.
    """

    _offset: Tensor
    _quantized_cdf: Tensor
    _cdf_length: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in TABLES:
            self.register_buffer(name, torch.zeros(0, dtype=torch.int32))
        self.register_load_state_dict_pre_hook(_pass_over_tables)
        self.likelihood_lower_bound = Bound(PROBABILITY_FLOOR)
        self.lower_bound_scale = Bound(SCALE_FLOOR)

    def nats(self, k: Tensor, scale: Tensor) -> Tensor:
        """-ln P(k), P bounded below by 1e-9 and the scale by 0.11; in the dtype of k."""
        scale, t = lower_bound(scale, self.lower_bound_scale.bound), k.abs()
        zero, one = torch.zeros_like(t), torch.ones_like(t)
        mass = _cdf((0.5 - t) / scale, zero, one) - _cdf((-0.5 - t) / scale, zero, one)
        return -lower_bound(mass, self.likelihood_lower_bound.bound).log()

    def update(self) -> None:
        """Make the tables."""
        tables = gaussian_tables(_scale_table().tolist(), TAIL_MASS)
        cdf, lengths, offsets = (table.to(self._offset.device) for table in tables)
        self._quantized_cdf, self._cdf_length, self._offset = cdf, lengths, offsets

    def encode(self, k: Tensor, scale: Tensor) -> list[bytes]:
        """One string per image of k (B, C, h, w)."""
        return [encode(*image, self._tables()) for image in zip(k, self._indexes(scale), strict=True)]

    def decode(self, strings: list[bytes], scale: Tensor) -> Tensor:
        """The k that `encode` was given, in the dtype of the scale (B, C, h, w)."""
        k = torch.empty_like(scale)
        for own, string, indexes in zip(k, strings, self._indexes(scale), strict=True):
            own.copy_(decode(string, indexes, self._tables()))
        return k

    def _indexes(self, scale: Tensor) -> Tensor:
        """The smallest scale of the table that is no smaller, or its last. Raises CodingError for one not finite."""
        check_moments(scale, "scales")
        lists = near_lines()
        if lists is not None:
            return lists.rows(scale, log_scales(SMALLEST_SCALE, LARGEST_SCALE, SCALES)[:-1], self)
        return torch.bucketize(scale.contiguous(), _scale_table()[:-1].to(scale))

    def _tables(self) -> Tables:
        if self._offset.numel() == 0:
            raise ValueError("there are no coding tables yet: call the codec's update() first")
        return Tables(self._quantized_cdf, self._cdf_length, self._offset)


def _pass_over_tables(model: DiscreteGaussian, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
    state_dict.update({f"{prefix}{name}": getattr(model, name) for name in TABLES})


def _scale_table() -> Tensor:
    ends = math.log(SMALLEST_SCALE), math.log(LARGEST_SCALE)
    return torch.linspace(*ends, SCALES, device="cpu").exp()
