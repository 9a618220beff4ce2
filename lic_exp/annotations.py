"""The types of options, read from the syntax of their annotations.

Nothing is evaluated: an annotation is somebody's text, and `--cfg` must not run what stands in it. So only the names
that are listed here mean something, in the forms that `lic_exp.option_types` explains. A text is no type: pydantic
would evaluate it.
"""

import ast
import typing
from collections.abc import Callable, Sequence
from dataclasses import astuple
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt

from lic_exp import option_types
from lic_exp.option_types import MayBeBlank, Nested, Neutral, Unsigned
from lic_exp.source_text import literal

NUMBERS = (int, float)
KEYS = (str, int)
"""What the keys of a mapping may be."""

_PLAIN: dict[str, Any] = {kind.__name__: kind for kind in (int, float, str, bool, list, dict, tuple)} | {"Any": Any}
_RANGES: dict[str, Any] = {
    name: kind for name, kind in vars(option_types).items() if typing.get_origin(kind) is Annotated
}
_NAMES = _PLAIN | _RANGES
_MARKS: dict[str, Callable[..., Any]] = {
    kind.__name__: kind for kind in (Ge, Gt, Le, Lt, MayBeBlank, Nested, Neutral, Unsigned)
}


def option_type(node: ast.expr) -> Any:
    """The type that an annotation means. Raises ValueError for any other form."""
    if isinstance(node, ast.Constant) and node.value is None:
        return None
    if isinstance(node, ast.Name):
        if node.id not in _NAMES:
            raise ValueError(f"{node.id} is no such type")
        return _NAMES[node.id]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _union(option_type(node.left), option_type(node.right))
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
        parts = list(node.slice.elts) if isinstance(node.slice, ast.Tuple) else [node.slice]
        if node.value.id in _SUBSCRIPTED:
            return _SUBSCRIPTED[node.value.id](parts)
    raise ValueError(f"{ast.unparse(node)} is no such form")


def _union(left: Any, right: Any) -> Any:
    if left is None and right is None:
        raise ValueError("None alone is no type")
    return left | right


def _literal_type(parts: Sequence[ast.expr]) -> Any:
    values = tuple(literal(part, {}, {}) for part in parts)
    if not values or not all(isinstance(value, str | int | None) for value in values):
        raise ValueError("a Literal is of texts, whole numbers, true, false and None")
    return Literal[values]


def _annotated(parts: Sequence[ast.expr]) -> Any:
    kind, *marks = parts
    inner, found = option_type(kind), [_mark(mark) for mark in marks]
    if not found:
        raise ValueError("Annotated is of a type and its marks")
    if any(isinstance(mark, Ge | Gt | Le | Lt) for mark in found) and not _is_number(inner):
        raise ValueError(f"limits are of int and float, not of {ast.unparse(kind)}")
    return Annotated[(inner, *found)]


def _mark(node: ast.expr) -> Any:
    if not isinstance(node, ast.Call):
        raise ValueError(f"{ast.unparse(node)} is none of {', '.join(_MARKS)}, called")
    try:
        mark: Any = literal(node, _MARKS, {})
    except TypeError as error:
        raise ValueError(f"{ast.unparse(node)}: {error}") from error
    if isinstance(mark, Ge | Gt | Le | Lt) and not all(type(limit) in NUMBERS for limit in astuple(mark)):
        raise ValueError(f"{ast.unparse(node)}: a limit is a number")
    return mark


def _is_number(kind: Any) -> bool:
    return kind in NUMBERS or (typing.get_origin(kind) is Annotated and _is_number(kind.__origin__))


def _list(parts: Sequence[ast.expr]) -> Any:
    if len(parts) != 1:
        raise ValueError("a list is of one type")
    form: Any = list
    return form[_given(parts[0])]


def _dict(parts: Sequence[ast.expr]) -> Any:
    key, value = (_given(part) for part in parts) if len(parts) == 2 else (None, None)
    if key not in KEYS:
        raise ValueError("a mapping is dict[str, X] or dict[int, X]")
    form: Any = dict
    return form[key, value]


def _tuple(parts: Sequence[ast.expr]) -> Any:
    endless = len(parts) == 2 and isinstance(parts[1], ast.Constant) and parts[1].value is ...
    kinds = tuple(_given(part) for part in (parts[:1] if endless else parts))
    form: Any = tuple
    return form[(*kinds, ...) if endless else kinds]


def _given(node: ast.expr) -> Any:
    """The type of an entry, which is no bare None."""
    kind = option_type(node)
    if kind is None:
        raise ValueError("None alone is no type")
    return kind


_SUBSCRIPTED: dict[str, Callable[[Sequence[ast.expr]], Any]] = {
    "Literal": _literal_type,
    "Annotated": _annotated,
    "list": _list,
    "dict": _dict,
    "tuple": _tuple,
}
