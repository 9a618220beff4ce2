"""The definitions that a piece of code can come to use, read as text: nothing is imported.

A definition is what a statement at the top level of a module binds: a function, a class with all its methods, a
constant. It uses those whose names stand in it, wherever they were imported from; annotations of functions compute
nothing, and are passed over.

That holds for packages whose code is known to be used by its names (`Sources.by_definition`). Any other may register
things, patch others, or look them up by a text; so a module of it counts whole, with the modules that it imports.
"""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from typing import Any

from lic_exp.runs import modules_read
from lic_exp.runs.modules_read import Module, Sources, imports_in, prefixes, read_module
from lic_exp.runs.names_used import names_used

Definition = tuple[str, str]
"""(module, name)"""


def meanings(root: str, sources: Sources) -> frozenset[str] | None:
    """What the definition at a dotted path and all that it can come to use say; None where it is not to be found."""
    found = reached(root, sources)
    return None if found is None else frozenset(_read(which, sources)[0] for which in found)


@cache
def reached(root: str, sources: Sources) -> frozenset[Definition] | None:
    """The definition at a dotted path and all that it can come to use; None where it is not to be found."""
    first = _at(root, sources)
    if not isinstance(first, tuple):
        return None
    seen = {first, *_whole(root, sources)}
    left = [*seen]
    while left:
        _, uses = _read(left.pop(), sources)
        left += uses - seen
        seen |= uses
    return frozenset(seen)


@cache
def _whole(path: str, sources: Sources) -> frozenset[Definition]:
    """All of the module at a dotted path, of the packages that it lies in, and of what these import, as it counts."""
    found: set[Definition] = set()
    seen, left = set[str](), prefixes(path)
    while left:
        name = left.pop()
        module = None if name in seen or not sources.counts_whole(name) else read_module(name, sources)
        seen.add(name)
        if module is not None and sources.counts(name):
            found |= {(name, each) for each in (EFFECTS, *module.definitions)}
            left += [prefix for load in module.loads for prefix in prefixes(load)]
    return frozenset(found)


def forget() -> None:
    """Read all code anew: of a folder that was replaced in the meantime."""
    modules_read.forget()
    for known in (reached, _whole, _read, _digest, _said):
        known.cache_clear()


EFFECTS = ""
"""The name of what a module does when it is imported."""


@cache
def _read(which: Definition, sources: Sources) -> tuple[str, frozenset[Definition]]:
    """What a definition says, with what its names mean, and the definitions that these are."""
    here = read_module(which[0], sources)
    assert here is not None
    known = dict(here.imported)
    statements = here.effects if which[1] == EFFECTS else here.definitions[which[1]]
    for statement in statements:
        known |= imports_in(statement, here.name, sources)
    meant, uses = [], {*_whole(here.name, sources), *([(here.name, EFFECTS)] if here.effects else [])}
    for chain in sorted({chain for statement in statements for chain in names_used(statement)}):
        found = _meaning(chain, here, known, sources)
        if isinstance(found, tuple) and not sources.counts(*found):
            continue
        if isinstance(found, tuple):
            meant.append(f"{'.'.join(chain)}={_digest(found, sources)}")
            uses.add(found)
        elif isinstance(found, Module) and sources.counts(found.name):
            uses.update(_named(found, sources))
        elif isinstance(found, str):
            meant.append(f"{'.'.join(chain)}={found}")
    return "\0".join([_said(which, sources), *meant]), frozenset(uses)


def _named(module: Module, sources: Sources) -> Iterator[Definition]:
    """What can be had of a module or package as such, by any name."""
    for name in (*module.definitions, *module.imported):
        found = _in(module, name, sources)
        if isinstance(found, tuple) and sources.counts(*found):
            yield found


def _meaning(
    chain: tuple[str, ...], here: Module, known: dict[str, str], sources: Sources
) -> Definition | Module | str | None:
    """What a dotted name in a module is: a definition, a module as such, or the path of something of a library's."""
    first, *rest = chain
    if first in known:
        path = ".".join([known[first], *rest])
        found = _at(path, sources)
        return path if found is None and sources.file(path.split(".", maxsplit=1)[0]) is None else found
    return _in(here, first, sources)


def _at(path: str, sources: Sources) -> Definition | Module | None:
    """What is at a dotted path: of the longest part of it that is a module, the definition that the next name is."""
    names = path.split(".")
    for count in range(len(names), 0, -1):
        module = read_module(".".join(names[:count]), sources)
        if module is not None:
            return module if count == len(names) else _in(module, names[count], sources, names[count + 1 :])
    return None


def _in(module: Module, name: str, sources: Sources, rest: list[str] | None = None) -> Definition | Module | None:
    if name in module.definitions:
        return module.name, name
    if name in module.imported:
        path = ".".join([module.imported[name], *(rest or [])])
        return _at(path, sources) if path != f"{module.name}.{name}" else None
    there = (_at(f"{star}.{name}", sources) for star in module.stars if star != module.name)
    return next((found for found in there if found is not None), None)


@cache
def _digest(which: Definition, sources: Sources) -> str:
    return hashlib.sha256(_said(which, sources).encode()).hexdigest()[:16]


@cache
def _said(which: Definition, sources: Sources) -> str:
    """The statements of a definition without what computes nothing."""
    module = read_module(which[0], sources)
    assert module is not None
    statements = module.effects if which[1] == EFFECTS else module.definitions[which[1]]
    return repr([_told(statement, sources, within=None) for statement in statements])


SILENT = frozenset(("ctx", "type_comment", "kind", "returns", "annotation"))
"""Fields of syntax that compute nothing."""


def _told(node: Any, sources: Sources, within: str | None) -> Any:
    """Syntax as plain containers, the same by every version of Python. within: the kind of node that it stands in."""
    if isinstance(node, list):
        return [_told(part, sources, within) for part in node if not _says_nothing(part, sources)]
    if not isinstance(node, ast.AST):
        return repr(node)
    kind = type(node).__name__
    if kind == "Constant":
        return kind, repr(getattr(node, "value", None))
    # Of a class's fields the annotation decides what they are.
    left_out = SILENT if kind == "arg" or within != "ClassDef" else SILENT - {"annotation"}
    parts = {}
    for name in node._fields:
        value = getattr(node, name, None)
        if value is None or name in left_out:
            continue
        part = _told(value, sources, kind if name == "body" else within)
        if part != []:
            parts[name] = part
    return kind, parts


def _says_nothing(node: Any, sources: Sources) -> bool:
    """Whether it is a docstring, `pass`, or an import of what is told where it is defined."""
    if isinstance(node, ast.ImportFrom):
        return node.level > 0 or sources.file((node.module or "").split(".")[0]) is not None
    if isinstance(node, ast.Import):
        return all(sources.file(alias.name.split(".")[0]) is not None for alias in node.names)
    return isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
