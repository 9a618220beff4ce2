"""A run's signature: a hash of all that can change its result, and of nothing else.

Signed: the validated config without its `Unsigned` keys, with content hashes in place of paths to data and weights.
Not signed: where files lie, how much is logged, labels, how many workers load. An option added in a later version
is marked `Neutral(value)` and left out at that value, so that older runs keep their names.
"""

import hashlib
import importlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lic_exp.launching.errors import ConfigError
from lic_exp.launching.schema import GROUPS, Node, Root
from lic_exp.launching.schema import Component as ComponentNode
from lic_exp.launching.stages import STAGED, stage_configs
from lic_exp.launching.validation import component_of
from lic_exp.ranges import Neutral, Unsigned

SIGNATURE_DIGITS = 16


def signature(config: Mapping[str, Any]) -> str:
    """The name of the run that a validated config describes: 16 hexadecimal digits.

    Raises ConfigError where data or weights that belong to the identity cannot be read.
    """
    text = json.dumps(signed_part(config), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:SIGNATURE_DIGITS]


def signed_part(config: Mapping[str, Any]) -> dict[str, Any]:
    """What `signature` hashes: nested plain containers."""
    signed = {key: value for key, value in config.items() if _signs(Root.model_fields[key].metadata, value)}
    for group, schema in GROUPS.items():
        if group in signed:
            signed[group] = _signed_node(schema, config[group], config, group)
    if config["model"]["weights"] is not None:
        signed["model"]["weights"] = file_hash(config["model"]["weights"], "model.weights")
    signed["data"]["fingerprint"] = data_fingerprint(config)
    if config["stages"]:
        signed["stages"] = [_signed_stage(stage) for stage in stage_configs(config)]
    if config["evaluation"]["data"] is not None:
        signed["evaluation"]["data"] = folder_fingerprint(config["evaluation"]["data"])
    return signed


SHAPED = ("model", "spectral_reg", "optimizer", "data", "trainer", "evaluation")
UNSHAPED = ("weights", "partial_weights", "lr", "aux_lr", "reg_lr", "train", "val", "max_steps", "max_epochs")


def shape(config: Mapping[str, Any]) -> str:
    """What runs that take as long per step have in common: 8 hexadecimal digits, the same for other seeds and rates."""
    parts = {group: {k: v for k, v in config[group].items() if k not in UNSHAPED} for group in SHAPED}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:8]


def _signed_stage(config: Mapping[str, Any]) -> dict[str, Any]:
    signed = {group: _signed_node(GROUPS[group], config[group], config, group) for group in STAGED}
    signed["data"]["fingerprint"] = data_fingerprint(config)
    return signed | {"steps": config["trainer"]["max_steps"], "optimizer_state": config["optimizer_state"]}


def _signed_node(schema: type[Node], node: Mapping[str, Any], config: Mapping[str, Any], group: str) -> dict[str, Any]:
    component = component_of(config, group) if "_target_" in node else None
    marks = {field.alias or name: field.metadata for name, field in schema.model_fields.items()}
    if component is not None:
        marks |= {key: list(getattr(kind, "__metadata__", ())) for key, kind in component.options.items()}
    parts = component.parts if component else ()
    return {
        key: _signed_node(ComponentNode, value, config, f"{group}.{key}") if key in parts else value
        for key, value in node.items()
        if _signs(marks[key], value)
    }


def _signs(marks: Sequence[Any], value: Any) -> bool:
    """Whether an option with these marks tells runs apart when it has this value."""
    return not any(isinstance(mark, Unsigned) or (isinstance(mark, Neutral) and mark.value == value) for mark in marks)


def data_source(config: Mapping[str, Any]) -> Any:
    """The config's `lic_exp.data.sources.ImageSource`; its module imports no torch."""
    node, component = config["data"], component_of(config, "data")
    assert component is not None
    module, _, name = component.target.rpartition(".")
    make = getattr(importlib.import_module(module), name)
    try:
        return make(**{key: node[key] for key in component.options})
    except (ValueError, OSError) as error:
        raise ConfigError([f"data: {error}"]) from error


def data_fingerprint(config: Mapping[str, Any]) -> str:
    """Content of the training and validation images. Raises ConfigError where there are none."""
    source = data_source(config)
    try:
        fingerprint: str = source.fingerprint()
    except (ValueError, OSError) as error:
        raise ConfigError([f"data: {error}"]) from error
    return fingerprint


def folder_fingerprint(folder: str) -> str:
    """Content of an evaluation folder, wherever it lies."""
    from lic_exp.data.images import fingerprint, list_images

    try:
        return fingerprint(list_images(folder))
    except (ValueError, OSError) as error:
        raise ConfigError([f"evaluation.data: {error}"]) from error


def file_hash(path: str, key: str) -> str:
    """SHA-256 of a file. Raises ConfigError naming the config key where it cannot be read."""
    try:
        with open(Path(path).expanduser(), "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError([f"{key}={path}: {error.strerror}"]) from error
