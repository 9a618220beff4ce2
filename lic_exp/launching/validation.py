"""Judges a composed config: keys, types, ranges, and what only several keys together can get wrong.

Imports no torch. Returns the config in its normal form (every number of the type that its option declares), which is
what gets signed, frozen and run.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError, create_model
from pydantic_core import ErrorDetails

from lic_exp.catalogue import CatalogueError, Component, describe
from lic_exp.launching import rules
from lic_exp.launching.errors import ConfigError, did_you_mean
from lic_exp.launching.schema import GROUPS, Node, Root

MISSING = "???"

# What people coming from other training scripts type first, and where it lives here.
SYNONYMS = {
    "lambda": "criterion.lmbda",
    "lmbda": "criterion.lmbda",
    "epochs": "trainer.max_epochs",
    "steps": "trainer.max_steps",
    "learning_rate": "optimizer.lr",
    "patch_size": "data.crop_size",
    "checkpoint": "model.weights",
    "save_path": "paths.runs",
    "cuda": "trainer.device",
}


def validate(config: Mapping[str, Any], *, rules_too: bool = True) -> dict[str, Any]:
    """The normal form of a composed config. Raises ConfigError with every message at once.

    rules_too: also judge what only several groups together can get wrong.
    """
    normal: dict[str, Any] = {}
    components: dict[str, Component | None] = {}
    leaves = _leaves(config)
    unknown = sorted(set(config) - set(Root.model_fields))
    errors = [_unknown(key, "", Root.model_fields, leaves) for key in unknown]
    for group, schema in GROUPS.items():
        node = config.get(group)
        if not isinstance(node, Mapping):
            errors.append(f"{group}={node}: {group} is a group of keys, e.g. {_example_key(schema, group)}=...")
            continue
        try:
            component = _component(node, config)
        except CatalogueError as error:
            errors.append(f"{group}._target_: {error}")
            continue
        components[group] = component
        checked = _check_node(group, node, _node_schema(group, schema, component), leaves, errors)
        if checked is not None:
            normal[group] = checked
    plain = {key: value for key, value in config.items() if key in Root.model_fields and key not in GROUPS}
    fields: dict[str, Any] = {k: (Root.__annotations__[k], ...) for k in Root.model_fields if k not in GROUPS}
    normal |= _check_node("", plain, create_model("Plain", __base__=Node, **fields), leaves, errors) or {}
    if rules_too:
        errors += rules.check(normal, components)
    if errors:
        raise ConfigError(errors)
    return {key: normal[key] for key in Root.model_fields}


def component_of(config: Mapping[str, Any], group: str) -> Component | None:
    """The described component that a config chose for `group`, or None."""
    return _component(config[group], config)


def _component(node: Mapping[str, Any], config: Mapping[str, Any]) -> Component | None:
    target = node.get("_target_")
    if target is None:
        return None
    allowed = ["lic_exp", *(config.get("plugins") or [])]
    top = str(target).split(".")[0]
    if top not in allowed:
        raise CatalogueError(
            f"{target} is outside the packages that may be instantiated ({', '.join(allowed)}); add plugins=[{top}]"
        )
    return describe(str(target))


def _node_schema(group: str, schema: type[Node], component: Component | None) -> type[Node]:
    fields: dict[str, Any] = {name: (kind, ...) for name, kind in (component.options if component else {}).items()}
    return create_model(group, __base__=schema, **fields)


def _check_node(
    path: str, node: Mapping[str, Any], schema: type[Node], leaves: Mapping[str, Any], errors: list[str]
) -> dict[str, Any] | None:
    """The node in its normal form, unknown keys left out; None where a value is missing or wrong."""
    values = dict(node)
    valid = {field.alias or name: field for name, field in schema.model_fields.items()}
    prefix = f"{path}." if path else ""
    missing = [key for key in valid if key not in values or values[key] == MISSING]
    errors += [f"{prefix}{key} must be given: {prefix}{key}=..." for key in missing]
    unknown = sorted(set(values) - set(valid))
    errors += [_unknown(key, path, valid, leaves) for key in unknown]
    for attempt in ("as given", "with whole floats as integers"):
        try:
            checked = schema.model_validate({k: v for k, v in values.items() if k not in unknown and k not in missing})
        except ValidationError as error:
            details = [d for d in error.errors() if d["type"] != "missing"]
            if attempt == "as given" and _integers(values, details):
                continue
            errors += _messages(prefix, details)
            return None
        return checked.model_dump(by_alias=True)
    return None


def _integers(values: dict[str, Any], details: list[ErrorDetails]) -> bool:
    """Turn values such as 1e5, which YAML reads as a float, into the integers that their options want."""
    changed = False
    for detail in details:
        key, value = detail["loc"][0], detail["input"]
        if detail["type"] == "int_type" and isinstance(value, float) and value.is_integer() and key in values:
            values[str(key)], changed = int(value), True
    return changed


def _messages(prefix: str, details: list[ErrorDetails]) -> Iterator[str]:
    """One message per value; a union such as `int | None` reports each of its members, which belong together."""
    by_key: dict[str, list[ErrorDetails]] = {}
    for detail in details:
        by_key.setdefault(str(detail["loc"][0]), []).append(detail)
    for key, group in by_key.items():
        wants = dict.fromkeys(_want(detail) for detail in group)
        position = next((f"[{p}]" for d in group for p in d["loc"][1:] if isinstance(p, int)), "")
        yield f"{prefix}{key}{position}={group[0]['input']}: {' or '.join(wants)}"


def _want(detail: ErrorDetails) -> str:
    message = detail["msg"].removeprefix("Input ")
    return message.replace("valid ", "").replace("an integer", "a whole number").replace("a integer", "a whole number")


def _unknown(key: str, path: str, valid: Mapping[str, Any], leaves: Mapping[str, Any]) -> str:
    keys = [name for name in valid if name != "_target_"]
    prefix = f"{path}." if path else ""
    where = f"keys of {path}" if path else "keys"
    hint = did_you_mean(key, keys, prefix)
    elsewhere = SYNONYMS.get(key.replace("-", "_").lower()) or next(
        (leaf for leaf in leaves if leaf.split(".")[-1] == key and leaf != f"{prefix}{key}"), None
    )
    if elsewhere:
        hint = f" Did you mean {elsewhere}?"
    if not keys:
        return f"{prefix}{key}: there is no such key; {path} has no options.{hint}"
    return f"{prefix}{key}: there is no such key.{hint} Valid {where}: {', '.join(keys)}"


def _leaves(config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        f"{group}.{key}": value
        for group in GROUPS
        if isinstance(config.get(group), Mapping)
        for key, value in config[group].items()
    }


def _example_key(schema: type[Node], group: str) -> str:
    key = next((name for name in schema.model_fields if name != "dotted_path"), "key")
    return f"{group}.{key}"
