"""What runs, cells of a sweep and arms of a comparison are called: by what differs between them, and by nothing else.

The same in tables of states, legends, stores and tables of results, since all of them ask here. Imports nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

SEED = "seed"
VARIANT = "variant"
"""The row of a table, whose name says it all: it stands in a label alone, without this word."""

BETWEEN = ", "

WIDEST_PART = 48
"""Columns of a part that a table makes room for; a longer one goes on below."""


def label(values: Mapping[str, Any]) -> str:
    """What to call what has these values."""
    return BETWEEN.join(
        value_text(value) if key == VARIANT else f"{key}={value_text(value)}" for key, value in values.items()
    )


def labels(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """What to call each of several, by those of its values that others have not; "" where it differs in nothing."""
    return list(map(label, differing(list(rows))))


def differing(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Of each row the values of the keys in which not all are alike, in its order. A missing key is a value too."""
    keys = {key for row in rows for key in row}
    kept = {key for key in keys if len({_told(row[key]) if key in row else None for row in rows}) > 1}
    return [{key: row[key] for key in row if key in kept} for row in rows]


def is_rate(key: str) -> bool:
    """Whether a key chooses the point on a curve and not the curve: a lambda, or a quality.

    The bounds of what a variable-rate codec is trained for make another codec of it, and so another curve.
    """
    return key.rpartition(".")[2] in ("lmbda", "quality", "qualities")


def sizes_of_rates(roles: Sequence[Mapping[str, Any]]) -> list[str]:
    """Sizes of the model that go with the rate, as where the higher rates have more channels: they make no arms."""
    rates = [repr(sorted((k, repr(v)) for k, v in role.items() if is_rate(k))) for role in roles]
    if len(set(rates)) < 2:
        return []
    keys = dict.fromkeys(key for role in roles for key in role if key.startswith("model."))
    found = []
    for key in keys:
        pairs = {(rate, repr(role.get(key))) for rate, role in zip(rates, roles, strict=True)}
        sized = all(type(role.get(key)) is int for role in roles)  # a switch is no size
        if sized and len(pairs) == len(set(rates)):
            found.append(key)
    return found


def label_width(texts: Iterable[str]) -> int:
    """The columns that labels need so that lines break between their parts alone, of parts that fit into a table."""
    widths = [len(part) for text in texts for part in f"{text},".split(" ")]
    return min(max(widths, default=1), WIDEST_PART)


def _told(value: Any) -> str:
    return repr(value)  # true and 1 are two, a list is one value


def value_text(value: Any) -> str:
    """A value as an override would have it."""
    if isinstance(value, list | tuple):
        return f"[{','.join(map(value_text, value))}]"
    return {"None": "null", "True": "true", "False": "false"}.get(str(value), str(value))
