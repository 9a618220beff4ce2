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


@dataclass(frozen=True)
class Onset:
    """When a term begins and how its weight rises to 1; it then stays to the end of training.

    start, ramp: in `unit`, whole epochs or steps, or shares of all steps. Raises ValueError for what is none.
    """

    start: float
    ramp: float
    unit: Unit

    def __post_init__(self) -> None:
        if self.unit != "share" and (self.start % 1 or self.ramp % 1):
            raise ValueError(
                f"start={self.start} and ramp={self.ramp} must be whole numbers of {self.unit}s; for a part of the "
                "training use unit=share"
            )
        if self.unit == "share" and (self.start >= 1 or self.ramp > 1):
            raise ValueError(
                f"start={self.start} and ramp={self.ramp} are no shares of the training: with unit=share the start "
                "must be below 1 and the ramp at most 1; for epochs or steps use unit=epoch or unit=step"
            )

    def factor(self, now: float) -> float | None:
        """The part of the full weight at `now` (in `unit`), in [0, 1]; None before the start.

        Of a ramp of n epochs or steps the first has 1 / (n + 1), and the full weight follows after the n-th.
        """
        if now < self.start:
            return None
        if self.unit == "share":
            return min(1.0, (now - self.start) / self.ramp) if self.ramp else 1.0
        return min(1.0, (now - self.start + 1) / (self.ramp + 1))


def second_start(first: Stage, overlap: float, *, start: float | None, unit: Unit) -> float:
    """Where a second stage begins that follows `first`, `overlap` before its end, in its unit.

    start, unit: what the second stage was told by itself. Raises ValueError where that contradicts.
    """
    if start is not None:
        raise ValueError(
            f"inter.start={start}: after an intra-scale stage the term begins where that ends; set inter.start=null, "
            "and overlap to begin earlier"
        )
    if unit != first.unit:
        raise ValueError(f"inter.unit={unit} must be intra.truncation_unit={first.unit}, since one follows the other")
    if overlap > first.length:
        raise ValueError(f"overlap={overlap} is longer than the first stage, intra.truncation_length={first.length}")
    return first.start + first.length - overlap
