"""Blank text in a config: refused wherever it stands, unless an option says that it may."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from lic_exp.option_types import MayBeBlank
from lic_exp.text import blank_message, is_blank


def blank_values(prefix: str, values: Mapping[str, Any], schema: type[BaseModel]) -> Iterator[tuple[str, str]]:
    """(key, message) of every value that is blank, or has something blank in it.

    A path that is "" would be the working directory, and a name nobody's. Numbers and choices have words of their own
    for what they cannot be, so that only texts come here that are right otherwise.
    """
    for name, field in schema.model_fields.items():
        key = field.alias or name
        if key in values and not any(isinstance(mark, MayBeBlank) for mark in field.metadata):
            for place in _blank_places(values[key]):
                at = f"{prefix}{key}{place}"
                none = "" if place or not _takes_none(field.annotation) else f"null says none: {at}=null"
                yield key, blank_message(f"{at}=", none)


def _blank_places(value: Any) -> Iterator[str]:
    """Where in a value something is blank: "" for itself, [0], [0].data. A component within is judged by itself."""
    if is_blank(value):
        yield ""
    elif isinstance(value, list | tuple):
        yield from (f"[{index}]{place}" for index, part in enumerate(value) for place in _blank_places(part))
    elif isinstance(value, Mapping) and "_target_" not in value:
        yield from (f".{key}{place}" for key, part in value.items() for place in _blank_places(part))
        yield from (" has a key that" for key in value if is_blank(key))


def _takes_none(annotation: Any) -> bool:
    return type(None) in getattr(annotation, "__args__", ())
