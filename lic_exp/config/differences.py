"""What tells two configs apart, key by key."""

from collections.abc import Mapping
from typing import Any

from lic_exp.flat import flatten

LABELS = ("name", "variant", "tags", "plugins", "paths.runs")
"""Keys that name a run and change nothing in it."""


def differences(config: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[str | None, str | None]]:
    """{key: (value here, value there)} of every key that differs; None where one has no such key."""
    here, there = flatten(config), flatten(other)
    return {key: (here.get(key), there.get(key)) for key in {**there, **here} if here.get(key) != there.get(key)}
