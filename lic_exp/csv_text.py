"""CSV as every table of ours has it: a text that a spreadsheet would compute is written as text. Imports nothing heavy.

Such a text begins with = + - @, as the name of an image or a curve may. It gets an apostrophe in front, which tells a
spreadsheet that it is one, and which is taken off where we read it. Numbers are written as they are, and a text has no
line breaks.
"""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lic_exp.text import visible

if TYPE_CHECKING:
    import pandas as pd

FORMULA = re.compile(r"'* *[=+\-@＝＋－＠]")
"""Of a text with an apostrophe before it too, so that what is read is what was written."""

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|nan)", re.ASCII)


def text_field(value: Any) -> Any:
    """A field as it is written: a text as what is visible of it, after an apostrophe where it would be computed."""
    if not isinstance(value, str):
        return value
    text = visible(value)
    return f"'{text}" if FORMULA.match(text) and not NUMBER.fullmatch(text) else text


def field_text(field: str) -> str:
    """Inverse of `text_field`, of a visible text that was read."""
    return field[1:] if field.startswith("'") and FORMULA.match(field) else field


def csv_text(rows: Iterable[Iterable[Any]]) -> str:
    """Rows as lines of CSV; None is an empty field."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([text_field(value) for value in row] for row in rows)
    return file.getvalue()


def records_text(records: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> str:
    """The same of mappings with the same keys, named in the first line. columns: these keys of them."""
    names = list(records[0]) if columns is None else columns
    return csv_text([names, *([record[name] for name in names] for record in records)])


def frame_text(frame: "pd.DataFrame", float_format: str | None = None) -> str:
    """The same of a data frame, without its index; NaN is an empty field."""
    texts = {str(name): frame[name].map(text_field) for name in frame if frame[name].dtype.kind not in "biufc"}
    named = frame.assign(**texts).rename(columns=text_field)
    return str(named.to_csv(index=False, lineterminator="\n", float_format=float_format))
