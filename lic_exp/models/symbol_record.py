"""What symbols a string stands for, as a checksum: by it a decoder knows that it has read what was written."""

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

from lic_exp.models.coding_error import CodingError

Part = object
"""What tells the symbols of one string from those of others, where they come in several parts."""


class SymbolRecord:
    """The checksums of the symbols of one call of `Codec.compress`, or of one of `Codec.decompress`.

    expected: what a decoder should find, as `crcs` has it; None: nobody knows.
    """

    def __init__(self, expected: Sequence[int] | None) -> None:
        self._expected = expected
        self._encoded: dict[Part, int] = {}
        self._decoded: dict[Part, int] = {}

    @property
    def crcs(self) -> list[int]:
        """CRC32 of the symbols of each string, int32 in little endian in coding order.

        Strings in the order in which they are coded (a hyperprior's first), image after image. An encoder that decodes
        for itself what it has just written counts that once.
        """
        return list((self._encoded or self._decoded).values())

    def check(self, string: Part) -> None:
        """Raise CodingError where the decoded symbols of a string, which is whole, are not the expected ones."""
        if self._expected is None or string not in self._decoded:
            return
        place = list(self._decoded).index(string)
        if self._expected[place : place + 1] != [self._decoded[string]]:
            raise CodingError(
                f"string {place + 1} was decoded to other symbols than its encoder wrote: it is damaged, of other "
                "weights, or this device computes other scales than the encoder's"
            )


def encoded(symbols: Tensor, string: Part | None = None) -> None:
    """Note symbols that are being encoded: whole numbers of any dtype and shape, below 2^31.

    string: what all parts of one string name; None: these are all of it.
    """
    record = _record.get()
    if record is not None:
        _add(record._encoded, symbols, string)


def decoded(symbols: Tensor, string: Part | None = None) -> None:
    """Note symbols that have been decoded, as `encoded` does. Raises CodingError as `finished`, for a whole string."""
    record = _record.get()
    if record is not None:
        key = object() if string is None else string
        _add(record._decoded, symbols, key)
        if string is None:
            record.check(key)


def finished(string: Part) -> None:
    """Tell that all parts of a string have been noted. Raises CodingError where other symbols are expected of it."""
    record = _record.get()
    if record is not None:
        record.check(string)


@contextmanager
def recording_symbols(expected: Sequence[int] | None = None) -> Iterator[SymbolRecord]:
    """Gives a record, which the one call of a codec inside fills.

    expected: the `SymbolRecord.crcs` of the encoder. A decoder raises CodingError inside at the first string of other
    symbols, before it decodes the next.
    """
    record = SymbolRecord(None if expected is None else list(expected))
    token = _record.set(record)
    try:
        yield record
    finally:
        _record.reset(token)


_record: ContextVar[SymbolRecord | None] = ContextVar("symbol_record", default=None)


def _add(crcs: dict[Part, int], symbols: Tensor, string: Part | None) -> None:
    key = object() if string is None else string
    values = symbols.detach().to("cpu", torch.int32).contiguous().numpy().astype("<i4")
    crcs[key] = zlib.crc32(values.tobytes(), crcs.get(key, 0))
