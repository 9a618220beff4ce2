"""A nested config as one level: {"group.key": value}. Imports nothing."""

import json
from collections.abc import Iterator, Mapping
from typing import Any


def leaves(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of everything in nested mappings; an empty mapping is a value."""
    for name, value in node.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `leaves`: {dotted key: value} as nested dictionaries."""
    whole: dict[str, Any] = {}
    for name, value in flat.items():
        *path, key = name.split(".")
        node = whole
        for part in path:
            node = node.setdefault(part, {})
        node[key] = value
    return whole


def flatten(node: Mapping[str, Any]) -> dict[str, str]:
    """{dotted key: text}; other values than strings in JSON's spelling (null, true, [1, 2])."""
    return {name: value if isinstance(value, str) else json.dumps(value, default=str) for name, value in leaves(node)}


def component_label(node: Any) -> str:
    """A short name of a config node: of a component its class, of several their names joined by `+`."""
    if isinstance(node, Mapping) and "_target_" in node:
        return str(node["_target_"] or "none").rpartition(".")[-1]
    parts = [name for name, part in node.items() if part is not None] if isinstance(node, Mapping) else node
    if isinstance(parts, list):
        return "+".join(component_label(part) for part in parts) or "none"
    return "none" if parts is None else str(parts)
