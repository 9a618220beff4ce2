"""The components that a plain config chooses, as their source describes them."""

from collections.abc import Iterator, Mapping
from typing import Any

from lic_exp.capabilities import TrackerNeeds
from lic_exp.component_kinds import check_kind
from lic_exp.component_schema import ComponentError, ComponentSchema, describe
from lic_exp.source_text import OURS, is_installed


def at(config: Mapping[str, Any], path: str) -> Any:
    """What stands at a dotted path."""
    node: Any = config
    for key in path.split("."):
        node = node[key]
    return node


def is_component(node: Any) -> bool:
    """Whether a node chooses one, be it null."""
    return isinstance(node, Mapping) and "_target_" in node


def chosen(path: str, config: Mapping[str, Any], known: Mapping[str, ComponentSchema | None]) -> ComponentSchema | None:
    """The component at `path`, which is one of its group; None where none is chosen. Raises ComponentError.

    known: those found before, of which one may be its owner.
    """
    target = at(config, path).get("_target_")
    if target is None:
        return None
    if not isinstance(target, str):
        raise ComponentError(f"{target} should be a dotted path, package.module.Name")
    allowed = [OURS, *(config.get("plugins") or [])]
    top = target.split(".", maxsplit=1)[0]
    if top not in allowed:
        raise ComponentError(
            f"{target} is outside the packages that may be instantiated ({', '.join(allowed)}); add plugins=[{top}]"
        )
    found = describe(target)
    check_kind(path, found, known.get(path.rpartition(".")[0]))
    return found


def targets(config: Mapping[str, Any]) -> list[str]:
    """The dotted paths of all components of a plain config that can change its result, each once, sorted."""
    return sorted(set(_targets({group: node for group, node in config.items() if group != "tracker"})))


def _targets(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        if isinstance(target := node.get("_target_"), str):
            yield target
        for part in node.values():
            yield from _targets(part)
    elif isinstance(node, list | tuple):
        for part in node:
            yield from _targets(part)


def not_installed(path: str, component: ComponentSchema | None) -> Iterator[str]:
    """What to say where a component works with an optional package that is not there."""
    needs = component.facts if component else None
    if isinstance(needs, TrackerNeeds) and not is_installed(needs.package):
        yield f"{path} needs the package {needs.package}: pip install 'lic-exp[{needs.extra}]'"
