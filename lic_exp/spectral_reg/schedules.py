"""When a stage of training runs, and how its cut-off moves: pure functions, without torch."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Unit = Literal["epoch", "step", "share"]
ScheduleName = Literal["linear", "cosine", "exponential", "constant"]


@dataclass(frozen=True)
class Stage:
    """A window of training, [start, start + length) in `unit`: whole epochs, whole steps, or shares of all steps.

    Raises ValueError for a window that is not one of whole epochs or steps, or that goes past the end in shares.
    """

    start: float
    length: float
    unit: Unit

    def __post_init__(self) -> None:
        if self.start < 0 or not self.length > 0:
            raise ValueError(
                f"truncation_start={self.start} and truncation_length={self.length} are no window: "
                "the start must be at least 0 and the length above 0"
            )
        if self.unit == "share":
            self._check_share()
        elif self.start % 1 or self.length % 1:
            raise ValueError(
                f"truncation_start={self.start} and truncation_length={self.length} must be whole numbers of "
                f"{self.unit}s; for a part of the training use truncation_unit=share"
            )

    def _check_share(self) -> None:
        if self.length > 1:
            raise ValueError(
                f"truncation_length={self.length} is no share of the training: with truncation_unit=share it must be "
                "in (0, 1]; for epochs or steps use truncation_unit=epoch or truncation_unit=step"
            )
        if self.start + self.length > 1 + 1e-9:  # 0.9 + 0.1 and the like must pass
            raise ValueError(
                f"truncation_start={self.start} + truncation_length={self.length} is past the end of the training: "
                "with truncation_unit=share their sum must be at most 1"
            )

    def position(self, now: float) -> float | None:
        """The part of the stage that is behind `now` (in `unit`), in [0, 1]; None outside the stage.

        Epochs and steps are counted: the first of the stage is at 0, the last at 1, and a stage of one stays at 0.
        Shares are continuous: position 1 is the end itself, which the last step only approaches.
        """
        if not self.start <= now < self.start + self.length:
            return None
        span = self.length if self.unit == "share" else max(self.length - 1, 1)
        return min((now - self.start) / span, 1.0)


def linear(position: float, first: float, last: float) -> float:
    """From `first` to `last`, evenly. Both ends are met exactly, here and in the schedules below."""
    return (1 - position) * first + position * last


def cosine(position: float, first: float, last: float) -> float:
    """From `first` to `last` along half a cosine: slow, fast, slow."""
    return linear((1 - math.cos(math.pi * position)) / 2, first, last)


def exponential(position: float, first: float, last: float) -> float:
    """From `first` to `last`, both above 0, by equal factors in equal times: low values last longer."""
    return float(first ** (1 - position) * last**position)


def constant(position: float, first: float, last: float) -> float:
    """`first` throughout."""
    return first


SCHEDULES: dict[ScheduleName, Callable[[float, float, float], float]] = {
    "linear": linear,
    "cosine": cosine,
    "exponential": exponential,
    "constant": constant,
}
