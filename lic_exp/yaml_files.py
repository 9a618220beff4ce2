"""YAML that is read back, within bounds. Imports no torch.

A few lines of YAML can stand for billions of values, by aliases of aliases, and nesting can take a parser's stack. So a
document is looked through before it is built: its size, its depth, and how much its aliases come to.
"""

from pathlib import Path
from typing import Any

import yaml

from lic_exp.records import RecordError, read_file

MOST_BYTES = 4 * 2**20
MOST_DEPTH = 100
MOST_NODES = 400_000
"""Values in all, each as often as an alias repeats it."""
LONGEST_SCALAR = 50_000
LONGEST_INTEGER = 100
"""Digits."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_BEGIN = (yaml.MappingStartEvent, yaml.SequenceStartEvent)
_END = (yaml.MappingEndEvent, yaml.SequenceEndEvent)
_FAULTS = (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
"""What PyYAML raises; a tag that a value does not fit, such as `!!bool 3`, raises whatever it meets."""


def read_yaml(path: Path) -> Any:
    """What a file of one YAML document holds. Raises FileNotFoundError, and RecordError."""
    try:
        return parse_yaml(read_file(path, MOST_BYTES).decode())
    except RecordError:
        raise
    except ValueError as error:
        raise RecordError(path, str(error)) from error


def parse_yaml(text: str) -> Any:
    """What a text of one YAML document holds. Raises ValueError for anything that is none, or is out of bounds."""
    return parse_counted(text)[0]


def parse_counted(text: str) -> tuple[Any, int]:
    """The same, with how many values that is, its aliases followed."""
    try:
        _check_events(text)
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None, 0
            count = _expanded(node, {})
            value = loader.construct_document(node)
        finally:
            loader.dispose()
        _check_values(value)
    except _FAULTS as error:
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from error
    return value, count


def _check_events(text: str) -> None:
    """Raise ValueError for what must not be built at all."""
    depth = 0
    for count, event in enumerate(yaml.parse(text, _Loader)):
        if isinstance(event, _BEGIN):
            depth += 1
        elif isinstance(event, _END):
            depth -= 1
        elif isinstance(event, yaml.ScalarEvent) and len(event.value) > LONGEST_SCALAR:
            raise ValueError(f"it has a value of {len(event.value)} characters, more than {LONGEST_SCALAR}")
        if depth > MOST_DEPTH:
            raise ValueError(f"it is nested more than {MOST_DEPTH} deep")
        if count > MOST_NODES:
            raise ValueError(f"it has more than {MOST_NODES} values")


def _expanded(node: yaml.Node, known: dict[int, int | None]) -> int:
    """How many values a node stands for, its aliases followed. Raises ValueError where one holds itself, or many."""
    place = id(node)
    if place in known:
        if (count := known[place]) is None:
            raise ValueError("it holds an alias of what it is part of")
        return count
    known[place] = None
    parts: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        parts = [part for pair in node.value for part in pair]
    elif isinstance(node, yaml.SequenceNode):
        parts = node.value
    total = 1 + sum(_expanded(part, known) for part in parts)
    if total > MOST_NODES:
        raise ValueError(f"its aliases come to more than {MOST_NODES} values")
    known[place] = total
    return total


def _check_values(value: Any) -> None:
    """Raise ValueError for what could not be written again: a number without end, or half a character."""
    if isinstance(value, dict):
        for key, entry in value.items():
            _check_values(key)
            _check_values(entry)
    elif isinstance(value, list | tuple | set):
        for entry in value:
            _check_values(entry)
    elif isinstance(value, str):
        value.encode()
    elif isinstance(value, int) and abs(value) >= 10**LONGEST_INTEGER:
        raise ValueError(f"it has a number of more than {LONGEST_INTEGER} digits")
