"""Types of options: what a constructor may be given, with its range.

A component's keyword-only constructor parameters are its options, and their annotations are the schema
that an override is checked against before anything starts (`lic_exp.component_schema`). This module imports no torch.
"""

from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Ge, Gt, Le, Lt

PositiveInt = Annotated[int, Ge(1)]
NonNegativeInt = Annotated[int, Ge(0)]
PositiveFloat = Annotated[float, Gt(0)]
NonNegativeFloat = Annotated[float, Ge(0)]
AtLeastOne = Annotated[float, Ge(1)]

Seed = Annotated[int, Ge(0), Le(2**64 - 1)]
"""What a generator of random numbers begins with: torch's take 64 bits."""

Threads = Annotated[int, Ge(1), Le(1024)]
Workers = Annotated[int, Ge(0), Le(1024)]
"""Threads, or processes, that one run starts."""

Share = Annotated[float, Ge(0), Le(1)]
"""A part of a whole, in [0, 1]."""

Decay = Annotated[float, Ge(0), Lt(1)]
"""An exponential-average coefficient, in [0, 1)."""

Reduction = Annotated[float, Gt(0), Lt(1)]
"""A factor that makes a positive number smaller, in (0, 1)."""

Tau = Annotated[float, Gt(0), Le(1)]
"""Normalised spectral cut-off of Eq. 4, in (0, 1]."""


@dataclass(frozen=True)
class Unsigned:
    """Marks an option that cannot change a run's result, and so stays out of its signature."""


@dataclass(frozen=True)
class Neutral:
    """Marks an option added after schema version 2: at `value` it changes nothing and is left out of the signature."""

    value: object


@dataclass(frozen=True)
class MayBeBlank:
    """Marks an option whose text means something though nothing is in it; of any other a blank one is refused."""


@dataclass(frozen=True)
class Nested:
    """Marks an option that is a component of its own, with a `_target_` and options below it."""


Part = Annotated[Any, Nested()]
"""A component within a component: its node is checked and built like a group's, and the object handed over."""
