"""What to say of an override that Hydra's grammar cannot read: where it stumbles, and the form that it reads."""

import re
import shlex
from collections.abc import Callable, Iterator

from hydra.core.override_parser.types import Quote, QuotedString
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lic_exp.config.quoted_keys import TOKEN
from lic_exp.text import shortened, visible

KEY = re.compile(r"[~+]{0,2}[A-Za-z_$][\w.$/\-]*(@[\w.$/:\-]*)?", re.ASCII)
ENTRY = re.compile(r"\[(\d+)\]")
CALL = re.compile(r"\s*(\w+)\(.*\)\s*$", re.DOTALL)
BARE = re.compile(r"[\w/\-\\+.$%*@?|: \t]", re.ASCII)
"""What a value may have without quotes, besides brackets, commas and what a `${...}` takes."""

KEYS_OF_MAPPINGS = "The keys of a mapping are words, and have of signs / + . $ % * @ ? | - ( ) [ ] { } : = and blanks"

LONGEST = 200

Reads = Callable[[str], object]
"""The value of an override; raises one of the errors of the grammar."""

Takes = Callable[[str], bool]
"""Whether the grammar reads an override."""


def advice(argument: str, reads: Reads, errors: tuple[type[BaseException], ...]) -> str:
    """What is wrong with an override that `reads` refuses with one of `errors`, and what would be right."""

    def takes(text: str) -> bool:
        try:
            reads(text)
        except errors:
            return False
        return True

    key, is_value, value = argument.partition("=")
    shown = f"{shortened(argument, LONGEST)}: cannot be read"
    if not is_value:
        return f"{shown}. An override has the form key=value."
    if wrong := _wrong_key(key, takes):
        return f"{shown}. {wrong}"
    if re.search(r"\d{4301}", value):
        return f"{shown}. A number has at most 4300 digits."
    if len(argument) > LONGEST:
        return f"{shown}{_stumble(value)}; put it in quotes, {key}='...'"
    return f"{shown}{_right_value(key, value, takes)}"


def _wrong_key(key: str, takes: Takes) -> str | None:
    """What is wrong with a key, or None."""
    dotted = ENTRY.sub(r".\1", key)
    if dotted != key and takes(f"{dotted}=1"):
        return f"An entry of a list is named with a dot: {dotted}=..."
    if KEY.fullmatch(key) and takes(f"{key}=1"):
        return None
    return "A key has letters, digits, _ and . in it, as group.key=value has."


def _right_value(key: str, value: str, takes: Takes) -> str:
    """Where a value cannot be read, and what can."""
    stumble = _stumble(value)
    if takes(nested := f"{key}={_entries_in_quotes(value, takes)}"):
        return f"{stumble}; write {shell_word(nested)}"
    if re.fullmatch(r"\s*\{.*\}\s*", value, re.DOTALL):
        return f". {KEYS_OF_MAPPINGS}."
    if not takes(text := f"{key}={_text(value)}"):
        return f"{stumble}; is a bracket or a quote left open?"
    meant = ""
    if value.lstrip()[:1] in ("[", "{"):
        meant = "is a bracket or a quote left open? If it is a text, "
    elif called := CALL.match(value):
        meant = f"{called[1]}(...) takes nothing of this kind. If it is a text, "
    return f"{stumble}; {meant}write {shell_word(text)}"


def shell_word(text: str) -> str:
    """A text as a shell takes it, on one line whatever is in it."""
    if text.isprintable():
        return shlex.quote(text)
    # The form that bash and zsh have for control characters.
    return "$'" + visible(text.replace("\\", "\\\\").replace("'", "\\'")) + "'"


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


def _entries_in_quotes(value: str, takes: Takes) -> str:
    """A list or mapping with quotes around those of its entries that need them; any other value as it is."""
    if not re.fullmatch(r"\s*(\[.*\]|\{.*\})\s*", value, re.DOTALL):
        return value
    written, entry, opened = "", "", list[str]()
    for match in TOKEN.finditer(value):
        text = match.group()
        if text in "[]{}," or (text == ":" and opened[-1:] == ["{"]):
            bare = not entry.strip() or takes(f"x=[{entry}]") or (text == ":" and entry.strip().isascii())
            written += (entry if bare else _text(entry)) + text
            entry = ""
            if text in "[{":
                opened.append(text)
            elif text in "]}":
                del opened[-1:]
        else:
            entry += text
    return written + entry


def _text(value: str) -> str:
    """A text in quotes, and with a backslash before ${ where that begins no interpolation."""
    text = value.strip()
    try:
        OmegaConf.create({"text": text})
    except OmegaConfBaseException:
        text = text.replace("${", "\\${")
    quoted: str = QuotedString(text, Quote.double).with_quotes()
    return quoted
