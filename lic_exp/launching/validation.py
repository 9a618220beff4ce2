"""Judges a composed config: keys, types, ranges, and what only several keys together can get wrong.

Imports no torch. Returns the config in its normal form (every number of the type that its option declares), which is
what gets signed, frozen and run.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any

import yaml
from pydantic import ValidationError, create_model
from pydantic_core import ErrorDetails

from lic_exp.catalogue import CatalogueError, Component, describe
from lic_exp.facts import TrackerNeeds
from lic_exp.launching import rules
from lic_exp.launching.errors import ConfigError, did_you_mean, nearest
from lic_exp.launching.overrides import conf_folders, options
from lic_exp.launching.schema import GROUPS, SEVERAL, Components, Node, Root
from lic_exp.launching.schema import Component as ComponentNode
from lic_exp.launching.stages import check_stages

MISSING = "???"

# What people coming from other training scripts type first, and where it lives here.
SYNONYMS = {
    "checkpoint": "model.weights",
    "cuda": "trainer.device",
    "epochs": "trainer.max_epochs",
    "lambda": "criterion.lmbda",
    "learning_rate": "optimizer.lr",
    "lmbda": "criterion.lmbda",
    "model_name": "model",
    "patch_size": "data.crop_size",
    "save_path": "paths.runs",
    "steps": "trainer.max_steps",
    "test_dataset": "data.val",
    "train_dataset": "data.train",
    "truncation_epochs": "spectral_reg.truncation_length",
}


def validate(config: Mapping[str, Any], *, rules_too: bool = True) -> dict[str, Any]:
    """The normal form of a composed config. Raises ConfigError with every message at once.

    rules_too: also judge what only several groups together can get wrong.
    """
    normal: dict[str, Any] = {}
    errors: list[str] = []
    components, schemas = _schemas(config, errors)
    known = [f"{group}.{key}" for group, schema in schemas.items() for key in _keys(schema)]
    unknown = sorted(set(config) - set(Root.model_fields))
    errors += [_unknown(key, "", Root, known, config) for key in unknown]
    normal |= {group: {} for group in SEVERAL}
    for path, schema in schemas.items():
        group, _, part = path.partition(".")
        checked = _check_node(path, _at(config, path), schema, known, config, errors)
        no_parts = list(_missing_parts(path, components[path], _at(config, path)))
        errors += no_parts
        if checked is None or no_parts:
            normal.pop(group, None)  # a group with a wrong part is wrong
        elif not part:
            normal[group] = checked
        elif group in normal:
            normal[group][part] = checked
    plain = {key: value for key, value in config.items() if key in Root.model_fields and key not in GROUPS}
    normal |= _check_node("", plain, _plain_schema(), known, config, errors) or {}
    if rules_too:
        errors += rules.check(normal, components)
    if not errors and normal["stages"]:
        normal["stages"], errors = check_stages(normal, validate)
    if errors:
        raise ConfigError(errors)
    return {key: normal[key] for key in Root.model_fields}


def component_of(config: Mapping[str, Any], path: str) -> Component | None:
    """The described component that a config chose for a group, or for one of several ("tracker.mlflow"); or None."""
    return _component(_at(config, path), config)


def _at(config: Mapping[str, Any], path: str) -> Any:
    node: Any = config
    for key in path.split("."):
        node = node[key]
    return node


def _schemas(config: Mapping[str, Any], errors: list[str]) -> tuple[dict[str, Component | None], dict[str, type[Node]]]:
    """The chosen component and the schema of every node that can be checked at all, by its path."""
    components: dict[str, Component | None] = {}
    schemas: dict[str, type[Node]] = {}
    for path, schema in _nodes(config, errors):
        try:
            components[path] = _component(_at(config, path), config)
            schemas[path] = _node_schema(path, schema, components[path])
            errors += not_installed(path, components[path])
        except CatalogueError as error:
            errors.append(f"{path}._target_: {error}")
    return components, schemas


def _nodes(config: Mapping[str, Any], errors: list[str]) -> Iterator[tuple[str, type[Node]]]:
    """The path and schema of every node that is a mapping: a group's own and its parts, or each of its components."""
    for group, schema in GROUPS.items():
        node = config.get(group)
        if not isinstance(node, Mapping):
            errors.append(f"{group}={node}: {group} is a group: choose {group}=OPTION, or set {group}.KEY=VALUE")
        elif issubclass(schema, Components):
            for name, part in node.items():
                if _is_component(part):
                    yield f"{group}.{name}", ComponentNode
                elif part is not None:  # null chooses nothing, as for any other option
                    errors.append(_not_chosen(group, name, config))
        else:
            yield group, schema
            yield from ((f"{group}.{name}", ComponentNode) for name, part in node.items() if _is_component(part))


def _missing_parts(path: str, component: Component | None, node: Mapping[str, Any]) -> Iterator[str]:
    """What to say where an option that is a component of its own has a value that is none."""
    for part in component.parts if component else ():
        if part in node and not _is_component(node[part]):
            yield f"{path}.{part}={node[part]}: should be a component, with a _target_ and its options"


def _not_chosen(group: str, name: str, config: Mapping[str, Any]) -> str:
    """What to say of an entry of a group of components that is no component."""
    node, path = config[group], f"{group}.{name}"
    chosen = [other for other, part in node.items() if _is_component(part)]
    if isinstance(node[name], Mapping):
        path = f"{path}.{next(iter(node[name]), '')}".removesuffix(".")
    if name in options(group, config["plugins"] or []):
        choice = f"[{','.join([*chosen, name])}]" if chosen else name
        return f"{path}: {name} is not chosen; choose {group}={choice}"
    having = [f"{group}.{other}.{name}" for other in chosen if name in node[other]]
    near = f" Did you mean {' or '.join(having)}?" if having else did_you_mean(name, chosen, f"{group}.")
    return f"{path}: there is no such key.{near} Chosen: {', '.join(f'{group}.{other}' for other in chosen) or 'none'}"


def _is_component(node: Any) -> bool:
    return isinstance(node, Mapping) and "_target_" in node


def not_installed(path: str, component: Component | None) -> Iterator[str]:
    """What to say where a component works with an optional package that is not there."""
    needs = component.facts if component else None
    if isinstance(needs, TrackerNeeds):
        found = find_spec(needs.package)
        # A folder that happens to have the package's name is found too, but has no file to begin with.
        if found is None or found.origin is None:
            yield f"{path} needs the package {needs.package}: pip install 'lic-exp[{needs.extra}]'"


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


@cache
def _plain_schema() -> type[Node]:
    """The top-level keys that are no groups."""
    fields: dict[str, Any] = {k: (Root.__annotations__[k], ...) for k in Root.model_fields if k not in GROUPS}
    return create_model("Plain", __base__=Node, **fields)


def _node_schema(group: str, schema: type[Node], component: Component | None) -> type[Node]:
    # Pydantic takes a millisecond to make a class, and a sweep judges a thousand configs by the same few.
    key = (group, schema, component.target if component else "")
    if key not in _MADE or _MADE[key][0] is not component:
        fields: dict[str, Any] = {name: (kind, ...) for name, kind in (component.options if component else {}).items()}
        _MADE[key] = (component, create_model(group, __base__=schema, **fields))
    return _MADE[key][1]


_MADE: dict[tuple[str, type[Node], str], tuple[Component | None, type[Node]]] = {}


def _check_node(
    path: str,
    node: Mapping[str, Any],
    schema: type[Node],
    known: Sequence[str],
    config: Mapping[str, Any],
    errors: list[str],
) -> dict[str, Any] | None:
    """The node in its normal form, unknown keys left out; None where a value is missing or wrong."""
    values = dict(node)
    valid = [field.alias or name for name, field in schema.model_fields.items()]
    prefix = f"{path}." if path else ""
    missing = [key for key in valid if key not in values or values[key] == MISSING]
    errors += [f"{prefix}{key} must be given: {prefix}{key}=..." for key in missing]
    unknown = sorted(set(values) - set(valid))
    errors += [_unknown(key, path, schema, known, config) for key in unknown]
    for attempt in ("as given", "with whole floats as integers"):
        try:
            checked = schema.model_validate({k: v for k, v in values.items() if k not in unknown and k not in missing})
        except ValidationError as error:
            details = [d for d in error.errors() if d["type"] != "missing" or len(d["loc"]) > 1]
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
        for place in dict.fromkeys(filter(None, map(_place, group))) or [""]:
            here = [detail for detail in group if _place(detail) in (place, "")]
            if here[0]["type"] == "missing":
                yield f"{prefix}{key}{place} must be given"
            elif here[0]["type"] == "extra_forbidden":
                yield f"{prefix}{key}{place}: there is no such key"
            else:
                wants = dict.fromkeys(_want(detail) for detail in here)
                yield f"{prefix}{key}{place}={here[0]['input']}: {' or '.join(wants)}"


def _place(detail: ErrorDetails) -> str:
    """Where in a list, and in an entry of it: [0].steps. Without the types by which pydantic tells unions apart."""
    place = ""
    for part in detail["loc"][1:]:
        if isinstance(part, int):
            place += f"[{part}]"
        elif place:
            place += f".{part}"
    return place


def _want(detail: ErrorDetails) -> str:
    message = detail["msg"].removeprefix("Input ")
    return message.replace("valid ", "").replace("an integer", "a whole number").replace("a integer", "a whole number")


def _unknown(key: str, path: str, schema: type[Node], known: Sequence[str], config: Mapping[str, Any]) -> str:
    """What to do instead: the same word elsewhere, a similar one here, or another option of the group that has it."""
    keys, prefix = _keys(schema), f"{path}." if path else ""
    word = key.replace("-", "_").lower()
    leaves = {leaf.split(".")[-1]: leaf for leaf in known}
    elsewhere = SYNONYMS.get(word) or leaves.get(word)
    near = nearest(word, leaves)
    if elsewhere == "criterion.lmbda" and "criterion.lmbda_min" in known:
        hint = " This criterion draws a lmbda per image: set its range, criterion.lmbda_min and criterion.lmbda_max."
    elif elsewhere and elsewhere != prefix + key:
        hint = f" Did you mean {elsewhere}?"
    else:
        hint = did_you_mean(key, keys, prefix) or (f" Did you mean {leaves[near]}?" if near else "")
    having = [f"{path}={option}" for option in _options_with(path, key, config)] if path else []
    if having:
        hint += f" {' and '.join(having)} {'have' if len(having) > 1 else 'has'} it."
    if not keys:
        return f"{prefix}{key}: there is no such key; {path} has no options.{hint}"
    return (
        f"{prefix}{key}: there is no such key.{hint} Valid {f'keys of {path}' if path else 'keys'}: {', '.join(keys)}"
    )


def _options_with(group: str, key: str, config: Mapping[str, Any]) -> Iterator[str]:
    """The options of a group whose files state `key`."""
    files = [path for folder in conf_folders(config["plugins"] or []) for path in folder.glob(f"{group}/*.yaml")]
    for path in sorted(files, key=lambda path: path.stem):
        if key in (yaml.safe_load(path.read_text(encoding="utf-8")) or {}):
            yield path.stem


def _keys(schema: type[Node]) -> list[str]:
    """The keys that a person may set, in the schema's order."""
    return [name for name in schema.model_fields if name != "dotted_path"]
