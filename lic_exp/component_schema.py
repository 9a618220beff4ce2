"""What can be known of a component from its source text alone.

Start-up checks, `--help` and `--cfg` must not import torch, so a component's options (its keyword-only constructor
parameters with their annotations), its facts (`lic_exp.capabilities`) and what it declares (`lic_exp.requirements`) are
read with `ast`. The constructor therefore is the schema: there is no second list to keep in step. Components of a
user's own package are read the same way.
"""

import ast
import math
import typing
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from lic_exp import capabilities, conditions, requirements
from lic_exp import option_types as ranges
from lic_exp.annotations import option_type
from lic_exp.lineage import Home, Lineage, ancestry, constructor, is_whole, methods, positional, resolved
from lic_exp.requirements import NoWeights, Statement, Unused
from lic_exp.source_text import (
    OURS,
    DefinitionNode,
    SourceError,
    constants,
    decorations,
    definition,
    definitions,
    literal,
    mentions,
    parsed,
    source_file,
)
from lic_exp.text import shortened

Facts = (
    capabilities.CodecFacts | capabilities.CriterionFacts | capabilities.RegularizerNeeds | capabilities.TrackerNeeds
)

COUNTS = ("downsampling_factor", "min_crop_size")
"""Facts that others are divided by, or compared with."""

_FACTS: dict[str, type] = {kind.__name__: kind for kind in typing.get_args(Facts)}
_WORDS: dict[str, type] = {
    name: kind
    for module in (conditions, requirements)
    for name, kind in vars(module).items()
    if isinstance(kind, type) and issubclass(kind, Statement | conditions.Condition | conditions.Option)
}


class ComponentError(ValueError):
    """A `_target_` that cannot be found, or whose source does not say what a component must say."""


@dataclass(frozen=True)
class Made:
    """What a component makes, as far as its source shows it: its own class, or what a function says that it returns.

    facts, methods: of that class and its bases. whole: whether all of these could be read. said: whether it is known at
    all what is made. positional: fewest and most arguments that may be given by position.
    """

    facts: Facts | None = None
    methods: frozenset[str] = frozenset()
    whole: bool = False
    said: bool = True
    positional: tuple[float, float] = (0, math.inf)


@dataclass(frozen=True)
class ComponentSchema:
    """A component as its source describes it.

    code_name: what signatures call it: the argument of its `signed_as`, and of a package of the user's own
        "package:name", where the name is that of the class or function unless it states one.
    options: {keyword-only constructor parameter: its type, with ranges}.
    facts: the literal `facts` or `needs` of the class, or None.
    statements: what its `declares` says, and what those of its bases say that holds for subclasses too.
    made: what it makes, by which it is told whether it is a component of a group (`lic_exp.component_kinds`).
    """

    target: str
    code_name: str
    options: dict[str, Any]
    facts: Facts | None
    statements: tuple[Statement, ...] = ()
    made: Made = Made()

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
    try:
        return _described(target)
    except SourceError as error:
        raise ComponentError(f"{target} cannot be read: {error}") from error
    except RecursionError as error:
        raise ComponentError(f"{target}: its source is nested too deep, or its bases go in a circle") from error


def _described(target: str) -> ComponentSchema:
    module, _, name = target.rpartition(".")
    path = source_file(module) if module else None
    if path is None:
        raise ComponentError(f"{target}: there is no module {module!r}")
    if path.suffix != ".py":
        raise ComponentError(f"{target}: module {module} has no source text to read ({path})")
    tree = parsed(path)
    node = definition(tree, name)
    if node is None:
        defined = shortened(", ".join(found.name for found in definitions(tree)), 200)
        raise ComponentError(f"{target}: module {module} defines no {name} (it defines: {defined})")
    code_name = _code_name(node, path, target)
    home = Home(module, path, tree)
    lineage = ancestry(home, node)
    init = next((f for _, found in lineage if (f := constructor(found)) is not None), None)
    options = _options(init, target) if init else {}
    facts = _first_facts(lineage, target)
    statements = tuple(_statements(lineage, options, target))
    return ComponentSchema(target, code_name, options, facts, statements, _made(lineage, init, target))


def _made(lineage: Lineage, init: ast.FunctionDef | None, target: str) -> Made:
    home, node = lineage[0]
    places = (0, math.inf) if init is None else positional(init, bound=isinstance(node, ast.ClassDef))
    found: tuple[Home, DefinitionNode] | None = (home, node)
    if isinstance(node, ast.FunctionDef):
        if node.returns is None or (isinstance(node.returns, ast.Constant) and node.returns.value is None):
            return Made(said=False, positional=places)
        found = resolved(home, node.returns)
    if found is None or not isinstance(found[1], ast.ClassDef):
        return Made(positional=places)
    lineage = lineage if found[1] is node else ancestry(*found)
    return Made(_first_facts(lineage, target), methods(lineage), is_whole(lineage), True, places)


def _first_facts(lineage: Lineage, target: str) -> Facts | None:
    return next((value for of, found in lineage if (value := _facts(found, of.tree, target)) is not None), None)


def _code_name(node: DefinitionNode, path: Path, target: str) -> str:
    package = target.split(".", maxsplit=1)[0]
    stated = _stated_name(node, target)
    if package != OURS:
        _check_unique(stated or node.name, node, path, target)
        return f"{package}:{stated or node.name}"
    if stated is None:
        raise ComponentError(f"{target} is no component: it has no name for signatures, which @signed_as would give it")
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
    except SourceError:
        return []


def _options(function: ast.FunctionDef, target: str) -> dict[str, Any]:
    return {argument.arg: _type(argument, target) for argument in function.args.kwonlyargs}


def _type(argument: ast.arg, target: str) -> Any:
    if argument.arg.startswith("_") or argument.arg == "model_config":
        raise ComponentError(f"{target}: no option can have the name {argument.arg!r}")
    if argument.annotation is None:
        raise ComponentError(f"{target}: option {argument.arg!r} has no type annotation")
    try:
        return option_type(argument.annotation)
    except (TypeError, ValueError) as error:
        text = ast.unparse(argument.annotation)
        raise ComponentError(
            f"{target}: the type {text!r} of option {argument.arg!r} is none of the forms that can be read without "
            f"importing the module: plain types, Literal, X | None, list[X], names of lic_exp.option_types ({error})"
        ) from error


def _facts(node: DefinitionNode, tree: ast.Module, target: str) -> Facts | None:
    for statement in node.body if isinstance(node, ast.ClassDef) else ():
        value = statement.value if isinstance(statement, ast.Assign | ast.AnnAssign) else None
        if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in _FACTS:
            facts = typing.cast(Facts, _literal(value, _FACTS, tree, f"{target}: facts must be literals"))
            for field in fields(facts):
                given = getattr(facts, field.name)
                if not _is_of(given, field.type) or (field.name in COUNTS and given < 1):
                    wanted = "a whole number from 1 on" if field.name in COUNTS else f"of the type {field.type}"
                    raise ComponentError(f"{target}: facts: {field.name}={given!r} should be {wanted}")
            return facts
    return None


def _is_of(given: object, kind: Any) -> bool:
    """Whether a fact is of its type: a plain one, or tuple[X, ...]."""
    if isinstance(given, tuple) and typing.get_origin(kind) is tuple:
        return all(type(entry) is typing.get_args(kind)[0] for entry in given)
    return type(given) is kind


def _statements(lineage: Lineage, options: Mapping[str, Any], target: str) -> Iterator[Statement]:
    for generation, (home, node) in enumerate(lineage):
        for argument in (argument for call in decorations(node, "declares") for argument in call.args):
            statement = _literal(argument, _WORDS, home.tree, f"{target}: what a component declares must be literals")
            if not isinstance(statement, Statement):
                raise ComponentError(f"{target}: declares {ast.unparse(argument)}, which is no statement")
            if not generation:
                with _as_stated(statement, target):
                    _check_names(statement, options, target)
            if statement.inherited or not generation:
                yield statement


@contextmanager
def _as_stated(statement: Statement, target: str) -> Iterator[None]:
    """What a statement of wrong values raises when it is used becomes a ComponentError."""
    try:
        yield
    except ComponentError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ComponentError(f"{target}: what it declares makes no sense: {statement!r} ({error})") from error


def objections(component: ComponentSchema, view: conditions.View) -> Iterator[str]:
    """What a component's statements have against a config. Raises ComponentError where one makes no sense."""
    for statement in component.statements:
        with _as_stated(statement, component.target):
            yield from list(statement.objections(view))


def _check_names(statement: Statement, options: Mapping[str, Any], target: str) -> None:
    if unknown := sorted(name for name in statement.names() if name.split(".")[0] not in options):
        raise ComponentError(f"{target}: declares something of {', '.join(unknown)}, but has no such option")


def _literal(node: ast.expr, words: Mapping[str, type], tree: ast.Module, wrong: str) -> Any:
    try:
        return literal(node, words, constants(tree))
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise ComponentError(f"{wrong}: {ast.unparse(node)} ({error})") from error
