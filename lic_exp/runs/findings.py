"""What a check of this machine finds."""

from typing import Literal, NamedTuple


class Finding(NamedTuple):
    """What a check found. A problem breaks runs; a warning only what it names."""

    verdict: Literal["ok", "warning", "problem"]
    text: str


def ok(text: str) -> Finding:
    return Finding("ok", text)


def warning(text: str) -> Finding:
    return Finding("warning", text)


def problem(text: str) -> Finding:
    return Finding("problem", text)
