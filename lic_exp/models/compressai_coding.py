"""CompressAI's rANS coder for symbols of discretised distributions, without the rest of CompressAI.

Importing compressai takes seconds, and much that only its own codecs need. So its coder alone is loaded, where tables
are made or bytes are coded, and not before.
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lic_exp import private_interfaces
from lic_exp.models import symbol_record
from lic_exp.models.coding_error import CodingError

log = logging.getLogger("lic_exp.models")

PRECISION = 16
"""Bits of a frequency."""

LARGEST_SYMBOL = 2**26
"""CompressAI's coder shifts the rest of an escaped symbol by up to 32 bits, and at 2^27 never ends."""

MOST_SYMBOLS = 2**28
"""In one string. While the coder is at work, some 0.2 us a symbol, no other thread is, the heartbeat's neither."""

LONGEST_ROW = 2**15
"""Symbols of one distribution. Its frequencies have 16 bits, none is 0, and making them takes their number's square."""

DIVERGED = "have the weights diverged?"


class Tables(NamedTuple):
    """Cumulative distributions of n kinds of symbols, int32, in CompressAI's form.

    cdf: (n, longest + 2), 16 bits. lengths: (n,), how much of each row counts. offsets: (n,), the symbol that a row
    begins with. Symbols outside a row cost an escape and so have no range.
    """

    cdf: Tensor
    lengths: Tensor
    offsets: Tensor


def gaussian_tables(scales: Sequence[float], tail_mass: float) -> Tables:
    """The tables of Gaussians with these standard deviations, on the CPU; a row leaves out `tail_mass` at most.

    Those that CompressAI's `GaussianConditional` makes, number by number, so that one reads the other's strings.
    """
    from scipy.special import ndtri

    table = torch.tensor(scales, dtype=torch.float32, device="cpu")
    centers = (table * -float(ndtri(tail_mass / 2))).ceil().int()
    lengths = 2 * centers + 1
    inner = (torch.arange(int(lengths.max()), device="cpu") - centers[:, None]).abs().float()
    upper, lower = (0.5 * torch.erfc(-(2**-0.5) * ((edge - inner) / table[:, None])) for edge in (0.5, -0.5))
    return quantized_tables(upper - lower, lengths, 2 * lower[:, 0], -centers)


def quantized_tables(masses: Tensor, lengths: Tensor, tails: Tensor, offsets: Tensor) -> Tables:
    """The tables of n distributions: masses (n, longest), of whose rows `lengths` (n,) count, and of escapes (n,)."""
    cdf = torch.zeros(len(masses), masses.shape[1] + 2, dtype=torch.int32, device="cpu")
    for row, mass, length, tail in zip(cdf, masses, lengths.tolist(), tails.tolist(), strict=True):
        frequencies = private_interfaces.quantized_cdf([*mass[:length].tolist(), tail], PRECISION)
        row[: length + 2] = torch.tensor(frequencies, dtype=torch.int32)
    return Tables(cdf, (lengths + 2).int(), offsets.int())


def check_ranges(symbols: Tensor, what: str) -> None:
    """Raise CodingError where distributions have more symbols (n,), a number each, than can be coded."""
    if not (symbols <= LONGEST_ROW).all():  # NaN is not either
        most = symbols.max().item()
        raise CodingError(f"{what} asks for tables of {most:g} symbols, but {LONGEST_ROW} are the most: {DIVERGED}")


def check_symbols(symbols: Tensor) -> None:
    """Raise CodingError for symbols of one image, whole numbers of any dtype, with which the coder would not end."""
    if symbols.numel() > MOST_SYMBOLS:
        raise CodingError(f"{symbols.numel()} symbols of one image cannot be coded, 2^28 at most: cut it into parts")
    if symbols.numel() and not (symbols.abs() <= LARGEST_SYMBOL).all():
        raise CodingError(f"symbols that are not finite or beyond 2^26 cannot be coded: {DIVERGED}")


def check_moments(values: Tensor, what: str) -> None:
    """Raise CodingError for scales or means, whose name `what` is, that are not finite."""
    if not values.isfinite().all():
        raise CodingError(f"{what} that are not finite code nothing: {DIVERGED}")


def encode(symbols: Tensor, indexes: Tensor, tables: Tables) -> bytes:
    """Code integer symbols (any shape), each by the table row that `indexes` (same shape) names.

    Raises CodingError for symbols that are not finite or beyond 2^26.
    """
    check_symbols(symbols)
    symbol_record.encoded(symbols)
    coder = private_interfaces.entropy_coder().RansEncoder()
    string: bytes = coder.encode_with_indexes(_listed(symbols), _listed(indexes), *_rows(tables))
    return string


def decode(string: bytes, indexes: Tensor, tables: Tables) -> Tensor:
    """The symbols that `encode` coded with the same indexes and tables: int32, of their shape and on their device."""
    coder = private_interfaces.entropy_coder().RansDecoder()
    padded = with_margin(string, indexes.numel())
    symbols = _whole(coder.decode_with_indexes(padded, _listed(indexes), *_rows(tables)))
    symbol_record.decoded(symbols)
    return symbols.to(indexes.device).reshape(indexes.shape)


def with_margin(string: bytes, symbols: int) -> bytes:
    """The string with what its decoder may read beyond its end, where it looks for so many symbols and finds others.

    CompressAI's decoder does not look where the string ends. An escape of four bits may announce 15 more such.
    """
    return string + bytes(16 * len(string) + 8 * symbols + 64)


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
        self._decoder = private_interfaces.entropy_coder().RansDecoder()
        self._decoder.set_stream(with_margin(string, symbols))

    def decode(self, indexes: Tensor) -> Tensor:
        """The next symbols, int32, by the table rows that `indexes` names; of their shape and on their device."""
        listed = _listed(indexes)
        symbols = self._decoder.decode_stream(listed, self._cdf, self._lengths, self._offsets)
        self._symbols += symbols
        self._indexes += listed
        decoded = _whole(symbols)
        symbol_record.decoded(decoded, self)
        return decoded.to(indexes.device).reshape(indexes.shape)

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
        symbol_record.finished(self)

    def _comes_back(self) -> bool:
        if not all(abs(symbol) <= LARGEST_SYMBOL for symbol in self._symbols):
            return False
        coder = private_interfaces.entropy_coder().RansEncoder()
        string: bytes = coder.encode_with_indexes(self._symbols, self._indexes, *_rows(self._tables))
        return string == self._string


def _listed(values: Tensor) -> list[int]:
    return values.reshape(-1).to(torch.int32).tolist()


def _whole(values: list[int]) -> Tensor:
    return torch.tensor(values, dtype=torch.int32, device="cpu")


def _rows(tables: Tables) -> tuple[list[list[int]], list[int], list[int]]:
    return tables.cdf.tolist(), tables.lengths.tolist(), tables.offsets.tolist()


def with_names_of_today(
    weights: Mapping[str, Tensor], own: Collection[str], bottlenecks: Sequence[str]
) -> dict[str, Tensor]:
    """Weights {key: tensor} under the names of the installed CompressAI, by its own rules, where they are former ones.

    own: a codec's keys, which stay. bottlenecks: names of its entropy bottlenecks. Logs what was renamed. Raises
    ValueError where two names would be one.
    """
    from compressai.models.utils import remap_old_keys
    from compressai.zoo import load_state_dict

    names = dict.fromkeys(weights, "")
    for key in weights:
        stays = key in own or key.startswith("module.")  # what not all names begin with is nothing to be taken off
        name = key if stays else next(iter(load_state_dict({key: weights[key]})))
        for bottleneck in bottlenecks:
            if name not in own and name.startswith(f"{bottleneck}."):
                name = next(iter(remap_old_keys(bottleneck, {name: weights[key]})))
        names[key] = name
    former = [f"{key} is {name}" for key, name in names.items() if key != name]
    if len(set(names.values())) < len(names):
        raise ValueError(f"the names are those of two versions of CompressAI at once: {former[0]}")
    if former:
        log.warning("names of an earlier CompressAI, %d of them, are read as today's: %s", len(former), former[0])
    return {names[key]: value for key, value in weights.items()}
