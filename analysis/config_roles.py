"""What tells runs apart that no sweep has named: the keys of their configs that can change a training."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import Any

from lic_exp.component_schema import ComponentError, describe
from lic_exp.config.schema import GROUPS, RunConfig, neutral_values
from lic_exp.config.stored import todays_keys
from lic_exp.flat import component_label, leaves
from lic_exp.labels import SEED
from lic_exp.option_types import Neutral, Unsigned

NEVER = ("schema_version", "parent", "parent_step", "weights_key")
ONLY_SPEED = ("trainer.device", "trainer.threads")
"""What changes no more than how fast a run is, or the last bits of its numbers."""


def config_roles(configs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Of each config {key: value} of all that can change a training, the seed and the rates among them.

    A component is told by its short name under the name of its group. Its options count only where others have the
    same component, since those of another have no meaning for it; a key that all have alike is left out. Configs of
    former versions count as what they mean today.
    """
    flat = [dict(_leaves(todays_keys(config))) for config in configs]
    roles: list[dict[str, Any]] = [{} for _ in flat]
    for key in dict.fromkeys(key for one in flat for key in one):
        group = _group(key)
        for choice in dict.fromkeys(_choice(one, group) for one in flat):
            places = [i for i, one in enumerate(flat) if _choice(one, group) == choice]
            if len({repr(flat[i].get(key)) for i in places}) > 1 or key == SEED:
                for i in places:
                    if key in flat[i]:
                        roles[i][key] = flat[i][key]
    return roles


def is_unsigned(key: str, target: Any) -> bool:
    """Whether a key of a group stays out of a run's name. target: the component of its group, None of the platform's.

    Where images lie says which they are, so that it does not count as unsigned.
    """
    group, _, option = key.partition(".")
    return option in _unsigned(group) | _unsigned_options(target)


def neutral(key: str, target: Any, otherwise: Any) -> Any:
    """What a run means that is too old to have this key of a group, in the form of `Runs.runs`.

    target: the component of its group. otherwise: of a key that was there from the start, or is another component's.
    """
    group, _, option = key.partition(".")
    found = (_neutral(group) | _neutral_options(target)).get(option, otherwise)
    return tuple(found) if isinstance(found, list) else found


def _group(key: str) -> str:
    """The group whose choice decides what an option means; "" of a group itself, and of keys of the platform."""
    return key.partition(".")[0] if "." in key else ""


def _choice(flat: Mapping[str, Any], group: str) -> str:
    return repr(flat.get(group)) if group else ""


def _leaves(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in config.items():
        if name in _unsigned("") or name in NEVER:
            continue
        if not isinstance(value, Mapping):
            yield name, value
            continue
        if _has_component(value):
            yield name, component_label(value)
        quiet = _unsigned(name) | _unsigned_options(value.get("_target_"))
        for key, option in leaves(value):
            if key != "_target_" and key not in (*quiet, *NEVER) and f"{name}.{key}" not in ONLY_SPEED:
                yield f"{name}.{key}", option


def _has_component(node: Mapping[str, Any]) -> bool:
    return "_target_" in node or any(isinstance(part, Mapping) and "_target_" in part for part in node.values())


@cache
def _unsigned(group: str) -> frozenset[str]:
    """The keys of a group of the platform that stay out of a run's name; "": of the config itself."""
    fields: Any = RunConfig.model_fields
    if group:
        kind = fields[group].annotation if group in fields else None
        fields = getattr(kind, "model_fields", {})
    return frozenset(name for name, own in fields.items() if any(isinstance(mark, Unsigned) for mark in own.metadata))


@cache
def _unsigned_options(target: Any) -> frozenset[str]:
    """The same of a component's options; none where its source is not here. Where images lie says which they are."""
    return frozenset(name for name, mark in _marks(target) if isinstance(mark, Unsigned)) - {"train", "val"}


@cache
def _neutral(group: str) -> dict[str, Any]:
    return neutral_values(GROUPS[group]) if group in GROUPS else {}


@cache
def _neutral_options(target: Any) -> dict[str, Any]:
    return {name: mark.value for name, mark in _marks(target) if isinstance(mark, Neutral)}


def _marks(target: Any) -> Iterator[tuple[str, Any]]:
    """(option, what it is marked with) of a component; nothing where its source is not here."""
    if not isinstance(target, str):
        return
    with suppress(ComponentError):
        for name, kind in describe(target).options.items():
            for mark in getattr(kind, "__metadata__", ()):
                yield name, mark
