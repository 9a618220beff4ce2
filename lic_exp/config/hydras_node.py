"""What options may make of the node `hydra`: launchers and sweepers, and nothing that Hydra would call."""

from collections.abc import Iterator, Sequence
from typing import Any

from omegaconf import OmegaConf

from lic_exp.config.compose import composed, naming_the_culprit
from lic_exp.config.errors import ConfigError
from lic_exp.config.hydras_keys import is_hydras
from lic_exp.config.overrides import choices, is_sweep, parsed

FREE = ("launcher", "sweeper", "mode", "overrides", "runtime")
"""Keys of Hydra's node that an option may set, and those by which it records what was asked for."""


def check_hydras_node(arguments: Sequence[str]) -> None:
    """Raise ConfigError where options change what Hydra does otherwise than in launchers and sweepers.

    It makes log handlers and callbacks of what stands there: a YAML file would run code. What the command line says of
    them is judged where it is parsed.
    """
    single = [text for text in arguments if not is_sweep(text)]
    expected = _fixed([text for text in single if is_hydras(parsed(text).key_or_group)])
    for line in [single, *([*single, choice] for text in arguments if is_sweep(text) for choice in choices(text))]:
        with naming_the_culprit(line):
            found = _fixed(line)
        for key in sorted({*found, *expected}):
            if found.get(key) != expected.get(key):
                raise ConfigError(
                    [
                        f"hydra.{key}: an option that was chosen sets it; of Hydra's own an option may set "
                        "launcher and sweeper, the command line the rest"
                    ]
                )


def _fixed(arguments: Sequence[str]) -> dict[str, Any]:
    """What of Hydra's node is the same whatever is trained. Raises ConfigError where its launcher would call more."""
    node = OmegaConf.to_container(composed(arguments, return_hydra_config=True).hydra)
    assert isinstance(node, dict)
    for key in ("launcher", "sweeper"):
        for target in _targets(node[key]):
            raise ConfigError([f"hydra.{key}: Hydra would call {target}, which is no component"])
    fixed = {str(key): value for key, value in node.items() if key not in FREE}
    fixed["job"] = {key: value for key, value in fixed["job"].items() if key not in ("name", "override_dirname")}
    return fixed


def _targets(node: Any, depth: int = 0) -> Iterator[str]:
    """The `_target_`s below the top of a node."""
    parts = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, part in parts:
        if key == "_target_" and depth:
            yield str(part)
        yield from _targets(part, depth + 1)
