"""The overrides of a command line that leave a key open, as the axes of a search."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.types import IntervalSweep, Override

from lic_exp.config.errors import ConfigError
from lic_exp.config.overrides import is_sweep, parsed


@dataclass(frozen=True)
class Axis:
    """What one key may be: one of `choices`, or a number from low to high; log: on a logarithmic scale."""

    key: str
    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False


def axes_of(given: Sequence[str]) -> list[Axis]:
    """The axes of the overrides that have several values. Raises ConfigError where there is none."""
    axes = [_axis(text, parsed(text)) for text in given if is_sweep(text)]
    if not axes:
        raise ConfigError(
            ["hydra/sweeper=search: give what to search, e.g. 'optimizer.lr=tag(log,interval(1e-4,1e-2))'"]
        )
    return axes


def _axis(text: str, override: Override) -> Axis:
    key, value = override.key_or_group, override.value()
    if not isinstance(value, IntervalSweep):
        choices = (parsed(f"{key}={choice}").value() for choice in override.sweep_string_iterator())
        return Axis(key, tuple(choices))
    low, high, tags = float(value.start or 0), float(value.end or 0), set(value.tags)
    if unknown := tags - {"log", "int"}:
        raise ConfigError([f"{text}: the tags of an interval are log and int, not {', '.join(sorted(unknown))}"])
    if not low < high or ("log" in tags and low <= 0):
        raise ConfigError([f"{text}: an interval goes from a lower to a higher number, a logarithmic one from above 0"])
    return Axis(key, (), low, high, "log" in tags, "int" in tags)
