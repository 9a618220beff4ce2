"""How sizes, time spans and other people's words are written."""

import re
from collections.abc import Sequence
from io import TextIOWrapper
from typing import TextIO


def size_text(count: float) -> str:
    """Bytes as people read them: 812 B, 5.4 MB."""
    if count < 1000:
        return f"{count:.0f} B"
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 999.95:
            return f"{count:.1f} {unit}"
    return f"{count / 1000:.1f} TB"


def age_text(seconds: float) -> str:
    """A time span in its largest whole unit: 50 s, 3 min, 7 h, 12 d."""
    for length, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def shortened(text: str, width: int) -> str:
    """The text, cut to `width` characters where it is longer."""
    return text if len(text) <= width else text[: width - 1] + "…"


def first_line(text: str) -> str:
    """Of a text of several lines."""
    return text.strip().partition("\n")[0]


def listed(labels: Sequence[str], most: int = 6) -> str:
    """Labels on a line, which may have commas in them: as many whole ones, and how many more there are."""
    more = [f"and {len(labels) - most} more"] if len(labels) > most else []
    return "; ".join([*map(visible, labels[:most]), *more])


def visible(text: str) -> str:
    """Somebody's text as any file, store or terminal can hold it: on one line, its control characters shown.

    So are what reorders or hides text, and bytes that are no UTF-8, as \\xe9. What is visible stays as it is.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def _escape(char: str) -> str:
    undecoded = ord(char) - 0xDC00  # how Python has bytes that it could not decode
    return f"\\x{undecoded:02x}" if 0x80 <= undecoded <= 0xFF else repr(char)[1:-1]


def uncoloured(text: str) -> str:
    """Without the codes that colour it on a terminal, such as a program that was told to colours its log with."""
    return COLOUR.sub("", text)


COLOUR = re.compile(r"\x1b\[[0-9;:]*m")


def never_unencodable(*streams: TextIO) -> None:
    """Have these streams show what their encoding lacks as an escape, in place of an error in the middle of a line."""
    for stream in streams:
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def is_blank(value: object) -> bool:
    """Whether a value is a text without a visible character: what an unset shell variable leaves in a command."""
    return isinstance(value, str) and not value.strip()


def blank_message(what: str, instead: str = "") -> str:
    """What to say where a path or a name is blank. instead: what would be right, where that is not plain."""
    return f"{what} is empty, as an unset shell variable leaves it{instead and f'; {instead}'}"
