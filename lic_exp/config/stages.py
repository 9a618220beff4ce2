"""Stages: parts of one training, each a full config that differs from the run's in some groups."""

from collections.abc import Iterator, Mapping
from typing import Any

STAGED = ("data", "optimizer", "scheduler")
FIXED_DATA = ("val", "val_crop_size", "val_limit")


def stage_faults(index: int, stage: Mapping[str, Any]) -> Iterator[str]:
    """What a stage may not change."""
    for key in FIXED_DATA:
        if key in stage["data"]:
            yield (
                f"stages[{index}].data.{key}: validation stays the same for the whole run, or its numbers could not be "
                "compared"
            )


def merged(config: Mapping[str, Any], stage: Mapping[str, Any]) -> dict[str, Any]:
    """A stage as the plain config of a run of its own."""
    alone = dict(config) | {"stages": []}
    alone["trainer"] = {**config["trainer"], "max_steps": stage["steps"], "max_epochs": None}
    for group in STAGED:
        # Another component has other options: its node replaces the run's.
        alone[group] = dict(stage[group]) if "_target_" in stage[group] else {**config[group], **stage[group]}
    return alone
