"""Configs as run folders have them, also those that an earlier version of this package wrote."""

from collections.abc import Mapping
from typing import Any

from lic_exp.config.errors import ConfigError
from lic_exp.config.schema import GROUPS, RunConfig, neutral_values
from lic_exp.config.validation import validate
from lic_exp.records import SCHEMA_VERSION
from lic_exp.text import is_blank

RENAMED = {"judged_weights": "eval_weights"}
"""Keys of `trainer` that had other names in schema 1."""


def stored_config(plain: Mapping[str, Any]) -> RunConfig:
    """The config of a run folder, of any schema version, in today's form.

    Today's signature of an earlier schema's config is not the name of that run. Raises ConfigError where this version
    of the package cannot read it, or a newer one wrote it.
    """
    version = plain.get("schema_version")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        newer = f"a newer version of this package made this config, with schema {version}"
        raise ConfigError([f"{newer}: this one knows {SCHEMA_VERSION}"])
    return validate(_filled(_newest(plain)), rules_too=False)


def todays_keys(plain: Mapping[str, Any]) -> dict[str, Any]:
    """The config of a run folder, of any schema version, under today's keys, also those that it is too old to have.

    It is not validated, so that configs may be compared that this version cannot run any more.
    """
    groups = {key: node for key, node in _newest(plain).items() if isinstance(node, Mapping)}
    return {**_newest(plain), **{key: _added_since(key) | dict(node) for key, node in groups.items()}}


def _added_since(group: str) -> dict[str, Any]:
    """A group's own keys that some run folders are too old to have, as they mean them; else {}."""
    return neutral_values(GROUPS[group]) if group in GROUPS else {}


def _newest(plain: Mapping[str, Any]) -> Mapping[str, Any]:
    return plain if plain.get("schema_version") == SCHEMA_VERSION else _upgraded(plain)


def _filled(plain: Mapping[str, Any]) -> dict[str, Any]:
    """With what blank texts meant while they were taken: nothing, or the working directory."""
    found: dict[str, Any] = dict(plain)
    for key in ("name", "variant"):
        found[key] = None if is_blank(found.get(key)) else found.get(key)
    tags = found.get("tags") or []
    found["tags"] = [tag for tag in tags if not is_blank(tag)] if isinstance(tags, list) else tags
    for group, key, meant in BLANK:
        node = found.get(group)
        if isinstance(node, Mapping) and key in node:
            value = node[key]
            whole = [meant if is_blank(part) else part for part in value] if isinstance(value, list) else value
            found[group] = {**node, key: meant if is_blank(value) else whole}
    return found


BLANK = (
    *(("evaluation", "data", None), ("paths", "runs", ".")),
    *(("data", "train", "."), ("data", "val", ".")),
)
"""Group, key, and what a blank path in it meant."""


def _upgraded(plain: Mapping[str, Any]) -> dict[str, Any]:
    trainer = {RENAMED.get(key, key): value for key, value in _group(plain, "trainer").items()}
    evaluation = {"qualities": None} | _group(plain, "evaluation")
    newer = {"schema_version": SCHEMA_VERSION, "trainer": trainer, "evaluation": evaluation}
    return {"init_from": None, "variant": None} | dict(plain) | newer


def _group(plain: Mapping[str, Any], name: str) -> dict[str, Any]:
    node = plain.get(name)
    return dict(node) if isinstance(node, Mapping) else {}
