"""Which code a result was made by: a hash of what can change it, deaf to comments, docstrings, layout and file names.

It covers the definitions of every module that an attempt at a run imports, directly or not, those that hold components,
and the user's own packages. A definition that moves to another file, or a file that gets another name, changes nothing.
"""

import ast
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lic_exp.places import PACKAGE
from lic_exp.source_text import OURS, source_file

ATTEMPT = "lic_exp.runs.attempt"
"""The module that does all that a run's process does."""


@cache
def code_hash(plugins: tuple[str, ...] = ()) -> str | None:
    """16 hexadecimal digits for the package as it lies on disk now, and the user's own packages.

    None where one of those cannot be found from here, so that nothing can be said.
    """
    if any(source_file(plugin) is None for plugin in plugins):
        return None
    theirs = packages(list(plugins))[1:]
    files = {
        path for place in theirs for path in (place.rglob("*.py") if place.is_dir() else [place]) if path.is_file()
    }
    own = frozenset([OURS, *(plugin for plugin in plugins if "." not in plugin)])
    meanings = sorted(text for path in _computing() | files for text in _read(path, own).meanings)
    return hashlib.sha256("\0".join(meanings).encode()).hexdigest()[:16]


def packages(plugins: Sequence[str]) -> list[Path]:
    """The folders of this package and of the user's own."""
    found = (source_file(plugin) for plugin in plugins)
    own = [path.parent if path.name == "__init__.py" else path for path in found if path is not None]
    return [PACKAGE, *own]


def _computing() -> set[Path]:
    """The files of this package that can take part in a run."""
    files = {path for path in PACKAGE.rglob("*.py") if "@signed_as(" in path.read_text(encoding="utf-8")}
    attempt = source_file(ATTEMPT)
    left = [*files, *([attempt] if attempt else [])]
    files.update(left)
    while left:
        for module in _read(left.pop(), frozenset([OURS])).imports:
            path = source_file(module) if module.split(".")[0] == OURS else None
            # The package's own root knows the whole house, and defines nothing.
            if path is not None and path not in files and path.name != "__init__.py":
                files.add(path)
                left.append(path)
    return files


@dataclass(frozen=True)
class _Source:
    """A file. imports: dotted names, of `from a import b` both a and a.b. meanings: its top-level statements."""

    imports: tuple[str, ...]
    meanings: tuple[str, ...]


@cache
def _read(path: Path, own: frozenset[str]) -> _Source:
    """own: packages whose definitions are hashed, so that where they are imported from says nothing."""
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return _Source((), (text,))
    imports = tuple(_imports(tree))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            told = (_without_places(statement, own) for statement in body)
            node.body = [statement for statement in told if not _says_nothing(statement)]  # type: ignore[attr-defined]
    return _Source(imports, tuple(ast.dump(statement) for statement in tree.body))


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _without_places(statement: ast.stmt, own: frozenset[str]) -> ast.stmt:
    """Of an import of what is hashed where it is defined, only what it calls by another name."""
    if isinstance(statement, ast.ImportFrom) and (statement.level > 0 or (statement.module or "").split(".")[0] in own):
        renamed = [alias for alias in statement.names if alias.asname not in (None, alias.name)]
        return ast.ImportFrom(module=None, names=renamed, level=0)
    return statement


def _says_nothing(statement: ast.stmt) -> bool:
    """Whether it is a docstring, or an import that was left with nothing."""
    if isinstance(statement, ast.ImportFrom):
        return not statement.names
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
