"""CompressAI's rANS coder for symbols of discretised distributions, without its modules.

Importing compressai takes seconds, so it is imported where tables are made or bytes are coded, not before.
"""

import warnings
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lic_exp import private_interfaces

PRECISION = 16
"""Bits of a frequency."""

LARGEST_SYMBOL = 2**26
"""CompressAI's coder shifts the rest of an escaped symbol by up to 32 bits, and at 2^27 never ends."""


class CodingError(ValueError):
    """A string that this decoder does not read as its encoder meant it."""


class Tables(NamedTuple):
    """Cumulative distributions of n kinds of symbols, int32, in CompressAI's form.

    cdf: (n, longest + 2), 16 bits. lengths: (n,), how much of each row counts. offsets: (n,), the symbol that a row
    begins with. Symbols outside a row cost an escape and so have no range.
    """

    cdf: Tensor
    lengths: Tensor
    offsets: Tensor


@cache
def _compressai() -> tuple[Any, Any]:
    """Its coder and its Gaussian."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit.*")
        from compressai import ans
        from compressai.entropy_models import GaussianConditional

    return ans, GaussianConditional


def gaussian_tables(scales: Sequence[float], tail_mass: float) -> Tables:
    """The tables of Gaussians with these standard deviations, on the CPU; a row leaves out `tail_mass` at most."""
    _, gaussian = _compressai()
    with torch.device("cpu"):
        model = gaussian(list(scales), tail_mass=tail_mass)
        model.update()
    return Tables(*private_interfaces.coding_tables(model))


def quantized_cdf(masses: Sequence[float]) -> list[int]:
    """Cumulative frequencies (n + 1) of 16 bits, none of them empty, of n masses; the last is that of escapes."""
    _compressai()
    return private_interfaces.quantized_cdf(masses, PRECISION)


def encode(symbols: Tensor, indexes: Tensor, tables: Tables) -> bytes:
    """Code integer symbols (any shape), each by the table row that `indexes` (same shape) names.

    Raises CodingError for symbols that are not finite or beyond 2^26.
    """
    if symbols.numel() and not (symbols.abs() <= LARGEST_SYMBOL).all():
        raise CodingError("symbols that are not finite or beyond 2^26 cannot be coded: have the weights diverged?")
    coder = _compressai()[0].RansEncoder()
    string: bytes = coder.encode_with_indexes(_listed(symbols), _listed(indexes), *_rows(tables))
    return string


def decode(string: bytes, indexes: Tensor, tables: Tables) -> Tensor:
    """The symbols that `encode` coded with the same indexes and tables: int32, of their shape and on their device."""
    coder = _compressai()[0].RansDecoder()
    symbols = coder.decode_with_indexes(string, _listed(indexes), *_rows(tables))
    return torch.tensor(symbols, dtype=torch.int32, device=indexes.device).reshape(indexes.shape)


class StepwiseDecoder:
    """Decodes one string of `encode` part by part, where indexes depend on what has been decoded.

    symbols: how many there are in all parts together.
    """

    def __init__(self, string: bytes, tables: Tables, symbols: int) -> None:
        self._string, self._tables = string, tables
        rows, lengths, self._offsets = _rows(tables)
        self._lengths = lengths
        self._cdf = [row[:length] for row, length in zip(rows, lengths, strict=True)]
        self._symbols: list[int] = []
        self._indexes: list[int] = []
        self._decoder = _compressai()[0].RansDecoder()
        # CompressAI's decoder does not look where the string ends. What decodes it wrongly may read further.
        self._decoder.set_stream(string + bytes(8 * symbols + 64))

    def decode(self, indexes: Tensor) -> Tensor:
        """The next symbols, int32, by the table rows that `indexes` names; of their shape and on their device."""
        listed = _listed(indexes)
        symbols = self._decoder.decode_stream(listed, self._cdf, self._lengths, self._offsets)
        self._symbols += symbols
        self._indexes += listed
        return torch.tensor(symbols, dtype=torch.int32, device=indexes.device).reshape(indexes.shape)

    def check(self) -> None:
        """Raise CodingError unless what was decoded, coded again, is the string.

        It is not where only one index differed from the encoder's: the coder's state then never comes back to where
        the encoder began.
        """
        if not self._comes_back():
            raise CodingError(
                f"a string of {len(self._string)} bytes was decoded to symbols that it does not stand for: it is "
                "damaged, of other weights, or its encoder computed other scales, as another device or precision does"
            )

    def _comes_back(self) -> bool:
        if not all(abs(symbol) <= LARGEST_SYMBOL for symbol in self._symbols):
            return False
        coder = _compressai()[0].RansEncoder()
        string: bytes = coder.encode_with_indexes(self._symbols, self._indexes, *_rows(self._tables))
        return string == self._string


def _listed(values: Tensor) -> list[int]:
    return values.reshape(-1).to(torch.int32).tolist()


def _rows(tables: Tables) -> tuple[list[list[int]], list[int], list[int]]:
    return tables.cdf.tolist(), tables.lengths.tolist(), tables.offsets.tolist()
