"""Values that no config holds: blank text, unless an option says that it may be, and what no file or library takes."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from annotated_types import Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from lic_exp.option_types import MayBeBlank
from lic_exp.text import blank_message, is_blank


def blank_values(prefix: str, values: Mapping[str, Any], schema: type[BaseModel]) -> Iterator[tuple[str, str]]:
    """(key, message) of every value that is blank or no UTF-8, or has something such in it.

    A path that is "" would be the working directory, and a name nobody's. A path whose bytes are no UTF-8 cannot stand
    in the run's config.yaml, and would be found out after the training. A whole number has 64 bits, as those of torch,
    NumPy and the stores have, unless its option has a limit of its own.
    """
    for name, field in schema.model_fields.items():
        key = field.alias or name
        if key in values and (place := next(_places(values[key], _is_no_utf8), None)) is not None:
            text = f"{prefix}{key}{place} has bytes that are no UTF-8, which no config can hold"
            yield key, f"{text}: rename it, or give a link to it"
        elif (
            key in values
            and not _has_limit(field)
            and (long := next(_places(values[key], _is_too_long), None)) is not None
        ):
            yield key, f"{prefix}{key}{long}: a whole number here is at most {LARGEST}, and at least -{LARGEST}"
        elif key in values and not any(isinstance(mark, MayBeBlank) for mark in field.metadata):
            for place in _places(values[key], is_blank):
                if place.endswith(KEY_THAT):
                    yield key, f"{prefix}{key}{place} is empty"
                    continue
                at = f"{prefix}{key}{place}"
                none = "" if place or not _takes_none(field.annotation) else f"null says none: {at}=null"
                yield key, blank_message(f"{at}=", none)


def _places(value: Any, wrong: Callable[[object], bool]) -> Iterator[str]:
    """Where in a value a text is wrong: "" for itself, [0], [0].data. A component within is judged by itself."""
    if wrong(value):
        yield ""
    elif isinstance(value, list | tuple):
        yield from (f"[{index}]{place}" for index, part in enumerate(value) for place in _places(part, wrong))
    elif isinstance(value, Mapping) and "_target_" not in value:
        yield from (f".{key}{place}" for key, part in value.items() for place in _places(part, wrong))
        yield from (KEY_THAT for key in value if wrong(key))


KEY_THAT = " has a key that"
"""Of a mapping, what is wrong with it follows."""

LARGEST = 2**63 - 1


def _is_too_long(value: object) -> bool:
    return isinstance(value, int) and abs(value) > LARGEST


def _has_limit(field: FieldInfo) -> bool:
    return any(isinstance(mark, Le | Lt) for mark in field.metadata)


def _is_no_utf8(value: object) -> bool:
    return isinstance(value, str) and any("\ud800" <= char <= "\udfff" for char in value)


def _takes_none(annotation: Any) -> bool:
    return type(None) in getattr(annotation, "__args__", ())
