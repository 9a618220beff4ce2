"""Stages: parts of one training, each a full config that differs from the run's in some groups."""

from collections.abc import Callable, Mapping
from typing import Any

from lic_exp.launching.errors import ConfigError

STAGED = ("data", "optimizer", "scheduler")
FIXED_DATA = ("val", "val_crop_size", "val_limit")

Config = Mapping[str, Any]


def stage_configs(config: Config) -> list[dict[str, Any]]:
    """One config per stage, with `trainer.max_steps` its length; the run itself where it has no stages."""
    return [_merged(config, stage) | {"optimizer_state": stage["optimizer_state"]} for stage in config["stages"]] or [
        dict(config) | {"optimizer_state": "keep"}
    ]


def check_stages(
    config: Config, validate: Callable[[Config], dict[str, Any]]
) -> tuple[list[dict[str, Any]], list[str]]:
    """The stages in their normal form, and what is wrong with them.

    validate: judges a config without stages.
    """
    normal, errors = [], []
    for index, stage in enumerate(config["stages"]):
        where = f"stages[{index}]"
        errors += [
            f"{where}.data.{key}: validation stays the same for the whole run, or its numbers could not be compared"
            for key in FIXED_DATA
            if key in stage["data"]
        ]
        try:
            merged = validate(_merged(config, stage))
        except ConfigError as error:
            errors += [f"{where}: {message}" for message in error.messages]
            continue
        normal.append(stage | {group: {key: merged[group][key] for key in stage[group]} for group in STAGED})
    return normal, errors


def _merged(config: Config, stage: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(config) | {"stages": []}
    merged["trainer"] = {**config["trainer"], "max_steps": stage["steps"], "max_epochs": None}
    for group in STAGED:
        # Another component has other options: its node replaces the run's.
        merged[group] = dict(stage[group]) if "_target_" in stage[group] else {**config[group], **stage[group]}
    return merged
