"""The rates of a variable-rate codec: a quality, and the lmbda that it stands for. Imports no torch."""

from dataclasses import dataclass

MSE_UNIT = 255**2
"""A weight of MSE on [0, 1], such as DHIC's 64 to 4096, is so many times CompressAI's lmbda."""

DIGITS = 6
"""Decimals of a quality: 0.2 x 63 is 12.6 and not 12.600000000000001 in names of metrics and in tables."""


@dataclass(frozen=True)
class Rate:
    """quality: in [0, max_quality]. lmbda: in CompressAI's unit, the weight of 255^2 MSE."""

    quality: float
    lmbda: float


@dataclass(frozen=True)
class RateRange:
    """Qualities 0 to max_quality, which stand for lmbda_min to lmbda_max, uniformly in log lmbda."""

    lmbda_min: float
    lmbda_max: float
    max_quality: float

    def at(self, quality: float) -> Rate:
        """The rate of a quality. Raises ValueError outside the range."""
        if not 0 <= quality <= self.max_quality:
            raise ValueError(f"quality {quality:.12g} is outside this model's range of 0 to {self.max_quality:g}")
        return Rate(quality, self.lmbda_min * (self.lmbda_max / self.lmbda_min) ** (quality / self.max_quality))

    def spaced(self, count: int) -> list[Rate]:
        """`count` rates from the lowest to the highest, evenly spaced in log lmbda; of one, the middle."""
        shares = [i / (count - 1) for i in range(count)] if count > 1 else [0.5]
        return [self.at(round(share * self.max_quality, DIGITS)) for share in shares]
