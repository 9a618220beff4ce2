"""Keys of mappings in quotes, as JSON and YAML have them: `{"g_a.*": 0.1}`, which Hydra's grammar does not know."""

import re

TOKEN = re.compile(r"""\\.|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|.""", re.DOTALL)
"""An escaped character, a text in quotes, or one character."""

PLAIN = re.compile(r"[\w/+.$%*@?|-]", re.ASCII)
"""What the grammar takes in a bare key as it is."""

ESCAPED = set("()[]{}:=, ")
"""What it takes there after a backslash."""

NO_TEXT = re.compile(r"null|true|false|[+-]?(nan|inf|[\d_.]+(e[+-]?\d+)?)", re.IGNORECASE)
"""Bare keys that would be something else than text."""


def with_bare_keys(argument: str) -> str:
    """An override whose quoted keys are bare ones that mean the same; those that cannot be bare stay as they are."""
    key, equals, value = argument.partition("=")
    if "{" not in value:
        return argument
    written, opened, before = [key, equals], list[str](), ""
    for match in TOKEN.finditer(value):
        text = match.group()
        is_key = opened and opened[-1] == "{" and before in ("{", ",") and value[match.end() :].lstrip().startswith(":")
        if text in ("{", "[", "("):
            opened.append(text)
        elif text in ("}", "]", ")"):
            del opened[-1:]
        written.append(bare(text[1:-1]) or text if is_key and len(text) > 1 and text[0] in "\"'" else text)
        if not text.isspace():
            before = text
    return "".join(written)


def bare(key: str) -> str | None:
    """A text as a key without quotes, or None where there is none that means it."""
    if not all(PLAIN.fullmatch(character) or character in ESCAPED for character in key) or NO_TEXT.fullmatch(key):
        return None
    return "".join(f"\\{character}" if character in ESCAPED else character for character in key)
