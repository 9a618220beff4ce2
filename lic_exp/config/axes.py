"""The overrides of a command line that leave a key open, as the axes of a search."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hydra.core.override_parser.types import IntervalSweep, Override

from lic_exp.config.errors import ConfigError
from lic_exp.config.overrides import is_sweep, parsed

MOST_CORNERS = 500


@dataclass(frozen=True)
class Axis:
    """What one key may be: one of `choices`, or a number from low to high; log: on a logarithmic scale."""

    key: str
    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False

    @property
    def extremes(self) -> tuple[Any, ...]:
        """All of its choices, or both ends of its interval."""
        if self.choices:
            return self.choices
        return (int(self.low), int(self.high)) if self.whole else (self.low, self.high)


def axes_of(given: Sequence[str]) -> list[Axis]:
    """The axes of the overrides that have several values. Raises ConfigError where there is none."""
    axes = [_axis(text, parsed(text)) for text in given if is_sweep(text)]
    if not axes:
        raise ConfigError(
            ["hydra/sweeper=search: give what to search, e.g. 'optimizer.lr=tag(log,interval(1e-4,1e-2))'"]
        )
    keys = [parsed(text).key_or_group for text in given]
    if twice := dict.fromkeys(axis.key for axis in axes if keys.count(axis.key) > 1):
        raise ConfigError(f"{key} is given twice: a search has one value or one axis of a key" for key in twice)
    return axes


def _axis(text: str, override: Override) -> Axis:
    key, value = override.key_or_group, override.value()
    if not isinstance(value, IntervalSweep):
        choices = (parsed(f"{key}={choice}").value() for choice in override.sweep_string_iterator())
        return Axis(key, tuple(choices))
    low, high, tags = _number(value.start), _number(value.end), set(value.tags)
    if unknown := tags - {"log", "int"}:
        raise ConfigError([f"{text}: the tags of an interval are log and int, not {', '.join(sorted(unknown))}"])
    if not low < high or ("log" in tags and low <= 0):
        raise ConfigError([f"{text}: an interval goes from a lower to a higher number, a logarithmic one from above 0"])
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ConfigError([f"{text}: an interval has two ends that are finite numbers"])
    if "int" in tags and not (low.is_integer() and high.is_integer()):
        raise ConfigError([f"{text}: an interval of whole numbers has ends that are whole numbers"])
    return Axis(key, (), low, high, "log" in tags, "int" in tags)


def _number(end: float | None) -> float:
    try:
        return float(end or 0)
    except OverflowError:  # hundreds of digits
        return math.inf


def corners(axes: Sequence[Axis]) -> list[dict[str, Any]]:
    """Values by which the axes are judged before anything starts: all combinations of their choices and ends.

    Where these are more than MOST_CORNERS, so many that every choice and end is among them.
    """
    sides = [axis.extremes for axis in axes]
    if math.prod(map(len, sides)) <= MOST_CORNERS:
        rows: Iterable[tuple[Any, ...]] = itertools.product(*sides)
    else:
        rows = (tuple(side[place % len(side)] for side in sides) for place in range(max(map(len, sides))))
    return [dict(zip((axis.key for axis in axes), row, strict=True)) for row in rows]


def as_declared(axes: Sequence[Axis], configs: Sequence[Mapping[str, Any]]) -> list[Axis]:
    """The axes, in whole numbers where the option is one.

    configs: of the axes' `corners`, plain, in their normal form.
    """
    return [
        replace(axis, whole=True)
        if not axis.choices and any(type(_at(config, axis.key)) is int for config in configs)
        else axis
        for axis in axes
    ]


def _at(config: Mapping[str, Any], key: str) -> Any:
    node: Any = config
    for part in key.split("."):
        node = node.get(part) if isinstance(node, Mapping) else None
    return node
