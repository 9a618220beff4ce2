"""Modules as text: what each defines, what it imports, and what it does; nothing is imported."""

import ast
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.util import resolve_name
from pathlib import Path

from lic_exp.runs.names_used import DEFINED, names_bound, statements
from lic_exp.source_text import SourceError, dotted, parsed, source_file

LIBRARIES = tuple({Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
"""Where what is no code of the user's own is installed."""


@dataclass(frozen=True)
class Module:
    """A module. definitions: statements by the name that they bind. imported: {name here: dotted path of what it is}.

    stars: the modules all of whose names it takes. effects: statements that bind nothing and do something.
    loads: of a module that counts whole, the dotted paths of all that it imports, wherever in it.
    """

    name: str
    definitions: dict[str, list[ast.stmt]] = field(default_factory=dict)
    imported: dict[str, str] = field(default_factory=dict)
    stars: list[str] = field(default_factory=list)
    effects: list[ast.stmt] = field(default_factory=list)
    loads: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Sources:
    """Where modules are found.

    own: packages to be read even where they are installed. by_definition: packages of which only those definitions
    count that are used; a module of any other counts whole. quiet: packages, modules and definitions that compute
    nothing. heard: those within them that do. root: a folder that is looked through first, or None.
    """

    own: frozenset[str]
    by_definition: frozenset[str] = frozenset()
    quiet: frozenset[str] = frozenset()
    heard: frozenset[str] = frozenset()
    root: Path | None = None

    def counts(self, module: str, name: str = "") -> bool:
        """Whether what a module defines, by this name, can change a result: the closest word on it decides."""
        places = [f"{module}.{name}", *prefixes(module)]
        said = (place in self.heard for place in places if place in self.heard or place in self.quiet)
        return next(said, True)

    def counts_whole(self, module: str) -> bool:
        """Whether all of a module counts once something of it is used."""
        return module.split(".", maxsplit=1)[0] not in self.by_definition

    def file(self, module: str) -> Path | None:
        """The source file of a module of the house or of the user's own; None of any other."""
        top, *rest = module.split(".")
        if self.root is not None and any((self.root / name).exists() for name in (top, f"{top}.py")):
            stem = Path(self.root, top, *rest)
            return next((path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.is_file()), None)
        found = source_file(module) if self._is_read(top) else None
        return found if found is not None and found.suffix == ".py" else None

    def _is_read(self, top: str) -> bool:
        return top in self.own or not is_library(top)


def prefixes(path: str) -> list[str]:
    """Of `a.b.c` itself, `a.b` and `a`."""
    names = path.split(".")
    return [".".join(names[:count]) for count in range(len(names), 0, -1)]


_libraries: dict[str, bool] = {}


def is_library(top: str) -> bool:
    """Whether a top-level name is no code of the user's own: what is installed, built in, or not there at all."""
    if top not in _libraries:
        path = source_file(top)
        installed = path is None or any(path.is_relative_to(place) for place in LIBRARIES)
        _libraries[top] = installed or bool(path and {"site-packages", "dist-packages"} & set(path.parts))
    return _libraries[top]


def asked_about() -> list[str]:
    """The names that `is_library` was asked about."""
    return sorted(_libraries)


def forget() -> None:
    """Read all modules anew."""
    read_module.cache_clear()
    _libraries.clear()


@cache
def read_module(name: str, sources: Sources) -> Module | None:
    """None where there is none of that name to be read. One that is no Python says nothing that could be used."""
    path = sources.file(name)
    if path is None:
        return None
    module = Module(name)
    try:
        body = parsed(path).body
    except SourceError:
        body = []
    for statement in _run_on_import(body):
        _sort_in(statement, module, sources)
        if sources.counts_whole(name):
            module.loads.update(_loads(statement, module, sources))
    return module


def _run_on_import(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements without what is only for the type check, or for a module that is run as a program."""
    for statement in body:
        if isinstance(statement, ast.If) and _never_holds(statement.test):
            yield from _run_on_import(statement.orelse)
        else:
            yield statement


def _never_holds(test: ast.expr) -> bool:
    if isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.Eq):
        sides = (test.left, test.comparators[0])
        return {getattr(side, "id", getattr(side, "value", None)) for side in sides} == {"__name__", "__main__"}
    return "TYPE_CHECKING" in (dotted(test) or ())


def _sort_in(statement: ast.stmt, module: Module, sources: Sources) -> None:
    if isinstance(statement, ast.Import | ast.ImportFrom):
        _take_names(statement, module, sources)
        return
    if not isinstance(statement, DEFINED):
        _take_names(statement, module, sources)
    bound = names_bound(statement)
    for name in bound:
        module.definitions.setdefault(name, []).append(statement)
    is_text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    if not (bound or is_text) or isinstance(statement, COMPOUND) or _is_registered(statement, module, sources):
        module.effects.append(statement)


def _take_names(statement: ast.stmt, module: Module, sources: Sources) -> None:
    module.imported.update(imports_in(statement, module.name, sources))
    for node in statements(statement):
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
            module.stars.append(_home(node, module.name, sources))


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


def _loads(statement: ast.stmt, module: Module, sources: Sources) -> Iterator[str]:
    """Dotted paths of what a statement imports, by a statement or by name; the last part may be no module."""
    for node in ast.walk(statement):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            home = _home(node, module.name, sources)
            yield from (f"{home}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and (dotted(node.func) or [""])[-1] in ("import_module", "__import__"):
            name = getattr(node.args[0], "value", None) if node.args else None
            if isinstance(name, str):
                dots = len(name) - len(name.lstrip("."))
                yield _home(ast.ImportFrom(name[dots:], [], dots), module.name, sources)


def imports_in(statement: ast.stmt, module: str, sources: Sources) -> dict[str, str]:
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
    """The module that something is imported from; "" where that leads above the top, and would fail."""
    if not node.level:
        return node.module or ""
    path = sources.file(module)
    package = module if path is not None and path.name == "__init__.py" else module.rpartition(".")[0]
    try:
        return resolve_name("." * node.level + (node.module or ""), package)
    except ImportError:
        return ""
