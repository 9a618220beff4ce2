"""Which quality of a variable-rate codec meets a bpp or a PSNR."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Literal

import torch
from torch import Tensor

from lic_exp.evaluation.evaluator import as_deployed, at, code
from lic_exp.evaluation.rates import DIGITS, RateRange
from lic_exp.metrics import bits_per_pixel, psnr
from lic_exp.models.base import Codec

Measure = Literal["bpp", "psnr"]

TOLERANCE_BPP = 0.005
"""Relative: a file may be half a percent larger or smaller than asked for."""

TOLERANCE_PSNR = 0.01
"""[dB]"""

FIRST_STEP = 1 / 128
"""Share of the range by which the search on real bits leaves the quality that the estimates gave; it doubles."""

FINEST = 1e-5
"""Share of the range below which qualities are not told apart: the measure jumps there, past the target."""


class OutOfReachError(ValueError):
    """No quality meets the target; says what the codec's range reaches."""


@dataclass(frozen=True)
class Target:
    """A mean over images to be met: bpp of real bitstreams, or PSNR [dB]."""

    measure: Measure
    value: float

    def miss(self, value: float) -> float:
        """How far above the target a value is, in tolerances."""
        if self.measure == "bpp":
            return (value / self.value - 1) / TOLERANCE_BPP
        return (value - self.value) / TOLERANCE_PSNR


@dataclass(frozen=True)
class Found:
    """quality: the one sought. reached: the target's measure there. met: within the tolerance."""

    target: Target
    quality: float
    reached: float
    met: bool


def search(
    codec: Codec,
    images: Iterable[tuple[str, Tensor]],
    target: Target,
    range_of_rates: RateRange,
    device: torch.device,
) -> Found:
    """The quality at which the mean over `images` (name, x (1, 3, H, W) in [0, 1]) meets the target.

    images must be iterable again and again. Raises OutOfReachError.
    """
    with as_deployed(codec, device):

        def mean(one: Callable[[Tensor, float], dict[Measure, float]], quality: float) -> float:
            values = [one(x.to(device, torch.float32), quality)[target.measure] for _, x in images]
            return sum(values) / len(values)

        def estimated(x: Tensor, quality: float) -> dict[Measure, float]:
            output = codec(codec.pad(x), **at(range_of_rates.at(quality)))
            height, width = x.shape[-2:]
            bpp = bits_per_pixel(output.bits, height * width).item()
            return {"bpp": bpp, "psnr": psnr(codec.crop(output.x_hat, height, width), x).item()}

        def real(x: Tensor, quality: float) -> dict[Measure, float]:
            coded = code(codec, x, range_of_rates.at(quality))
            return {"bpp": coded.bits / (x.shape[-2] * x.shape[-1]), "psnr": psnr(coded.x_hat, x).item()}

        return find_quality(
            target, lambda q: mean(estimated, q), lambda q: mean(real, q), max_quality=range_of_rates.max_quality
        )


def find_quality(
    target: Target, estimated: Callable[[float], float], real: Callable[[float], float], *, max_quality: float
) -> Found:
    """Bisect on the estimate, which is cheap; then on the real value, from there on.

    estimated, real: the target's measure at a quality; taken to rise with it. Raises OutOfReachError.
    """
    values = cache(real)

    def real_miss(quality: float) -> float:
        return target.miss(values(quality))

    rough = _bisect(lambda quality: target.miss(estimated(quality)), 0.0, max_quality, max_quality)
    quality = rough if abs(real_miss(rough)) <= 1 else _bisect(real_miss, *_bracket(real_miss, rough, max_quality))
    if abs(real_miss(quality)) > 1 and quality in (0.0, max_quality):
        low, high = values(0.0), values(max_quality)
        unit = "bpp" if target.measure == "bpp" else "dB"
        raise OutOfReachError(
            f"{target.value:g} {unit} is out of reach: on these images quality 0 gives {low:.4f} {unit} "
            f"and quality {max_quality:g} gives {high:.4f} {unit}"
        )
    return Found(target, quality, values(quality), abs(real_miss(quality)) <= 1)


def _bracket(miss: Callable[[float], float], start: float, max_quality: float) -> tuple[float, float, float]:
    """Qualities around the target: from `start` in steps that double until it is passed or the range ends."""
    rising = miss(start) < 0
    former, step = start, FIRST_STEP * max_quality
    while True:
        quality = min(former + step, max_quality) if rising else max(former - step, 0.0)
        if (miss(quality) >= 0) == rising or quality in (0.0, max_quality):
            return min(former, quality), max(former, quality), max_quality
        former, step = quality, 2 * step


def _bisect(miss: Callable[[float], float], low: float, high: float, max_quality: float) -> float:
    """The quality in [low, high] where `miss` is within 1 of 0, or nearest to it; an end where it lies beyond."""
    for end, beyond in ((low, miss(low) > 0), (high, miss(high) < 0)):
        if beyond or abs(miss(end)) <= 1:
            return end
    while high - low > FINEST * max_quality:
        middle = round((low + high) / 2, DIGITS)
        if abs(miss(middle)) <= 1:
            return middle
        low, high = (middle, high) if miss(middle) < 0 else (low, middle)
    return min(low, high, key=lambda quality: abs(miss(quality)))
