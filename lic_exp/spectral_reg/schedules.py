"""When a part of training runs, and how its cut-off moves: pure functions, without torch."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Unit = Literal["epoch", "step", "share"]
ScheduleName = Literal["linear", "cosine", "exponential", "constant"]


@dataclass(frozen=True)
class Window:
    """A part of training, [start, start + length) in `unit`: whole epochs, whole steps, or shares of all steps."""

    start: float
    length: float
    unit: Unit

    def position(self, now: float) -> float | None:
        """The part of the window that is behind `now` (in `unit`), in [0, 1]; None outside the window.

        Epochs and steps are counted: the first of the window is at 0, the last at 1, and a window of one stays at 0.
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


@dataclass(frozen=True)
class Onset:
    """When a term begins and how its weight rises to 1; it then stays to the end of training.

    start, ramp: in `unit`, whole epochs or steps, or shares of all steps.
    """

    start: float
    ramp: float
    unit: Unit

    def factor(self, now: float) -> float | None:
        """The part of the full weight at `now` (in `unit`), in [0, 1]; None before the start.

        Of a ramp of n epochs or steps the first has 1 / (n + 1), and the full weight follows after the n-th.
        """
        if now < self.start:
            return None
        if self.unit == "share":
            return min(1.0, (now - self.start) / self.ramp) if self.ramp else 1.0
        return min(1.0, (now - self.start + 1) / (self.ramp + 1))
