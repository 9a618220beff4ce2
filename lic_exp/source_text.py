"""Modules found and read as text, without importing them or their packages."""

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib.machinery import PathFinder
from importlib.util import find_spec, resolve_name
from pathlib import Path
from typing import Any

OURS = "lic_exp"
"""The package whose components have names of their own in signatures; those of others bear their package's."""

DefinitionNode = ast.ClassDef | ast.FunctionDef

NAMES = re.compile(r"^(?:class|def) (\w+)|signed_as\(\s*[\"']([^\"']+)[\"']", re.MULTILINE)


class SourceError(ValueError):
    """A file that cannot be read as Python."""


def source_file(module: str) -> Path | None:
    """The source file of a dotted module name, found without importing any of its packages, or None."""
    top, *rest = module.split(".")
    spec = _spec(top)
    if spec is None:
        return None
    if not rest:
        return Path(spec.origin) if spec.has_location else None
    for location in spec.submodule_search_locations or []:
        stem = Path(location, *rest)
        for path in (stem.with_suffix(".py"), stem / "__init__.py"):
            if path.is_file():
                return path
    return None


def is_installed(module: str) -> bool:
    """Whether there is such a module. Its packages are not imported, which `find_spec` of a dotted name would do."""
    top, *rest = module.split(".")
    spec = _spec(top)
    for depth in range(len(rest)):
        if spec is None:
            return False
        within = spec.submodule_search_locations or []
        spec = PathFinder.find_spec(".".join([top, *rest[: depth + 1]]), within)
    # A folder that happens to have the package's name is found too, but has no file to begin with.
    return spec is not None and spec.origin is not None


def _spec(top: str) -> Any:
    try:
        return find_spec(top)
    except (ImportError, ValueError):
        return None


def parsed(path: Path) -> ast.Module:
    """The syntax of a file. Raises SourceError where it is no Python, or cannot be read."""
    try:
        return ast.parse(path.read_text(encoding="utf-8"), str(path))
    except SyntaxError as error:
        raise SourceError(f"{path}, line {error.lineno or 1}: {error.msg}") from error
    except (ValueError, OSError) as error:
        raise SourceError(f"{path}: {error}") from error
    except (RecursionError, MemoryError) as error:  # both are what the parser says of it
        raise SourceError(f"{path}: it is nested too deep") from error


def definitions(tree: ast.Module) -> list[DefinitionNode]:
    """Its classes and functions, those inside others left out."""
    return [node for node in tree.body if isinstance(node, DefinitionNode)]


def definition(tree: ast.Module, name: str) -> DefinitionNode | None:
    """The class or function of this name, or None."""
    return next((node for node in definitions(tree) if node.name == name), None)


def imports(tree: ast.Module, module: str, path: Path) -> dict[str, tuple[str, str]]:
    """{name here: (the module that it is imported from, its name there)}."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    return {
        alias.asname or alias.name: (resolve_name("." * found.level + (found.module or ""), package), alias.name)
        for found in tree.body
        if isinstance(found, ast.ImportFrom)
        for alias in found.names
    }


def places(tree: ast.Module, module: str, path: Path) -> dict[str, str]:
    """{name here: the dotted path of what it is}, of what a module imports; a package by its own name."""
    found = {name: f"{home}.{there}" for name, (home, there) in imports(tree, module, path).items()}
    for statement in tree.body:
        for alias in statement.names if isinstance(statement, ast.Import) else ():
            found[alias.asname or alias.name.split(".")[0]] = alias.name if alias.asname else alias.name.split(".")[0]
    return found


def dotted(node: ast.expr) -> list[str] | None:
    """The names of `a.b.c`, and of `a.b.c[...]`; None of any other expression."""
    if isinstance(node, ast.Subscript):
        return dotted(node.value)
    if isinstance(node, ast.Attribute):
        above = dotted(node.value)
        return above and [*above, node.attr]
    return [node.id] if isinstance(node, ast.Name) else None


def decorations(node: DefinitionNode, name: str) -> list[ast.Call]:
    """The calls of a decorator by its name, however its module is written before it."""
    calls = [call for call in node.decorator_list if isinstance(call, ast.Call)]
    return [call for call in calls if name == getattr(call.func, "id", getattr(call.func, "attr", None))]


def constants(tree: ast.Module) -> dict[str, ast.expr]:
    """What stands behind `NAME =` at the top level of a module."""
    found: dict[str, ast.expr] = {}
    for statement in tree.body:
        if isinstance(statement, ast.Assign):
            found |= {target.id: statement.value for target in statement.targets if isinstance(target, ast.Name)}
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value:
            found[statement.target.id] = statement.value
    return found


def literal(node: ast.expr, words: Mapping[str, Callable[..., Any]], known: Mapping[str, ast.expr]) -> Any:
    """The value of an expression of literals, calls of these words, and names of such expressions.

    Raises ValueError or TypeError for anything else.
    """
    if isinstance(node, ast.Call):
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        if name not in words or any(keyword.arg is None for keyword in node.keywords):
            raise ValueError(f"{ast.unparse(node)} is no literal")
        values = [literal(argument, words, known) for argument in node.args]
        return words[name](*values, **{str(k.arg): literal(k.value, words, known) for k in node.keywords})
    if isinstance(node, ast.Dict) and None not in node.keys:
        pairs = zip([key for key in node.keys if key is not None], node.values, strict=True)
        return {literal(key, words, known): literal(value, words, known) for key, value in pairs}
    if isinstance(node, ast.Tuple | ast.List):
        entries = [literal(entry, words, known) for entry in node.elts]
        return tuple(entries) if isinstance(node, ast.Tuple) else entries
    if isinstance(node, ast.Name) and node.id in known:
        return literal(known[node.id], words, {name: value for name, value in known.items() if name != node.id})
    try:
        return ast.literal_eval(node)
    except ValueError as error:
        raise ValueError(f"{ast.unparse(node)} is no literal") from error


@cache
def mentions(package: str) -> dict[str, list[Path]]:
    """{name: the files of a top-level package that may define it, or sign something by it}, by a look at their text."""
    found: dict[str, list[Path]] = {}
    for path in _package_files(package):
        text = path.read_text(encoding="utf-8", errors="replace")
        for name in {name for names in NAMES.findall(text) for name in names}:
            found.setdefault(name, []).append(path)
    return found


def _package_files(package: str) -> Iterator[Path]:
    spec = _spec(package)
    folders = (spec.submodule_search_locations if spec else None) or []
    if spec and not folders and spec.has_location:
        yield Path(spec.origin)
    for folder in folders:
        yield from sorted(path for path in Path(folder).rglob("*.py") if path.is_file())
