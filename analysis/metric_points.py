"""The numbers of a metrics.jsonl as arrays: fast, because a study has a thousand of them."""

import json
from collections.abc import Collection, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lic_exp.records import plain_json
from lic_exp.tracking.run_folder import SPECIAL, Damaged, decode_metrics

POSITION = ("step", "epoch", "time")


class MetricPoints(NamedTuple):
    """Logged numbers, one array entry (n,) each; `metric` counts into `names`. Ordered by metric, then as logged.

    time is in Unix seconds, epoch NaN where the source does not know it.
    """

    names: list[str]
    metric: NDArray[np.int32]
    step: NDArray[np.int64]
    epoch: NDArray[np.float64]
    time: NDArray[np.float64]
    value: NDArray[np.float64]


NO_POINTS = MetricPoints([], *(np.empty(0, kind) for kind in (np.int32, np.int64, float, float, float)))


def parse_metrics(data: bytes, wanted: Collection[str] | None = None) -> tuple[MetricPoints, list[Damaged]]:
    """The points of a metrics.jsonl: of each complete line, as `RunFolder.metrics` has it; and the lines that are none.

    A last line without its end is being written, or was torn by a crash, and is no entry. Whole lines without a wanted
    metric are not even decoded.
    """
    lines = list(enumerate(data[: data.rfind(b"\n") + 1].split(b"\n")[:-1], start=1))
    if wanted is not None:
        spelled = [json.dumps(name).encode() for name in wanted]
        lines = [(number, line) for number, line in lines if not _is_closed(line) or any(s in line for s in spelled)]
    try:
        return _points(_all_at_once([line for _, line in lines]), wanted), []
    except (ValueError, KeyError, TypeError, OverflowError):
        entries, damaged = _one_by_one(lines)
        return _points(entries, wanted), damaged


def _is_closed(line: bytes) -> bool:
    return line[:1] == b"{" and line[-1:] == b"}"


def _all_at_once(lines: Sequence[bytes]) -> list[dict[str, Any]]:
    """The entries where all lines are whole; else raises one of many errors."""
    entries: list[dict[str, Any]] = plain_json(b"[" + b",".join(lines) + b"]")
    if len(entries) != len(lines) or not all(map(_is_closed, lines)):
        raise ValueError("some lines are no entries by themselves")
    values = chain.from_iterable(entry.values() for entry in entries)
    if odd := {value for value in values if type(value) is not float and type(value) is not int} - SPECIAL.keys():
        raise ValueError(f"{odd} are no numbers")
    if any(type(entry["step"]) is not int or entry["step"] < 0 for entry in entries):
        raise ValueError("a step is no number of steps")
    return entries


def _one_by_one(lines: Sequence[tuple[int, bytes]]) -> tuple[list[dict[str, Any]], list[Damaged]]:
    entries: list[dict[str, Any]] = []
    damaged: list[Damaged] = []
    for number, line in lines:
        try:
            entry = decode_metrics(line)
            if missing := [key for key in POSITION if key not in entry]:
                raise ValueError(f"no {missing[0]}")
        except ValueError as error:
            damaged.append((number, str(error)))
        else:
            entries.append(entry)
    return entries, damaged


def _points(entries: list[dict[str, Any]], wanted: Collection[str] | None) -> MetricPoints:
    """Entries with the same keys become one matrix, which numpy takes apart faster than a loop does."""
    alike: dict[tuple[str, ...], list[list[Any]]] = {}
    for line, entry in enumerate(entries):
        alike.setdefault(tuple(entry), []).append([line, *entry.values()])
    codes: dict[str, int] = {}
    parts = []
    for keys, rows in alike.items():
        # "nan" and "inf", which is how they stand in the file, become numbers here.
        columns = np.array(rows, dtype=float).T
        at = {key: column for column, key in enumerate(keys, start=1)}
        kept = [key for key in keys if key not in POSITION and (wanted is None or key in wanted)]
        if not np.isfinite(columns[[at["epoch"], at["time"]]]).all():
            raise ValueError("an epoch or a time is no number")
        part = np.empty((6, len(kept), len(rows)))
        part[:4] = columns[[0, *(at[key] for key in POSITION)], None]
        part[4] = np.array([codes.setdefault(key, len(codes)) for key in kept])[:, None]
        part[5] = columns[[at[key] for key in kept]]
        parts.append(part.reshape(len(part), -1))
    if not codes:
        return NO_POINTS
    line, step, epoch, time, metric, value = np.concatenate(parts, axis=1)
    order = np.lexsort((line, metric))
    numbers = (epoch[order], time[order], value[order])
    return MetricPoints(list(codes), metric[order].astype(np.int32), step[order].astype(np.int64), *numbers)
