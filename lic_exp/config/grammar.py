"""What to say of an override that Hydra's grammar cannot read: where it stumbles, and the form that it reads."""

import re
import shlex
from collections.abc import Callable, Iterator

from hydra.core.override_parser.types import Quote, QuotedString

from lic_exp.text import shortened, visible

KEY = re.compile(r"[~+]{0,2}[A-Za-z_$][\w.$/\-]*(\[\d+\])*(@[\w.$/:\-]*)?", re.ASCII)
BARE = re.compile(r"[\w/\-\\+.$%*@?|: \t]", re.ASCII)
"""What a value may have without quotes, besides brackets, commas and what a `${...}` takes."""

LONGEST = 200

Reads = Callable[[str], object]
"""The value of an override; raises one of the errors of the grammar."""


def advice(argument: str, reads: Reads, errors: tuple[type[BaseException], ...]) -> str:
    """What is wrong with an override that `reads` refuses with one of `errors`, and what would be right."""
    key, is_value, value = argument.partition("=")
    shown = shortened(argument, LONGEST)
    if not is_value:
        return f"{shown}: cannot be read. An override has the form key=value."
    if not KEY.fullmatch(key):
        return f"{shown}: cannot be read. A key has letters, digits, _ and . in it, as group.key=value has."
    if re.search(r"\d{4301}", value):
        return f"{shown}: cannot be read. A number has at most 4300 digits."
    for form in _quoted_forms(value):
        try:
            reads(f"{key}={form}")
        except errors:
            continue
        right = (
            f"write {shlex.quote(f'{key}={form}')}" if len(argument) <= LONGEST else f"put it in quotes, {key}='...'"
        )
        return f"{shown}: cannot be read{_stumble(value)}; {right}"
    return f"{shown}: cannot be read{_stumble(value)}; is a bracket or a quote left open?"


def _stumble(value: str) -> str:
    """The first character that needs quotes, where that is what is wrong."""
    found = next((char for char in _outside_quotes(value) if not (BARE.match(char) or char in "[]{}(),")), None)
    return f": {visible(found)} needs quotes around what it stands in" if found else ""


def _outside_quotes(value: str) -> Iterator[str]:
    quote = before = ""
    for char in value:
        if not quote:
            if char in "'\"":
                quote = char
            else:
                yield char
        elif char == quote and before != "\\":
            quote = ""
        before = char
    if quote:
        yield quote


def _quoted_forms(value: str) -> Iterator[str]:
    """The value with quotes where they may have been forgotten: around the entries of a list, or around it all."""
    if value.startswith("[") and value.endswith("]") and not re.search(r"[\[\]{}'\"]", value[1:-1]):
        yield "[" + ",".join(map(_text, value[1:-1].split(","))) + "]"
    yield _text(value)


def _text(value: str) -> str:
    quoted: str = QuotedString(value.strip(), Quote.double).with_quotes()
    return quoted
