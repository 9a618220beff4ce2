"""JSON that every reader takes: it has neither NaN nor infinity. Imports nothing of ours."""

import json
import math
from collections.abc import Mapping
from typing import Any


def json_text(value: Any, *, indent: int | None = None, ensure_ascii: bool = True, infinities: bool = False) -> str:
    """A value as JSON. NaN and infinity stand as null; infinities: the latter as "inf" or "-inf"."""
    plain = _plain(value, infinities=infinities)
    return json.dumps(plain, indent=indent, ensure_ascii=ensure_ascii, allow_nan=False)


def _plain(value: Any, *, infinities: bool) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(entry, infinities=infinities) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry, infinities=infinities) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(float(value)) if infinities and not math.isnan(value) else None
    return value
