"""Names, reasons and paths that would do something to a terminal or a table, were they not shown as what they are."""

WORDS = {
    "a colour": "\x1b[31mred",
    "another title of the window": "\x1b]0;owned\x07",
    "a control of one byte": "\x9b2J\x7f\x00",
    "a line of its own": "a\nforged: done\r\x85forged\u2028forged",
    "backwards": "\u202egnp.exe\u2066\u200b",
    "markup": "a[/b][red]x[/red][link=x]",
    "an emoji code": ":skull:",
    "no text at all": "caf\udce9",
}


def is_harmless(text: str) -> bool:
    """Whether every character can be seen or ends a line, and none of the words above has begun a line."""
    lines = text.split("\n")
    return all(line.isprintable() for line in lines) and not any(line.startswith("forged") for line in lines)
