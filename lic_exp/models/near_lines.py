"""Table rows that two devices agree on, though neither computes to the last bit what the other does.

A symbol's row is found by comparing ln of its scale with lines, in float64. Two devices differ by some 1e-13 there, so
they find different rows only for what is as near to a line. The encoder lists what is nearer than a margin, and the
decoder takes the rows of those from the list.

A list is bytes: for every entry, in coding order, how many symbols lie between it and the one before, seven bits a
byte, the lowest first and 128 added where more follow; then its row in one byte.
"""

import math
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from lic_exp.models.coding_error import CodingError
from lic_exp.models.symbol_record import Part

SMALLEST = 1e-30
"""Scales below it, negative ones also, have the first row in any case, and a logarithm that is a number."""

LONGEST_VARINT = 5
"""Bytes: no string has 2^35 symbols."""


@cache
def log_scales(smallest: float, largest: float, count: int) -> tuple[float, ...]:
    """Logarithms of a table's scales, which are geometric."""
    return tuple(map(float, np.linspace(math.log(smallest), math.log(largest), count)))


class NearLines(Protocol):
    """What finds rows."""

    def rows(self, scales: Tensor, lines: Sequence[float], string: Part) -> Tensor:
        """The table rows, int64, of finite scales of any shape: how many lines lie below ln of each.

        lines: ascending, fewer than 256. string: what all parts of one string name.
        """
        ...


class Listing:
    """An encoder's: lists what is nearer to a line than `margin`, in ln of the scale."""

    def __init__(self, margin: float) -> None:
        self._margin = margin
        self._entries: dict[Part, bytearray] = {}
        self._counts: dict[Part, int] = {}
        self._listed: dict[Part, int] = {}

    def rows(self, scales: Tensor, lines: Sequence[float], string: Part) -> Tensor:
        values, at = logarithms(scales), _tensor(lines, scales)
        rows = torch.bucketize(values, at)
        beside = (at[(rows - 1).clamp(min=0)], at[rows.clamp(max=len(lines) - 1)])
        near = torch.minimum(*((values - line).abs() for line in beside)) < self._margin
        entries = self._entries.setdefault(string, bytearray())
        before = self._counts.get(string, 0)
        for place in near.flatten().nonzero().flatten().tolist():
            position = before + place
            entries += _varint(position - self._listed.get(string, -1) - 1)
            entries.append(int(rows.flatten()[place]))
            self._listed[string] = position
        self._counts[string] = before + scales.numel()
        return rows

    def lists(self, kinds: int) -> list[bytes]:
        """Of so many strings, those first that have asked for rows, in the order in which they have; empty others."""
        found = [bytes(entries) for entries in self._entries.values()]
        return found + [b""] * (kinds - len(found))


class Following:
    """A decoder's: takes the rows of what its encoder has listed from there.

    lists: of every string, in the order in which they ask for rows.
    """

    def __init__(self, lists: Sequence[bytes]) -> None:
        self._unread = [_Entries(content) for content in lists]
        self._entries: dict[Part, _Entries] = {}

    def rows(self, scales: Tensor, lines: Sequence[float], string: Part) -> Tensor:
        rows = torch.bucketize(logarithms(scales), _tensor(lines, scales))
        if string not in self._entries:
            if not self._unread:
                raise CodingError("there are fewer lists of table rows than strings that need one: the file is damaged")
            self._entries[string] = self._unread.pop(0)
        flat = rows.flatten()
        for place, row in self._entries[string].within(scales.numel()):
            if row > len(lines):
                raise CodingError(f"a list names table row {row}, but rows are 0 to {len(lines)}: the file is damaged")
            flat[place] = row
        return flat.reshape(rows.shape)

    def finish(self) -> None:
        """Raise CodingError for a list that says more than what was decoded has asked for."""
        if any(entries.coming is not None for entries in (*self._entries.values(), *self._unread)):
            raise CodingError("a list names table rows of symbols that there are not: the file is damaged")


class _Entries:
    """Reads a list part by part. coming: (position, row) of the next entry, None after the last."""

    def __init__(self, content: bytes) -> None:
        self._read, self._before = _parsed(content), 0
        self.coming = next(self._read, None)

    def within(self, count: int) -> Iterator[tuple[int, int]]:
        """(place, row) of the entries among the next so many symbols."""
        first, end = self._before, self._before + count
        while self.coming is not None and self.coming[0] < end:
            position, row = self.coming
            yield position - first, row
            self.coming = next(self._read, None)
        self._before = end


def _parsed(content: bytes) -> Iterator[tuple[int, int]]:
    """(position, row) of every entry. Raises CodingError where the list ends in one, or has a number too long."""
    at, position = 0, -1
    while at < len(content):
        gap = 0
        for place in range(LONGEST_VARINT + 1):
            if place == LONGEST_VARINT or at + place >= len(content):
                raise CodingError(f"a list of table rows is damaged at its byte {at}")
            gap |= (content[at + place] & 127) << 7 * place
            if content[at + place] < 128:
                break
        at += place + 2
        if at > len(content):
            raise CodingError(f"a list of table rows is damaged: its {len(content)} bytes end without a row")
        position += gap + 1
        yield position, content[at - 1]


def _varint(number: int) -> bytes:
    digits = bytearray()
    while number > 127:
        digits.append(number & 127 | 128)
        number >>= 7
    return bytes([*digits, number])


def logarithms(scales: Tensor) -> Tensor:
    """What is compared with lines: ln of scales, float64, of those of the first row in any case a number."""
    return scales.double().clamp(min=SMALLEST).log().contiguous()


def _tensor(lines: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(lines, dtype=torch.float64, device=like.device)
