"""An evaluation's images.csv, checked: a header, and as many fields in each row. Imports no torch and no pandas."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence

from lic_exp.csv_text import field_text

SIDES = ("height", "width")
NUMBERS = ("rate", "lmbda", "bpp", "psnr", "ms_ssim", "ms_ssim_db")
"""Columns of numbers; an empty field was not measured."""

PIXELS = "pixels"
"""The column with the digest of an image's pixels, which may read like a number and is none."""

VALIDATES = "validates"
"""The column that says of an image whether its run validates on it too: it has then chosen the weights."""


TRAINS = "trains"
"""The column that says of an image whether its run was trained on it: its bits then say little of other images."""


def parse_table(name: str, text: str) -> list[list[str]]:
    """The rows of an images.csv as text, names as they were, its header first.

    Raises ValueError where it has no images or is damaged.
    """
    try:
        rows = list(csv.reader(io.StringIO(text, newline="")))
    except csv.Error as error:
        raise ValueError(f"{name}: {error}") from error
    if not rows or "image" not in rows[0]:
        raise ValueError(f"{name} has no column `image`")
    if len(set(rows[0])) < len(rows[0]):
        raise ValueError(f"{name} has a column twice")
    short = [row for row in rows if len(row) != len(rows[0])]
    if short:
        raise ValueError(f"{name} has a row of {len(short[0])} fields under {len(rows[0])} columns")
    for place, column in enumerate(rows[0]):
        if kind := KINDS.get(column):
            _check(name, column, kind, [row[place] for row in rows[1:]])
    return [list(map(field_text, row)) for row in rows]


def number(text: str) -> float:
    """Of a field, NaN of an empty one. Raises ValueError."""
    return float(text or "nan")


def _side(text: str) -> int:
    if len(text) > 9:
        raise ValueError("no side of an image")
    return int(text)


KINDS: Mapping[str, Callable[[str], float]] = {**dict.fromkeys(NUMBERS, number), **dict.fromkeys(SIDES, _side)}


def _check(name: str, column: str, kind: Callable[[str], float], texts: Sequence[str]) -> None:
    for text in texts:
        try:
            kind(text)
        except ValueError as error:
            raise ValueError(f"{name} has {text[:40]!r} as {column}") from error
