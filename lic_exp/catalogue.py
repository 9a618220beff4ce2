"""What can be known of a component from its source text alone.

Start-up checks, `--help` and `--cfg` must not import torch, so a component's options (its keyword-only constructor
parameters with their annotations) and its facts (`lic_exp.facts`) are read with `ast`. The constructor therefore is
the schema: there is no second list to keep in step. Components of a user's own package are read the same way.
"""

import ast
import builtins
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec, resolve_name
from pathlib import Path
from typing import Any

from lic_exp import facts as facts_module
from lic_exp import ranges

_TYPES = {name: value for name, value in vars(ranges).items() if not name.startswith("_")}
_TYPES |= {name: getattr(builtins, name) for name in ("int", "float", "str", "bool", "list", "dict", "tuple")}
_TYPES |= {name: getattr(typing, name) for name in ("Literal", "Annotated", "Any")}

Facts = (
    facts_module.CodecFacts | facts_module.CriterionFacts | facts_module.RegularizerNeeds | facts_module.TrackerNeeds
)


class CatalogueError(ValueError):
    """A `_target_` that cannot be found, or whose source does not say what a component must say."""


@dataclass(frozen=True)
class Component:
    """A component as its source describes it.

    options: {keyword-only constructor parameter: its type, with ranges}.
    facts: the literal `facts` or `needs` of the class, or None.
    """

    target: str
    options: dict[str, Any]
    facts: Facts | None

    @property
    def parts(self) -> list[str]:
        """The options that are components themselves."""
        return [key for key, kind in self.options.items() if kind == ranges.Part]


@cache
def describe(target: str) -> Component:
    """Read the component at the dotted path `target` (a class, or a function that makes the object).

    Raises CatalogueError when there is no such module or name, or when its options are not annotated in the forms
    that `lic_exp.ranges` explains.
    """
    module, _, name = target.rpartition(".")
    tree = _parse(module, target)
    node = _definition(tree, name)
    if node is None:
        defined = ", ".join(d.name for d in tree.body if isinstance(d, ast.ClassDef | ast.FunctionDef))
        raise CatalogueError(f"{target}: module {module} defines no {name} (it defines: {defined})")
    if isinstance(node, ast.FunctionDef):
        return Component(target, _options(node, target), None)
    lineage = list(_lineage(module, node))
    init = next(
        (f for _, c in lineage for f in c.body if isinstance(f, ast.FunctionDef) and f.name == "__init__"), None
    )
    found = next((value for _, c in lineage if (value := _facts(c, target)) is not None), None)
    return Component(target, _options(init, target) if init else {}, found)


def source_file(module: str) -> Path | None:
    """The source file of a dotted module name, found without importing any of its packages, or None."""
    top, *rest = module.split(".")
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if not rest:
        return Path(spec.origin) if spec.origin else None
    for location in spec.submodule_search_locations or []:
        stem = Path(location, *rest)
        for path in (stem.with_suffix(".py"), stem / "__init__.py"):
            if path.is_file():
                return path
    return None


def _parse(module: str, target: str) -> ast.Module:
    path = source_file(module) if module else None
    if path is None:
        raise CatalogueError(f"{target}: there is no module {module!r}")
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def _definition(tree: ast.Module, name: str) -> ast.ClassDef | ast.FunctionDef | None:
    return next((d for d in tree.body if isinstance(d, ast.ClassDef | ast.FunctionDef) and d.name == name), None)


def _lineage(module: str, node: ast.ClassDef) -> Iterator[tuple[str, ast.ClassDef]]:
    """The class and those of its bases that are written in the same top-level package, depth first."""
    yield module, node
    path = source_file(module)
    assert path is not None
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    imported = {
        alias.asname or alias.name: (resolve_name("." * found.level + (found.module or ""), package), alias.name)
        for found in tree.body
        if isinstance(found, ast.ImportFrom)
        for alias in found.names
    }
    for base in (b.id for b in node.bases if isinstance(b, ast.Name)):
        home, name = imported.get(base, (module, base))
        path = source_file(home) if home.split(".")[0] in {module.split(".", maxsplit=1)[0], "lic_exp"} else None
        definition = _definition(ast.parse(path.read_text(encoding="utf-8")), name) if path else None
        if isinstance(definition, ast.ClassDef):
            yield from _lineage(home, definition)


def _options(function: ast.FunctionDef, target: str) -> dict[str, Any]:
    return {argument.arg: _type(argument, target) for argument in function.args.kwonlyargs}


def _type(argument: ast.arg, target: str) -> Any:
    if argument.annotation is None:
        raise CatalogueError(f"{target}: option {argument.arg!r} has no type annotation")
    try:
        code = compile(ast.Expression(argument.annotation), target, "eval")
        return eval(code, {"__builtins__": {}}, _TYPES)
    except Exception as error:
        text = ast.unparse(argument.annotation)
        raise CatalogueError(
            f"{target}: the type {text!r} of option {argument.arg!r} is none of the forms that can be read without "
            f"importing the module: plain types, Literal, X | None, list[X], names of lic_exp.ranges ({error})"
        ) from error


def _facts(node: ast.ClassDef, target: str) -> Facts | None:
    for statement in node.body:
        value = statement.value if isinstance(statement, ast.Assign | ast.AnnAssign) else None
        if not (isinstance(value, ast.Call) and isinstance(value.func, ast.Name)):
            continue
        kind = getattr(facts_module, value.func.id, None)
        if kind is not None:
            try:
                literals = {k.arg: ast.literal_eval(k.value) for k in value.keywords if k.arg}
                return typing.cast(Facts, kind(*[ast.literal_eval(a) for a in value.args], **literals))
            except (ValueError, TypeError) as error:
                raise CatalogueError(f"{target}: facts must be literals: {ast.unparse(value)} ({error})") from error
    return None
