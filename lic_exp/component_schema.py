"""What can be known of a component from its source text alone.

Start-up checks, `--help` and `--cfg` must not import torch, so a component's options (its keyword-only constructor
parameters with their annotations), its facts (`lic_exp.capabilities`) and what it declares (`lic_exp.requirements`) are
read with `ast`. The constructor therefore is the schema: there is no second list to keep in step. Components of a
user's own package are read the same way.
"""

import ast
import builtins
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from lic_exp import capabilities, conditions, requirements
from lic_exp import option_types as ranges
from lic_exp.requirements import NoWeights, Statement, Unused
from lic_exp.source_text import (
    DefinitionNode,
    constants,
    decorations,
    definition,
    definitions,
    imports,
    literal,
    mentions,
    parsed,
    source_file,
)

_TYPES = {name: value for name, value in vars(ranges).items() if not name.startswith("_")}
_TYPES |= {name: getattr(builtins, name) for name in ("int", "float", "str", "bool", "list", "dict", "tuple")}
_TYPES |= {name: getattr(typing, name) for name in ("Literal", "Annotated", "Any")}

Facts = (
    capabilities.CodecFacts | capabilities.CriterionFacts | capabilities.RegularizerNeeds | capabilities.TrackerNeeds
)

_FACTS: dict[str, type] = {kind.__name__: kind for kind in typing.get_args(Facts)}
_WORDS: dict[str, type] = {
    name: kind
    for module in (conditions, requirements)
    for name, kind in vars(module).items()
    if isinstance(kind, type) and issubclass(kind, Statement | conditions.Condition | conditions.Option)
}


OURS = "lic_exp"
"""The package whose components have names of their own in signatures; those of others bear their package's."""


class ComponentError(ValueError):
    """A `_target_` that cannot be found, or whose source does not say what a component must say."""


@dataclass(frozen=True)
class ComponentSchema:
    """A component as its source describes it.

    code_name: what signatures call it: the argument of its `signed_as`, and of a package of the user's own
        "package:name", where the name is that of the class or function unless it states one.
    options: {keyword-only constructor parameter: its type, with ranges}.
    facts: the literal `facts` or `needs` of the class, or None.
    statements: what its `declares` says, and what those of its bases say that holds for subclasses too.
    """

    target: str
    code_name: str
    options: dict[str, Any]
    facts: Facts | None
    statements: tuple[Statement, ...] = ()

    @property
    def parts(self) -> list[str]:
        """The options that are components themselves."""
        return [key for key, kind in self.options.items() if kind == ranges.Part]

    def unused(self, options: Mapping[str, Any]) -> frozenset[str]:
        """The options that beside these values change no bit of a result."""
        return frozenset(s.option for s in self.statements if isinstance(s, Unused) and s.holds(options))

    def learnable(self, options: Mapping[str, Any]) -> bool:
        """Whether the component may have weights of its own to train, or one of its parts, which are nodes too."""
        if not any(isinstance(s, NoWeights) and s.holds(options) for s in self.statements):
            return True
        return any(describe(options[part]["_target_"]).learnable(options[part]) for part in self.parts)


@cache
def describe(target: str) -> ComponentSchema:
    """Read the component at the dotted path `target` (a class, or a function that makes the object).

    Raises ComponentError when there is no such module or name, when its options are not annotated in the forms that
    `lic_exp.option_types` explains, when what it states is no literal, or when its name in signatures is another's too.
    """
    module, _, name = target.rpartition(".")
    path = source_file(module) if module else None
    if path is None:
        raise ComponentError(f"{target}: there is no module {module!r}")
    tree = parsed(path)
    node = definition(tree, name)
    if node is None:
        defined = ", ".join(found.name for found in definitions(tree))
        raise ComponentError(f"{target}: module {module} defines no {name} (it defines: {defined})")
    code_name = _code_name(node, path, target)
    lineage = [(tree, node), *(_bases(module, path, tree, node) if isinstance(node, ast.ClassDef) else ())]
    init = next((f for _, found in lineage if (f := _constructor(found)) is not None), None)
    options = _options(init, target) if init else {}
    facts = next((value for of, found in lineage if (value := _facts(found, of, target)) is not None), None)
    return ComponentSchema(target, code_name, options, facts, tuple(_statements(lineage, options, target)))


def _code_name(node: DefinitionNode, path: Path, target: str) -> str:
    package = target.split(".", maxsplit=1)[0]
    stated = _stated_name(node, target)
    if package != OURS:
        _check_unique(stated or node.name, node, path, target)
        return f"{package}:{stated or node.name}"
    if stated is None:
        raise ComponentError(f"{target}: has no name for signatures: give it one with @signed_as")
    return stated


def _stated_name(node: DefinitionNode, target: str) -> str | None:
    """The literal argument of its `signed_as`, or None."""
    for call in decorations(node, "signed_as"):
        if len(call.args) == 1 and isinstance(call.args[0], ast.Constant) and isinstance(call.args[0].value, str):
            return call.args[0].value
        raise ComponentError(f"{target}: the name for signatures must be one literal string: @{ast.unparse(call)}")
    return None


def _check_unique(name: str, node: DefinitionNode, path: Path, target: str) -> None:
    """Raise ComponentError where the package has another definition that signatures would call the same."""
    for other in mentions(target.split(".", maxsplit=1)[0]).get(name, []):
        for found in _readable_definitions(other):
            itself = other.samefile(path) and found.name == node.name
            if not itself and name == (_stated_name(found, f"{other}, {found.name}") or found.name):
                raise ComponentError(
                    f"{target}: signatures would call {found.name} of {other} {name!r} too: give one of the two a name "
                    "of its own with @signed_as"
                )


def _readable_definitions(path: Path) -> list[DefinitionNode]:
    try:
        return definitions(parsed(path))
    except SyntaxError:
        return []


def _bases(module: str, path: Path, tree: ast.Module, node: ast.ClassDef) -> Iterator[tuple[ast.Module, ast.ClassDef]]:
    """Those of a class's bases that are written in the same top-level package or ours, depth first."""
    imported = imports(tree, module, path)
    for base in (b.id for b in node.bases if isinstance(b, ast.Name)):
        home, name = imported.get(base, (module, base))
        source = source_file(home) if home.split(".")[0] in {module.split(".", maxsplit=1)[0], OURS} else None
        if source is None:
            continue
        there = parsed(source)
        found = definition(there, name)
        if isinstance(found, ast.ClassDef):
            yield there, found
            yield from _bases(home, source, there, found)


def _constructor(node: DefinitionNode) -> ast.FunctionDef | None:
    if isinstance(node, ast.FunctionDef):
        return node
    return next((f for f in node.body if isinstance(f, ast.FunctionDef) and f.name == "__init__"), None)


def _options(function: ast.FunctionDef, target: str) -> dict[str, Any]:
    return {argument.arg: _type(argument, target) for argument in function.args.kwonlyargs}


def _type(argument: ast.arg, target: str) -> Any:
    if argument.annotation is None:
        raise ComponentError(f"{target}: option {argument.arg!r} has no type annotation")
    try:
        code = compile(ast.Expression(argument.annotation), target, "eval")
        return eval(code, {"__builtins__": {}}, _TYPES)
    except Exception as error:
        text = ast.unparse(argument.annotation)
        raise ComponentError(
            f"{target}: the type {text!r} of option {argument.arg!r} is none of the forms that can be read without "
            f"importing the module: plain types, Literal, X | None, list[X], names of lic_exp.option_types ({error})"
        ) from error


def _facts(node: DefinitionNode, tree: ast.Module, target: str) -> Facts | None:
    for statement in node.body if isinstance(node, ast.ClassDef) else ():
        value = statement.value if isinstance(statement, ast.Assign | ast.AnnAssign) else None
        if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in _FACTS:
            return typing.cast(Facts, _literal(value, _FACTS, tree, f"{target}: facts must be literals"))
    return None


def _statements(
    lineage: list[tuple[ast.Module, DefinitionNode]], options: Mapping[str, Any], target: str
) -> Iterator[Statement]:
    for generation, (tree, node) in enumerate(lineage):
        for argument in (argument for call in decorations(node, "declares") for argument in call.args):
            statement = _literal(argument, _WORDS, tree, f"{target}: what a component declares must be literals")
            if not isinstance(statement, Statement):
                raise ComponentError(f"{target}: declares {ast.unparse(argument)}, which is no statement")
            if not generation:
                _check_names(statement, options, target)
            if statement.inherited or not generation:
                yield statement


def _check_names(statement: Statement, options: Mapping[str, Any], target: str) -> None:
    if unknown := sorted(name for name in statement.names() if name.split(".")[0] not in options):
        raise ComponentError(f"{target}: declares something of {', '.join(unknown)}, but has no such option")


def _literal(node: ast.expr, words: Mapping[str, type], tree: ast.Module, wrong: str) -> Any:
    try:
        return literal(node, words, constants(tree))
    except (ValueError, TypeError) as error:
        raise ComponentError(f"{wrong}: {ast.unparse(node)} ({error})") from error
