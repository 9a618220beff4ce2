"""What tells two configs apart, key by key."""

from collections.abc import Mapping
from typing import Any

from lic_exp.flat import flatten

LABELS = ("name", "variant", "tags", "plugins", "paths.runs")
"""Keys that name a run and change nothing in it."""


TARGET = "_target_"

Differences = Mapping[str, tuple[str | None, str | None]]
"""{key: (value here, value there)}, None where one has no such key."""


def differences(config: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[str | None, str | None]]:
    """{key: (value here, value there)} of every key that differs; None where one has no such key."""
    here, there = flatten(config), flatten(other)
    return {key: (here.get(key), there.get(key)) for key in {**there, **here} if here.get(key) != there.get(key)}


def of_what_is_there(found: Differences) -> Differences:
    """Those that are not options of a component which is another here, and has them not for that reason alone."""
    others = tuple(key.removesuffix(TARGET) for key in found if key.endswith(TARGET))
    return {key: pair for key, pair in found.items() if pair[0] is not None or not key.startswith(others)}
