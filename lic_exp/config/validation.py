"""Judges a composed config: keys, types, ranges, and what only several keys together can get wrong.

Imports no torch. What is right comes out as a `RunConfig`, in its normal form: every number of the type that its option
declares. That is what gets signed, frozen and run.
"""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, get_type_hints

from pydantic import Field, ValidationError, create_model
from pydantic_core import ErrorDetails

from lic_exp.component_schema import ComponentError, ComponentSchema
from lic_exp.config import rules
from lic_exp.config.blanks import blank_values
from lic_exp.config.chosen import at, chosen, is_component, not_installed
from lic_exp.config.errors import ConfigError
from lic_exp.config.messages import not_chosen, unknown_key, value_messages
from lic_exp.config.nodes import Component, ComponentGroup, Node
from lic_exp.config.read_only import ReadOnly
from lic_exp.config.schema import GROUPS, RunConfig, SeveralComponents, StageConfig, StageOverrides, neutral_values
from lic_exp.config.stages import STAGED, merged, stage_faults

MISSING = "???"

Schemas = Mapping[str, type[Node]]


def validate(config: Mapping[str, Any], *, rules_too: bool = True) -> RunConfig:
    """The config of a run, from its plain form. Raises ConfigError with every message at once.

    rules_too: also judge what only several groups together can get wrong.
    """
    return _Judgement(config, rules_too=rules_too).config()


def faults(config: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """(what is wrong, what must still be given) in a composed config."""
    judgement = _Judgement(config, rules_too=True)
    return [text for text in judgement.errors if text not in judgement.missing], judgement.missing


def unknown_keys(config: Mapping[str, Any]) -> list[str]:
    """The paths of a composed config that nothing in it has, be they keys or what a group of several did not choose."""
    return _Judgement(config, rules_too=False).unknown


@dataclass
class _Judgement:
    """One look at a plain config. errors: every message; missing: those of values that must still be given.

    unknown: paths of what nothing in the config has. normal: the groups and keys that are right, plain and in their
    normal form.
    """

    plain: Mapping[str, Any]
    rules_too: bool
    errors: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    normal: dict[str, Any] = field(default_factory=dict)
    stages: tuple[StageConfig, ...] = ()

    def __post_init__(self) -> None:
        self.components, self._schemas = self._described()
        self._known = [f"{group}.{key}" for group, schema in self._schemas.items() for key in _keys(schema)]
        for key in sorted(set(self.plain) - set(RunConfig.model_fields)):
            self.errors.append(unknown_key(key, "", list(RunConfig.model_fields), self._known, self.plain))
            self.unknown.append(key)
        self._check_groups()
        if self.rules_too:
            self.errors += rules.check(self.normal, self.components)
        if not self.errors and self.normal["stages"]:
            self._check_stages()

    def config(self) -> RunConfig:
        """Raises ConfigError where anything is wrong."""
        if self.errors:
            raise ConfigError(self.errors)
        config = RunConfig.model_construct(**{key: self._typed(key) for key in RunConfig.model_fields})
        one = StageConfig(
            config.trainer.max_steps,
            config.trainer.max_epochs,
            "keep",
            config.data,
            config.optimizer,
            config.scheduler,
        )
        from lic_exp.config.signing import signature  # a fiftieth of what a refusal costs, and needed by none

        config._stage_configs = self.stages or (one,)
        config._sign = signature
        return config

    def _described(self) -> tuple[dict[str, ComponentSchema | None], dict[str, type[Node]]]:
        """The chosen component and the schema of every node that can be checked at all, by its path."""
        components: dict[str, ComponentSchema | None] = {}
        schemas: dict[str, type[Node]] = {}
        for path, schema in self._nodes():
            try:
                components[path] = chosen(path, self.plain, components)
                schemas[path] = _node_schema(path, schema, components[path])
                self.errors += not_installed(path, components[path])
            except ComponentError as error:
                self.errors.append(f"{path}._target_: {error}")
        return components, schemas

    def _nodes(self) -> Iterator[tuple[str, type[Node]]]:
        """Path and schema of every node that is a mapping: a group's own and its parts, or each of its components."""
        for group, schema in GROUPS.items():
            node = self.plain.get(group)
            if not isinstance(node, Mapping):
                text = f"{group}={node}: {group} is a group: choose {group}=OPTION, or set {group}.KEY=VALUE"
                self.errors.append(text)
            elif issubclass(schema, SeveralComponents):
                for name, part in node.items():
                    if is_component(part):
                        yield f"{group}.{name}", ComponentGroup
                    elif part is not None:  # null chooses nothing, as for any other option
                        self.errors.append(not_chosen(group, name, self.plain))
                        self.unknown.append(f"{group}.{name}")
            else:
                yield group, schema
                yield from ((f"{group}.{name}", ComponentGroup) for name, part in node.items() if is_component(part))

    def _check_groups(self) -> None:
        several = (group for group, schema in GROUPS.items() if issubclass(schema, SeveralComponents))
        self.normal |= {group: {} for group in several}
        for path, schema in self._schemas.items():
            group, _, part = path.partition(".")
            node = at(self.plain, path)
            checked = self._check_node(path, node, schema)
            no_parts = list(_missing_parts(path, self.components[path], node))
            self.errors += no_parts
            if checked is None or no_parts:
                self.normal.pop(group, None)  # a group with a wrong part is wrong
            elif not part:
                self.normal[group] = checked
            elif group in self.normal:
                self.normal[group][part] = checked
        rest = {key: value for key, value in self.plain.items() if key in RunConfig.model_fields and key not in GROUPS}
        self.normal |= self._check_node("", rest, _ungrouped_schema()) or {}

    def _check_node(self, path: str, node: Mapping[str, Any], schema: type[Node]) -> dict[str, Any] | None:
        """The node in its normal form, unknown keys left out; None where a value is missing or wrong."""
        values = neutral_values(schema) | dict(node)
        valid = [field.alias or name for name, field in schema.model_fields.items()]
        prefix = f"{path}." if path else ""
        missing = [key for key in valid if key not in values or values[key] == MISSING]
        self.missing += [f"{prefix}{key} must be given: {prefix}{key}=..." for key in missing]
        self.errors += self.missing[len(self.missing) - len(missing) :]
        unknown = sorted(set(values) - set(valid), key=str)
        self.errors += [unknown_key(str(key), path, _keys(schema), self._known, self.plain) for key in unknown]
        self.unknown += [f"{prefix}{key}" for key in unknown]
        for attempt in ("as given", "with whole floats as integers"):
            blank = dict(blank_values(prefix, values, schema))
            try:
                given = {key: value for key, value in values.items() if key not in (*unknown, *missing)}
                checked = schema.model_validate(given).model_dump(by_alias=True)
                self.errors += blank.values()
                return None if blank else checked
            except ValidationError as error:
                details = [one for one in error.errors() if one["type"] != "missing" or len(one["loc"]) > 1]
                if attempt == "as given" and _integers(values, details):
                    continue
                wrong = {str(one["loc"][0]) for one in details}
                self.errors += value_messages(prefix, details)
                self.errors += [text for key, text in blank.items() if key not in wrong]
                return None
        return None

    def _check_stages(self) -> None:
        """Judge each stage as the run that it would be alone."""
        normal, configs = [], []
        for index, stage in enumerate(self.normal["stages"]):
            self.errors += stage_faults(index, stage)
            try:
                alone = validate(merged(self.normal, stage))
            except ConfigError as error:
                self.errors += [f"stages[{index}]: {message}" for message in error.messages]
                continue
            kept = {group: {key: getattr(alone, group).plain()[key] for key in stage[group]} for group in STAGED}
            normal.append(stage | kept)
            state = stage["optimizer_state"]
            configs.append(StageConfig(stage["steps"], None, state, alone.data, alone.optimizer, alone.scheduler))
        self.normal["stages"], self.stages = normal, tuple(configs)

    def _typed(self, key: str) -> Any:
        """The value of a key of `RunConfig`."""
        value, schema = self.normal[key], GROUPS.get(key)
        if schema is None:
            return [StageOverrides.model_construct(**stage) for stage in value] if key == "stages" else value
        if issubclass(schema, SeveralComponents):
            several = schema.model_construct()
            several._components = ReadOnly(
                {name: self._component(f"{key}.{name}", node) for name, node in value.items()}
            )
            return several
        own = {name: value[field.alias or name] for name, field in schema.model_fields.items()}
        node = schema.model_construct(**own)
        if isinstance(node, ComponentGroup) and self.components[key] is not None:
            node._component = self._component(key, value)
        return node

    def _component(self, path: str, node: Mapping[str, Any]) -> Component:
        described = self.components[path]
        assert described is not None
        parts = {key: self._component(f"{path}.{key}", node[key]) for key in described.parts}
        return Component(described, ReadOnly({key: parts.get(key, node[key]) for key in described.options}))


def _missing_parts(path: str, component: ComponentSchema | None, node: Mapping[str, Any]) -> Iterator[str]:
    """What to say where an option that is a component of its own has a value that is none."""
    for part in component.parts if component else ():
        if part in node and not is_component(node[part]):
            yield f"{path}.{part}={node[part]}: should be a component, with a _target_ and its options"


@cache
def _ungrouped_schema() -> type[Node]:
    """The top-level keys that are no groups."""
    hints = get_type_hints(RunConfig, include_extras=True)
    fields: dict[str, Any] = {key: (hints[key], ...) for key in RunConfig.model_fields if key not in GROUPS}
    return create_model("Ungrouped", __base__=Node, **fields)


def _node_schema(path: str, schema: type[Node], component: ComponentSchema | None) -> type[Node]:
    """The keys of the platform and the options of the component as one schema. Raises ComponentError."""
    # Pydantic takes a millisecond to make a class, and a sweep judges a thousand configs by the same few.
    key = (path, schema, component.target if component else "")
    if key not in _MADE or _MADE[key][0] is not component:
        chosen = component.options if component else {}
        if both := [name for name in chosen if name in schema.model_fields]:
            raise ComponentError(f"{key[2]}: its option {both[0]!r} has the name of a key that every {path} has")
        hints = get_type_hints(schema, include_extras=True)
        fields: dict[str, Any] = {name: (hints[name], ...) for name in schema.model_fields}
        if "dotted_path" in fields:
            fields["dotted_path"] = (str | None, Field(alias="_target_"))
        fields |= {name: (kind, ...) for name, kind in chosen.items()}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an option may be called as a method of pydantic's that nobody needs here
            _MADE[key] = (component, create_model(path, __base__=Node, **fields))
    return _MADE[key][1]


_MADE: dict[tuple[str, type[Node], str], tuple[ComponentSchema | None, type[Node]]] = {}


def _integers(values: dict[str, Any], details: list[ErrorDetails]) -> bool:
    """Turn values such as 1e5, which YAML reads as a float, into the integers that their options want."""
    changed = False
    for detail in details:
        key, value = str(detail["loc"][0]), detail["input"]
        if detail["type"] != "int_type" or not (isinstance(value, float) and value.is_integer()) or key not in values:
            continue
        place = next((part for part in detail["loc"][1:] if isinstance(part, int)), None)
        if place is None and values[key] is value:
            values[key], changed = int(value), True
        elif place is not None and isinstance(values[key], list) and values[key][place] is value:
            values[key], changed = [*values[key][:place], int(value), *values[key][place + 1 :]], True
    return changed


def _keys(schema: type[Node]) -> list[str]:
    """The keys that a person may set, in the schema's order."""
    return [name for name in schema.model_fields if name != "dotted_path"]
