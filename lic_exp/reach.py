"""What of a component its training is too short for: stages that it does not finish, terms that never begin.

And what is left of it: two components of which the same is left train the same.

By what components state of themselves (`WindowOptions`, `OnsetOptions`, `Follows`), without importing them.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from lic_exp.component_schema import describe
from lic_exp.progress import Progress
from lic_exp.requirements import Follows, OnsetOptions, WindowOptions


def unreached(node: Mapping[str, Any], end: Progress, path: str) -> Iterator[str]:
    """In words, what of a component, at this path of a config, a training to `end` never comes to.

    node: plain, with a `_target_`. end: what the first step after the training would be told.
    """
    for start, length, unit in _windows(node):
        last = getattr(end, unit)
        whole = f"{start + length:g} {unit}s"
        if start >= last:
            yield f"{path}: its stage begins at {unit} {start:g}, and this run has {last}: it is never reached"
        elif start + length > last:
            yield (
                f"{path}: its stage lasts to the end of {whole}, and this run has {last}: it ends after "
                f"{(last - start) / length:.0%} of the stage, and nothing follows that"
            )
    for start, ramp, unit in _onsets(node):
        last = getattr(end, unit)
        if start >= last:
            yield f"{path}: its term begins at {unit} {start:g}, and this run has {last}: it is never part of the loss"
        elif unit != "share" and start + ramp >= last:
            yield f"{path}: its term has its full weight from {unit} {start + ramp:g}, and this run has {last}"
    for name, part in _parts(node).items():
        yield from unreached(_placed(node, name, part), end, f"{path}.{name}")


def what_is_done(node: Mapping[str, Any], end: Progress) -> dict[str, Any] | None:
    """The component without what the run never comes to or gives no weight; None where nothing is left."""
    if _is_weightless(node) or any(start >= getattr(end, unit) for start, _, unit in [*_windows(node), *_onsets(node)]):
        return None
    parts = _parts(node)
    left = {name: what_is_done(_placed(node, name, part), end) for name, part in parts.items()}
    if not parts or None not in left.values():
        return dict(node)
    kept = [part for part in left.values() if part is not None]
    return kept[0] if len(kept) == 1 else None if not kept else dict(node)


def _windows(node: Mapping[str, Any]) -> Iterator[tuple[float, float, str]]:
    for one in describe(node["_target_"]).statements:
        if isinstance(one, WindowOptions):
            yield node[one.start], node[one.length], node[one.unit]


def _onsets(node: Mapping[str, Any]) -> Iterator[tuple[float, float, str]]:
    for one in describe(node["_target_"]).statements:
        if isinstance(one, OnsetOptions) and node[one.start] is not None:
            yield node[one.start], node[one.ramp], node[one.unit]


def _is_weightless(node: Mapping[str, Any]) -> bool:
    onsets = (one for one in describe(node["_target_"]).statements if isinstance(one, OnsetOptions))
    return any(one.weight is not None and node[one.weight] == 0 for one in onsets)


def _parts(node: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {key: value for key, value in node.items() if isinstance(value, Mapping) and value.get("_target_")}


def _placed(node: Mapping[str, Any], name: str, part: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part with the start that the component gives it, where it has none of its own."""
    for one in describe(node["_target_"]).statements:
        if isinstance(one, Follows) and one.part == name:
            (onset,) = (s for s in describe(part["_target_"]).statements if isinstance(s, OnsetOptions))
            for start, length, _ in _windows(node[one.after]):
                if part[onset.start] is None:
                    return {**part, onset.start: start + length - node[one.overlap]}
    return part
