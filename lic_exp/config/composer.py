"""Many command lines composed as one: what makes planning a thousand cells a matter of seconds."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf

from lic_exp.config.compose import REFUSALS, compose, composed, to_plain, wanted_criterion
from lic_exp.config.overrides import EXPERIMENT_NODES, Overrides, parsed


class Composer:
    """`compose` for many command lines: Hydra composes each choice of groups once, values are set on copies of it."""

    def __init__(self) -> None:
        self._bases: dict[tuple[str, ...], dict[str, Any] | None] = {}

    def __call__(self, overrides: Overrides) -> dict[str, Any]:
        """As `compose`."""
        choices = tuple(text for text in overrides.arguments if not text.startswith("++"))
        values = [parsed(text) for text in overrides.arguments if text.startswith("++")]
        if choices not in self._bases:
            self._bases[choices] = _unresolved(choices)
        base = self._bases[choices]
        config = None if base is None else _with_values(base, values)
        return compose(overrides) if config is None else config


def _unresolved(choices: Sequence[str]) -> dict[str, Any] | None:
    """The config of these group choices, interpolations as they are written; None where Hydra refuses."""
    try:
        config = composed(choices)
    except REFUSALS:
        return None
    node = OmegaConf.to_container(config, resolve=False)
    assert isinstance(node, dict)
    plain = {str(key): value for key, value in node.items() if key not in EXPERIMENT_NODES}
    if wanted := wanted_criterion(choices, plain):
        return _unresolved([*choices, *wanted])
    return plain


def _with_values(base: Mapping[str, Any], values: Sequence[Override]) -> dict[str, Any] | None:
    """A resolved copy of `base` with these values; None where only Hydra knows what setting one would mean."""
    config = copy.deepcopy(dict(base))
    for override in values:
        *parents, last = override.key_or_group.split(".")
        if parents and parents[0] in EXPERIMENT_NODES:
            continue
        value = copy.deepcopy(override.value())
        node: Any = config
        for parent in parents:
            node = node.get(parent) if isinstance(node, dict) else None
        simple = override.package is None and "[" not in override.key_or_group and "${" not in str(value)
        if not (simple and isinstance(node, dict)) or isinstance(value, dict) or isinstance(node.get(last), dict):
            return None
        node[last] = value
    if "${" not in str(config):
        return config
    try:
        return to_plain(OmegaConf.create(config))
    except REFUSALS:
        return None
