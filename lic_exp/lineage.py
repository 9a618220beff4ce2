"""A class and its bases as their source text has them, as far as it is ours to read."""

import ast
import builtins
import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from lic_exp.source_text import OURS, DefinitionNode, definition, dotted, parsed, places, source_file

ABSTRACT = ("abc", "enum", "typing")
"""Packages whose classes have no methods that a component is told by."""


class Home(NamedTuple):
    """Where a definition stands: its module, that one's file, and the syntax of it."""

    module: str
    path: Path
    tree: ast.Module

    @property
    def package(self) -> str:
        """The top-level one."""
        return self.module.split(".", maxsplit=1)[0]


Lineage = list[tuple[Home, DefinitionNode]]
"""A definition, and those of its bases that are written in the same top-level package or ours, depth first."""


def ancestry(home: Home, node: DefinitionNode) -> Lineage:
    """The lineage of a class; a function stands alone. Raises RecursionError where bases go in a circle."""
    return [(home, node), *(_bases(home, node) if isinstance(node, ast.ClassDef) else ())]


def _bases(home: Home, node: ast.ClassDef) -> Iterator[tuple[Home, ast.ClassDef]]:
    for base in node.bases:
        if (found := resolved(home, base)) is not None:
            yield found
            yield from _bases(*found)


def resolved(home: Home, expression: ast.expr) -> tuple[Home, ast.ClassDef] | None:
    """The class that a base or an annotation means, where it is written in the same top-level package or ours."""
    first, *rest = dotted(expression) or [""]
    known = places(home.tree, home.module, home.path)
    module, _, name = ".".join([known.get(first, f"{home.module}.{first}"), *rest]).rpartition(".")
    source = source_file(module) if module.split(".", maxsplit=1)[0] in (home.package, OURS) else None
    if source is None or source.suffix != ".py":
        return None
    there = Home(module, source, parsed(source))
    found = definition(there.tree, name)
    return (there, found) if isinstance(found, ast.ClassDef) else None


def is_whole(lineage: Lineage) -> bool:
    """Whether every base with methods of its own could be read."""
    return all(
        resolved(home, base) is not None or _is_abstract(home, base)
        for home, node in lineage
        for base in (node.bases if isinstance(node, ast.ClassDef) else ())
    )


def _is_abstract(home: Home, base: ast.expr) -> bool:
    first = (dotted(base) or [""])[0]
    place = places(home.tree, home.module, home.path).get(first, first)
    return hasattr(builtins, place) or place.split(".", maxsplit=1)[0] in ABSTRACT


def methods(lineage: Lineage) -> frozenset[str]:
    """The names of all functions in these classes."""
    return frozenset(part.name for _, node in lineage for part in node.body if isinstance(part, ast.FunctionDef))


def constructor(node: DefinitionNode) -> ast.FunctionDef | None:
    """What is called to make the object: a function itself, or a class's own `__init__`; None where it has none."""
    if isinstance(node, ast.FunctionDef):
        return node
    return next((part for part in node.body if isinstance(part, ast.FunctionDef) and part.name == "__init__"), None)


def positional(function: ast.FunctionDef, *, bound: bool) -> tuple[float, float]:
    """Fewest and most arguments that it takes by position. bound: whether the first is the object itself."""
    arguments = function.args
    most = len(arguments.posonlyargs) + len(arguments.args) - bound
    return most - len(arguments.defaults), math.inf if arguments.vararg else most
