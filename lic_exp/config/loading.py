"""The one way in: overrides to a `RunConfig`, parsed, composed, validated and, when first asked for, signed, once."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from types import MappingProxyType
from typing import Any

from lic_exp.config import rules
from lic_exp.config.compose import compose
from lic_exp.config.contents import pretrained_card
from lic_exp.config.errors import ConfigError
from lic_exp.config.options import groups
from lic_exp.config.overrides import Overrides, RefusedOverridesError, parse
from lic_exp.config.schema import RunConfig
from lic_exp.config.validation import faults, validate


def texts(given: Sequence[str], what: str = "overrides") -> list[str]:
    """What Python code gave as a list of texts. Raises ConfigError for one text, whose letters would be the entries."""
    if isinstance(given, str):
        raise ConfigError([f"{what}={given!r} is one text; give a list of them: [{given!r}]"])
    if wrong := [one for one in given if not isinstance(one, str)]:
        raise ConfigError([f"{what}: {wrong[0]!r} is no text"])
    return list(given)


def load_config(overrides: Sequence[str] | Overrides) -> RunConfig:
    """The config of the one run that these overrides describe.

    Raises ConfigError, with everything that is wrong at once, before anything is read but the configuration.
    """
    if isinstance(overrides, Overrides):
        return validate(compose(overrides))
    with everything_said():
        parsed = parse(texts(overrides))
    if parsed.sweeping:
        raise ConfigError(["these overrides describe several runs; a config is of one"])
    return validate(compose(parsed))


@contextmanager
def everything_said() -> Iterator[None]:
    """Where overrides are refused one by one, say also what is wrong with what the others make."""
    try:
        yield
    except RefusedOverridesError as error:
        more = [text for text in _also_wrong(error.accepted) if not error.concerns(text)]
        raise ConfigError([*error.messages, *more]) from None


def _also_wrong(accepted: Overrides) -> list[str]:
    try:
        validate(compose(accepted))
    except ConfigError as error:
        return error.messages
    return []


def load_part(
    group: str, name: str, *, plugins: Sequence[str] = (), options: Mapping[str, Any] = MappingProxyType({})
) -> RunConfig:
    """A config with this choice of one group, which alone is to be used: how it suits the others does not matter.

    options: of the group; set after composition, so that they need no syntax of overrides. Raises ConfigError.
    """
    plugins = texts(plugins, "plugins")
    plain = compose(parse([f"{group}={name}", *([f"plugins=[{','.join(plugins)}]"] if plugins else [])]))
    plain[group] |= options
    config = validate(plain, rules_too=False)
    if wrong := rules.check({group: plain[group]}, {}):  # the rules that no other group has a part in
        raise ConfigError(wrong)
    return config


def load_pretrained(name: str) -> RunConfig:
    """A config whose model is this pretrained codec, as `load_part` gives one. Raises ConfigError."""
    known = pretrained_card(name)
    return load_part("model", known["model"], options={**known.get("options", {}), "weights": name})


def with_values(config: RunConfig, values: Mapping[str, Any]) -> RunConfig:
    """The config with other values of these keys, e.g. {"model.weights": None}; judged anew. Raises ConfigError."""
    plain = deepcopy(config.plain())
    for key, value in values.items():
        _set(plain, key.split("."), value)
    return validate(plain, rules_too=False)


def faults_with(config: RunConfig, values: Mapping[str, Any]) -> list[str]:
    """What would be wrong with the config if these keys had these values."""
    plain = deepcopy(config.plain())
    for key, value in values.items():
        _set(plain, key.split("."), value)
    return faults(plain)[0]


def overridden(config: RunConfig, overrides: Sequence[str]) -> RunConfig:
    """The config with these overrides of single keys in it. Raises ConfigError where one cannot be read."""
    plugins = config.plugins
    with everything_said():
        parsed = parse([*([f"plugins=[{','.join(plugins)}]"] if plugins else []), *texts(overrides)])
    if parsed.sweeping:
        raise ConfigError(["an override has several values; extend makes one run"])
    composed, plain = compose(parsed), deepcopy(config.plain())
    keys = [override.lstrip("+").partition("=")[0] for override in overrides]
    # A group's option first: it brings the keys that other overrides set.
    known = groups(plugins)
    for key in sorted(keys, key=lambda key: key not in known):
        path = key.split(".")
        _set(plain, path, _get(composed, path))
    return validate(plain, rules_too=False)


def _get(node: Mapping[str, Any], path: Sequence[str]) -> Any:
    for name in path:
        if not isinstance(node, Mapping) or name not in node:
            raise ConfigError(
                [f"{name} cannot be chosen for an extension; give single keys, e.g. trainer.max_steps=1000"]
            )
        node = node[name]
    return node


def _set(node: dict[str, Any], path: Sequence[str], value: Any) -> None:
    *above, last = path
    for name in above:
        if not isinstance(node.get(name), dict):
            raise ConfigError([f"{'.'.join(path)}: there is no {name} in this run's config"])
        node = node[name]
    node[last] = value
