"""CompressAI's rANS coder on arrays: by `rans.c` where it can be had, by CompressAI's binding and its lists elsewhere.

Both read and write the same bytes. Arrays are int32 and one-dimensional.
"""

import ctypes
import logging
from collections import deque
from functools import cache, cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lic_exp import private_interfaces
from lic_exp.models.coding_error import CodingError
from lic_exp.models.rans_library import library

log = logging.getLogger("lic_exp.models")

Numbers = NDArray[np.int32]
Lists = tuple[list[list[int]], list[int], list[int]]

LARGEST_SYMBOL = 2**26
"""CompressAI's coder shifts the rest of an escaped symbol by up to 32 bits, and at 2^27 never ends."""

PRECISION = 16
"""Bits of a frequency."""

HINT_SHIFT, HINTS = 8, 2**8
"""A row's search begins at the symbol that has a frequency's upper bits with all others 0."""

KEPT = 8
"""Tables made last that are kept: a codec has one or two, and comparing numbers takes less than making them anew."""

FEW = 2
"""Symbols for which CompressAI's encoder has less room than it writes: it writes before its memory's begin."""


class RowTables:
    """Cumulative distributions as coders take them, made once for the same numbers (`row_tables`).

    cdf (n, longest), lengths (n,), offsets (n,): those of `lic_exp.models.compressai_coding.Tables`. Raises CodingError
    for numbers by which a coder would read what is not there, or never end: tables may come from anybody's file.
    """

    def __init__(self, cdf: Numbers, lengths: Numbers, offsets: Numbers) -> None:
        self.cdf, self.lengths, self.offsets = (
            np.array(array, dtype=np.int32, order="C") for array in (cdf, lengths, offsets)
        )
        wrong = [number for number in range(len(self.cdf)) if not self._is_distribution(number)]
        if wrong or not len(self.cdf) == len(self.lengths) == len(self.offsets):
            which = f"row {wrong[0]}" if wrong else "their numbers of rows"
            raise CodingError(f"these coding tables are no distributions of {PRECISION} bits: {which}")

    def _is_distribution(self, number: int) -> bool:
        length = self.lengths[number] if number < len(self.lengths) else 0
        row = self.cdf[number, :length]
        whole = 2 <= length <= self.cdf.shape[1] and row[0] == 0 and row[-1] == 1 << PRECISION
        return bool(whole and (np.diff(row) > 0).all())

    def has(self, *arrays: Numbers) -> bool:
        """Whether its numbers are these."""
        return all(map(np.array_equal, (self.cdf, self.lengths, self.offsets), arrays))

    @cached_property
    def lists(self) -> Lists:
        return self.cdf.tolist(), self.lengths.tolist(), self.offsets.tolist()

    @cached_property
    def streamed(self) -> Lists:
        """The same, rows without what follows their lengths: the binding's decoder of parts copies them every time."""
        rows, lengths, offsets = self.lists
        return [row[:length] for row, length in zip(rows, lengths, strict=True)], lengths, offsets

    @cached_property
    def pointed(self) -> "_TablesOfC":
        return _TablesOfC(self)


class _TablesOfC:
    """The same as a struct `Tables` of `rans.c`, at `address`."""

    def __init__(self, tables: RowTables) -> None:
        first = np.arange(HINTS) << HINT_SHIFT
        rows = zip(tables.cdf, tables.lengths, strict=True)
        found = [np.searchsorted(row[1:length], first, side="right") for row, length in rows]
        self.hints = np.ascontiguousarray(found, dtype=np.uint16)
        pointers = [_at(array) for array in (tables.cdf, tables.lengths, tables.offsets, self.hints)]
        self.struct = np.array([*pointers, *tables.cdf.shape], dtype=np.int64)
        self.address = _at(self.struct)


class StringReader(Protocol):
    """Reads a string from its begin, some symbols at a time."""

    def decode(self, indexes: Numbers) -> Numbers:
        """The next symbols, by the rows that these name."""

    def comes_back(self) -> bool:
        """Whether what was decoded, coded again, is the string."""


def row_tables(cdf: Numbers, lengths: Numbers, offsets: Numbers) -> RowTables:
    """The tables of these numbers, made anew where they are not among those that were used last."""
    for known in tuple(_kept):
        if known.has(cdf, lengths, offsets):
            return known
    made = RowTables(cdf, lengths, offsets)
    _kept.append(made)
    return made


_kept: deque[RowTables] = deque(maxlen=KEPT)


def encode(symbols: Numbers, indexes: Numbers, tables: RowTables) -> bytes:
    """The string of symbols of at most 2^26, each by the row of its index."""
    return _way().encode(symbols, indexes, tables)


def reader(string: bytes, tables: RowTables, symbols: int) -> StringReader:
    """Of a string that is said to have so many symbols, whatever it has."""
    return _way().reader(string, tables, symbols)


def stands_for(string: bytes, symbols: Numbers, indexes: Numbers, tables: RowTables) -> bool:
    """Whether symbols by these rows, coded, are the string."""
    if np.abs(symbols.astype(np.int64)).max(initial=0) > LARGEST_SYMBOL:
        return False
    return encode(symbols, indexes, tables) == string


class CoderInC:
    """By the functions of `rans.c`."""

    def __init__(self, functions: ctypes.CDLL) -> None:
        self.functions = functions

    def encode(self, symbols: Numbers, indexes: Numbers, tables: RowTables) -> bytes:
        symbols, indexes, most = _own(symbols), _own(indexes), 2 * len(symbols) + 32
        words = np.empty(most, dtype=np.uint32)
        written = self.functions.lic_exp_encode(
            _at(symbols), _at(indexes), len(symbols), tables.pointed.address, _at(words), most
        )
        _check_rows(written, indexes, tables)
        return words[most - written :].tobytes()

    def reader(self, string: bytes, tables: RowTables, symbols: int) -> StringReader:
        return ReaderInC(self.functions, string, tables)


class ReaderInC:
    """A `StringReader` by the functions of `rans.c`."""

    def __init__(self, functions: ctypes.CDLL, string: bytes, tables: RowTables) -> None:
        self.functions, self.string, self.tables = functions, string, tables
        self.place = np.empty(3, dtype=np.uint64)
        functions.lic_exp_begin(string, len(string), _at(self.place))

    def decode(self, indexes: Numbers) -> Numbers:
        indexes = _own(indexes)
        symbols = np.empty(len(indexes), dtype=np.int32)
        done = self.functions.lic_exp_decode(
            *(self.string, len(self.string), _at(self.place), _at(indexes), len(indexes)),
            *(self.tables.pointed.address, _at(symbols)),
        )
        _check_rows(done, indexes, self.tables)
        return symbols

    def comes_back(self) -> bool:
        """As of `StringReader`, from where the coder's state ended: an encoder began there, or was another."""
        return bool(self.functions.lic_exp_comes_back(len(self.string), _at(self.place)))


class CoderByBinding:
    """By CompressAI's own coder, loaded when first used."""

    def encode(self, symbols: Numbers, indexes: Numbers, tables: RowTables) -> bytes:
        _check_rows(0 if _within(indexes, tables) else -1, indexes, tables)
        if len(symbols) <= FEW:
            return _encoded_here(symbols.tolist(), indexes.tolist(), tables)
        coder = private_interfaces.entropy_coder().RansEncoder()
        string: bytes = coder.encode_with_indexes(symbols.tolist(), indexes.tolist(), *tables.lists)
        return string

    def reader(self, string: bytes, tables: RowTables, symbols: int) -> StringReader:
        return ReaderByBinding(self, string, tables, symbols)


class ReaderByBinding:
    """A `StringReader` by CompressAI's own coder, which reads what `with_margin` adds where a string is too short."""

    def __init__(self, coder: CoderByBinding, string: bytes, tables: RowTables, symbols: int) -> None:
        self.coder, self.string, self.tables = coder, string, tables
        self.decoder = private_interfaces.entropy_coder().RansDecoder()
        self.decoder.set_stream(with_margin(string, symbols))
        self.parts: list[tuple[Numbers, Numbers]] = []

    def decode(self, indexes: Numbers) -> Numbers:
        _check_rows(0 if _within(indexes, self.tables) else -1, indexes, self.tables)
        symbols = np.array(self.decoder.decode_stream(indexes.tolist(), *self.tables.streamed), dtype=np.int32)
        self.parts.append((symbols, indexes))
        return symbols

    def comes_back(self) -> bool:
        symbols, indexes = (np.concatenate([np.empty(0, np.int32), *kind]) for kind in zip(*self.parts, strict=True))
        return stands_for(self.string, symbols, indexes, self.tables)


def with_margin(string: bytes, symbols: int) -> bytes:
    """The string with what its decoder may read beyond its end, where it looks for so many symbols and finds others.

    CompressAI's decoder does not look where the string ends. An escape of four bits may announce 15 more such.
    """
    return string + bytes(16 * len(string) + 8 * symbols + 64)


@cache
def _way() -> CoderInC | CoderByBinding:
    functions = library()
    if functions is not None:
        found = CoderInC(functions)
        if _codes_as_it_should(found):
            return found
        log.warning("what the C compiler makes of rans.c codes wrongly: symbols are coded by CompressAI's binding")
    return CoderByBinding()


def _codes_as_it_should(coder: CoderInC) -> bool:
    """Whether some symbols, escapes among them, go to the right bytes and come back."""
    dense = [*range(20), 1 << PRECISION]
    rows = [[0, 9, 50000, 1 << PRECISION], [0, 60000, 1 << PRECISION], dense]
    lengths = np.array([len(row) for row in rows])
    tables = RowTables(np.array([row + [0] * (len(dense) - len(row)) for row in rows]), lengths, np.array([-1, 0, -3]))
    symbols = np.array([0, -1, 5, -40, 0, 0, LARGEST_SYMBOL, *range(-5, 20)], dtype=np.int32)
    indexes = np.array([0, 0, 0, 1, 1, 0, 0, *[2] * 25], dtype=np.int32)
    string = _encoded_here(symbols.tolist(), indexes.tolist(), tables)
    read = coder.reader(string, tables, len(symbols))
    same = coder.encode(symbols, indexes, tables) == string
    return same and np.array_equal(read.decode(indexes), symbols) and read.comes_back()


def _own(array: Numbers) -> Numbers:
    return np.ascontiguousarray(array, dtype=np.int32)


def _at(array: NDArray[Any]) -> int:
    """Where its numbers are."""
    return array.ctypes.data


def _within(indexes: Numbers, tables: RowTables) -> bool:
    return not len(indexes) or bool(indexes.min() >= 0 and indexes.max() < len(tables.cdf))


def _check_rows(done: int, indexes: Numbers, tables: RowTables) -> None:
    if done < 0:
        wrong = next(int(index) for index in indexes if not 0 <= index < len(tables.cdf))
        raise IndexError(f"row {wrong} of tables of {len(tables.cdf)} rows")


def _encoded_here(symbols: list[int], indexes: list[int], tables: RowTables) -> bytes:
    """What CompressAI's encoder means to write."""
    state, words = 1 << 31, list[int]()

    def put(start: int, frequency: int, bits: int) -> None:
        nonlocal state
        if state >= frequency << 63 - bits:
            words.append(state & 0xFFFFFFFF)
            state >>= 32
        state = (state // frequency << bits) + state % frequency + start

    for symbol, index in zip(reversed(symbols), reversed(indexes), strict=True):
        row, escape = tables.cdf[index].tolist(), int(tables.lengths[index]) - 2
        value = symbol - int(tables.offsets[index])
        if not 0 <= value < escape:
            rest = -2 * value - 1 if value < 0 else 2 * (value - escape)
            nibbles = [rest >> 4 * place & 15 for place in range((rest.bit_length() + 3) // 4)]
            for nibble in (*reversed(nibbles), len(nibbles)):
                put(nibble, 1, 4)
            value = escape
        put(row[value], row[value + 1] - row[value], PRECISION)
    return b"".join(word.to_bytes(4, "little") for word in (state & 0xFFFFFFFF, state >> 32, *reversed(words)))
