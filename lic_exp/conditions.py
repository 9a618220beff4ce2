"""Conditions on the options of a component and on what stands beside it, as `lic_exp.requirements` states them.

They are mappings {option: what it must be}, and all must hold. A value stands for itself, a tuple for any of its
entries; `Not`, `AtLeast`, `Above`, `Below` and `MultipleOf` compare, also with another `Option`. "part.option" is an
option of a part. Where an option is not there, no condition on it holds.
"""

import string
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, dataclass_transform

MISSING: Any = object()
"""The value of what is not there."""


NOTHING: Mapping[str, Any] = {}


@dataclass_transform(frozen_default=True)
class Word:
    """A value with the named fields that its class annotates, compared by them.

    It would be a frozen dataclass, if making a class of that kind did not cost each start most of a millisecond.
    """

    names_of_fields: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        annotated = vars(cls).get("__annotations__", {})
        own = (name for name, kind in annotated.items() if "ClassVar" not in str(kind))
        cls.names_of_fields = (*cls.names_of_fields, *own)

    def __init__(self, *values: Any, **named: Any) -> None:
        given = dict(zip(self.names_of_fields, values, strict=False)) | named
        missing = [name for name in self.names_of_fields if name not in given and not hasattr(type(self), name)]
        if missing or not set(given) <= set(self.names_of_fields) or len(values) + len(named) != len(given):
            raise TypeError(f"{type(self).__name__} takes {', '.join(self.names_of_fields)}")
        vars(self).update(given)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and all(
            getattr(self, name) == getattr(other, name) for name in self.names_of_fields
        )

    def __repr__(self) -> str:
        values = (f"{name}={getattr(self, name)!r}" for name in self.names_of_fields)
        return f"{type(self).__name__}({', '.join(values)})"

    __hash__ = None  # type: ignore[assignment]


class View(Word):
    """What a statement is judged by.

    options: the component's own, with those of its parts below them. path: where it stands in the config; empty where
    it is built by hand. config: the rest. codec: the facts of the chosen model, if known. alone: whether the component
    is known to be no part of another.
    """

    options: Mapping[str, Any]
    path: str = ""
    config: Mapping[str, Any] = NOTHING
    codec: object = None
    alone: bool = False

    def option(self, name: str) -> Any:
        """An option's value, or MISSING."""
        return _below(self.options, name)

    def beside(self, name: str) -> Any:
        """The value of another group's key, or MISSING."""
        return _below(self.config, name)

    def fact(self, name: str) -> Any:
        """What the chosen model can do, or MISSING."""
        return getattr(self.codec, name, MISSING)

    def value(self, name: str) -> Any:
        """What a text means by a name."""
        if name == "here":
            return f"{self.path}." if self.path else ""
        if name.startswith("codec."):
            return self.fact(name.removeprefix("codec."))
        own = self.option(name)
        return self.beside(name) if own is MISSING else own

    def said(self, text: str, **more: Any) -> str:
        """The text with its values, and with more by name, led by the component's path where it has no {here}."""
        filled = _Text(self).format(text, **more)
        return filled if "{here}" in text else self.led(filled)

    def led(self, text: str) -> str:
        """The text after the component's path."""
        return f"{self.path}: {text}" if self.path else text


def _below(node: Any, name: str) -> Any:
    """The value at a dotted name. A part that is built already has its options as attributes."""
    for key in name.split("."):
        node = node.get(key, MISSING) if isinstance(node, Mapping) else getattr(node, key, MISSING)
    return node


class _Text(string.Formatter):
    def __init__(self, view: View) -> None:
        self.view = view

    def get_field(self, field_name: str, args: Any, kwargs: Any) -> tuple[Any, str]:
        name, _, divisor = field_name.partition("/")
        value = kwargs[name] if name in kwargs else self.view.value(name)
        return (value / float(divisor) if divisor else value), name


class Condition(Word):
    """What a value must be."""

    def holds(self, value: Any, view: View) -> bool:
        raise NotImplementedError


class Option(Word):
    """The value of another option of the component."""

    name: str


class Not(Condition):
    """Anything else than this value, or than the entries of this tuple."""

    value: Any

    def holds(self, value: Any, view: View) -> bool:
        return _resolved(self.value, view) is not MISSING and not _holds(self.value, value, view)


class AtLeast(Condition):
    """At least the bound, a number or an `Option`; as below, null is not."""

    bound: Any

    def holds(self, value: Any, view: View) -> bool:
        return are_numbers(value, bound := _resolved(self.bound, view)) and value >= bound


class Above(Condition):
    """More than the bound."""

    bound: Any

    def holds(self, value: Any, view: View) -> bool:
        return are_numbers(value, bound := _resolved(self.bound, view)) and value > bound


class Below(Condition):
    """Less than the bound."""

    bound: Any

    def holds(self, value: Any, view: View) -> bool:
        return are_numbers(value, bound := _resolved(self.bound, view)) and value < bound


class MultipleOf(Condition):
    """A number that this whole number divides."""

    divisor: int

    def holds(self, value: Any, view: View) -> bool:
        return are_numbers(value) and value % self.divisor == 0


def _resolved(wanted: Any, view: View) -> Any:
    return view.option(wanted.name) if isinstance(wanted, Option) else wanted


def are_numbers(*values: Any) -> bool:
    """Whether all are, and none is missing or null."""
    return all(isinstance(value, int | float) for value in values)


def hold(conditions: Mapping[str, Any], value_of: Callable[[str], Any], view: View) -> bool:
    """Whether all conditions do; value_of: gives the value at a name."""
    return all(_holds(wanted, value_of(name), view) for name, wanted in conditions.items())


def _holds(wanted: Any, value: Any, view: View) -> bool:
    if value is MISSING:
        return False
    if isinstance(wanted, Condition):
        return wanted.holds(value, view)
    return value in (wanted if isinstance(wanted, tuple) else (_resolved(wanted, view),))


def named(conditions: Mapping[str, Any]) -> set[str]:
    """The options that conditions speak of."""
    compared = (getattr(wanted, "bound", getattr(wanted, "value", wanted)) for wanted in conditions.values())
    return {*conditions, *(other.name for other in compared if isinstance(other, Option))}
