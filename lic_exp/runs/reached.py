"""The definitions that a piece of code can come to use, read as text: nothing is imported.

A definition is what a statement at the top level of a module binds: a function, a class with all its methods, a
constant. It uses those whose names stand in it, wherever they were imported from; annotations of functions compute
nothing, and are passed over.
"""

import ast
import hashlib
import sysconfig
from dataclasses import dataclass, field
from functools import cache
from importlib.util import resolve_name
from pathlib import Path
from typing import Any

from lic_exp.runs.names_used import DEFINED, names_bound, names_used, statements
from lic_exp.source_text import SourceError, dotted, parsed, source_file

Definition = tuple[str, str]
"""(module, name)"""

LIBRARIES = tuple({Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
"""Where what is no code of the user's own is installed."""


@dataclass(frozen=True)
class Module:
    """A module. definitions: statements by the name that they bind. imported: {name here: dotted path of what it is}.

    stars: the modules all of whose names it takes. effects: statements that bind nothing and do something.
    """

    name: str
    definitions: dict[str, list[ast.stmt]] = field(default_factory=dict)
    imported: dict[str, str] = field(default_factory=dict)
    stars: list[str] = field(default_factory=list)
    effects: list[ast.stmt] = field(default_factory=list)


@dataclass(frozen=True)
class Sources:
    """Where modules are found.

    own: packages to be read even where they are installed. quiet: modules and packages whose definitions compute
    nothing. root: a folder that is looked through first, or None.
    """

    own: frozenset[str]
    quiet: frozenset[str] = frozenset()
    root: Path | None = None

    def counts(self, module: str) -> bool:
        """Whether what a module defines can change a result."""
        names = module.split(".")
        return not any(".".join(names[:count]) in self.quiet for count in range(1, len(names) + 1))

    def file(self, module: str) -> Path | None:
        """The source file of a module of the house or of the user's own; None of any other."""
        top, *rest = module.split(".")
        if self.root is not None and any((self.root / name).exists() for name in (top, f"{top}.py")):
            stem = Path(self.root, top, *rest)
            return next((path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.is_file()), None)
        found = source_file(module) if self._is_read(top) else None
        return found if found is not None and found.suffix == ".py" else None

    def _is_read(self, top: str) -> bool:
        return top in self.own or not _is_library(top)


@cache
def _is_library(top: str) -> bool:
    path = source_file(top)
    return path is None or any(path.is_relative_to(place) for place in LIBRARIES) or "dist-packages" in path.parts


def meanings(root: str, sources: Sources) -> frozenset[str] | None:
    """What the definition at a dotted path and all that it can come to use say; None where it is not to be found."""
    found = _at(root, sources)
    return None if not isinstance(found, tuple) else _closure(found, sources)


@cache
def _closure(root: Definition, sources: Sources) -> frozenset[str]:
    texts: set[str] = set()
    seen, left = {root}, [root]
    while left:
        text, uses = _read(left.pop(), sources)
        texts.add(text)
        left += uses - seen
        seen |= uses
    return frozenset(texts)


def forget() -> None:
    """Read all code anew: of a folder that was replaced in the meantime."""
    for known in (_closure, _read, _digest, _said, _module, _is_library):
        known.cache_clear()


EFFECTS = ""
"""The name of what a module does when it is imported."""


@cache
def _read(which: Definition, sources: Sources) -> tuple[str, frozenset[Definition]]:
    """What a definition says, with what its names mean, and the definitions that these are."""
    here = _module(which[0], sources)
    assert here is not None
    known = dict(here.imported)
    statements = here.effects if which[1] == EFFECTS else here.definitions[which[1]]
    for statement in statements:
        known |= _imports(statement, here.name, sources)
    meant, uses = [], {(here.name, EFFECTS)} if here.effects else set()
    for chain in sorted({chain for statement in statements for chain in names_used(statement)}):
        found = _meaning(chain, here, known, sources)
        if isinstance(found, tuple) and not sources.counts(found[0]):
            continue
        if isinstance(found, tuple):
            meant.append(f"{'.'.join(chain)}={_digest(found, sources)}")
            uses.add(found)
        elif isinstance(found, Module) and sources.counts(found.name):
            uses |= {(found.name, name) for name in found.definitions}
        elif isinstance(found, str):
            meant.append(f"{'.'.join(chain)}={found}")
    return "\0".join([_said(which, sources), *meant]), frozenset(uses)


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
        module = _module(".".join(names[:count]), sources)
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
    module = _module(which[0], sources)
    assert module is not None
    statements = module.effects if which[1] == EFFECTS else module.definitions[which[1]]
    return repr([_told(statement, sources, within=None) for statement in statements])


SILENT = frozenset(("ctx", "type_comment", "kind", "returns", "annotation"))
"""Fields of syntax that compute nothing."""


def _told(node: Any, sources: Sources, within: str | None) -> Any:
    """Syntax as plain containers, the same by every version of Python. within: the kind of node that it stands in."""
    if isinstance(node, list):
        told = [_told(part, sources, within) for part in node if not _says_nothing(part, sources)]
        return [part for part in told if part is not None]
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


@cache
def _module(name: str, sources: Sources) -> Module | None:
    """None where there is none of that name to be read. One that is no Python says nothing that could be used."""
    path = sources.file(name)
    if path is None:
        return None
    module = Module(name)
    try:
        body = parsed(path).body
    except SourceError:
        body = []
    for statement in body:
        _sort_in(statement, module, sources)
    return module


def _sort_in(statement: ast.stmt, module: Module, sources: Sources) -> None:
    if isinstance(statement, ast.Import | ast.ImportFrom):
        module.imported.update(_imports(statement, module.name, sources))
        if isinstance(statement, ast.ImportFrom) and any(alias.name == "*" for alias in statement.names):
            module.stars.append(_home(statement, module.name, sources))
        return
    if isinstance(statement, ast.If) and "TYPE_CHECKING" in (dotted(statement.test) or ()):
        for other in statement.orelse:
            _sort_in(other, module, sources)
        return
    if not isinstance(statement, DEFINED):
        module.imported.update(_imports(statement, module.name, sources))
    bound = names_bound(statement)
    for name in bound:
        module.definitions.setdefault(name, []).append(statement)
    is_text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    if not (bound or is_text) or isinstance(statement, COMPOUND) or _is_registered(statement, module, sources):
        module.effects.append(statement)


COMPOUND = (ast.For, ast.While, ast.With, ast.If, ast.Try)
"""Statements at the top level that may do something beside what they bind."""


def _is_registered(statement: ast.stmt, module: Module, sources: Sources) -> bool:
    """Whether a decorator hands a definition over, as `@scale.register` does: then nobody needs to name it."""
    for decorator in statement.decorator_list if isinstance(statement, DEFINED) else ():
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        first, *rest = dotted(called) or ("",)
        home = module.imported.get(first)
        of_ours = home is None or sources.file(home.split(".")[0]) is not None
        if rest and (of_ours or rest[-1].startswith("register") or rest[-1] == "impl"):
            return True
    return False


def _imports(statement: ast.stmt, module: str, sources: Sources) -> dict[str, str]:
    """{name: dotted path of what it is} of the imports in a statement."""
    found: dict[str, str] = {}
    for node in statements(statement):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.split(".")[0]
                found[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom):
            home = _home(node, module, sources)
            found |= {alias.asname or alias.name: f"{home}.{alias.name}" for alias in node.names if alias.name != "*"}
    return found


def _home(node: ast.ImportFrom, module: str, sources: Sources) -> str:
    """The module that something is imported from."""
    path = sources.file(module)
    package = module if path is not None and path.name == "__init__.py" else module.rpartition(".")[0]
    return resolve_name("." * node.level + (node.module or ""), package)
