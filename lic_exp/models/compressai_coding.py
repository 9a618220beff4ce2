"""CompressAI's rANS coder for symbols of discretised distributions, without the rest of CompressAI.

Importing compressai takes seconds, and much that only its own codecs need. So its coder alone is loaded, where tables
are made or bytes are coded, and not before.
"""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import torch
from torch import Tensor

from lic_exp import private_interfaces
from lic_exp.models import rans, symbol_record
from lic_exp.models.coding_error import CodingError
from lic_exp.models.rans import LARGEST_SYMBOL, PRECISION

log = logging.getLogger("lic_exp.models")

MOST_SYMBOLS = 2**28
"""In one string. While CompressAI's coder is at work, some 0.2 us a symbol, no other thread is, nor the heartbeat's."""

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
    smallest, largest = torch.stack(symbols.aminmax()).tolist() if symbols.numel() else (0, 0)
    if not (smallest >= -LARGEST_SYMBOL and largest <= LARGEST_SYMBOL):  # NaN is not either
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
    return rans.encode(array_of(symbols), array_of(indexes), row_tables(tables))


def decode(string: bytes, indexes: Tensor, tables: Tables) -> Tensor:
    """The symbols that `encode` coded with the same indexes and tables: int32, of their shape and on their device.

    Raises CodingError unless they, coded again, are the string.
    """
    reader = rans.reader(string, row_tables(tables), indexes.numel())
    symbols = read_by(reader, indexes)
    symbol_record.decoded(symbols)
    check_whole(reader.comes_back(), string)
    return symbols


@contextmanager
def comparing_pictures() -> Iterator[None]:
    """Inside, what does not come back from a string is decoded all the same: the caller has the picture it should be.

    That is of codecs that read every string at once or by CompressAI's loops; `StepwiseDecoder` always refuses it.
    """
    token = _comparing.set(True)
    try:
        yield
    finally:
        _comparing.reset(token)


_comparing: ContextVar[bool] = ContextVar("comparing_pictures", default=False)


def check_whole(comes_back: bool, string: bytes) -> None:
    """Raise CodingError where what was decoded of a string, coded again, is another, unless that is told otherwise."""
    if not comes_back and not _comparing.get():
        raise CodingError(_does_not_stand(len(string)))


def _does_not_stand(size: int) -> str:
    return (
        f"a string of {size} bytes was decoded to symbols that it does not stand for: it is damaged, of other weights, "
        "or its encoder computed other scales, as another device or precision does"
    )


class StepwiseDecoder:
    """Decodes one string of `encode` part by part, where indexes depend on what has been decoded.

    symbols: how many there are in all parts together.
    """

    def __init__(self, string: bytes, tables: Tables, symbols: int) -> None:
        self._size = len(string)
        self._reader = rans.reader(string, row_tables(tables), symbols)

    def decode(self, indexes: Tensor) -> Tensor:
        """The next symbols, int32, by the table rows that `indexes` names; of their shape and on their device."""
        symbols = read_by(self._reader, indexes)
        symbol_record.decoded(symbols, self)
        return symbols

    def check(self) -> None:
        """Raise CodingError unless what was decoded, coded again, is the string.

        It is not where only one index differed from the encoder's: the coder's state then never comes back to where
        the encoder began.
        """
        if not self._reader.comes_back():
            raise CodingError(_does_not_stand(self._size))
        symbol_record.finished(self)


def array_of(values: Tensor) -> rans.Numbers:
    """Whole numbers of any shape, dtype and device as a coder takes them, int32 and one after another."""
    numbers: rans.Numbers = values.detach().reshape(-1).to("cpu", torch.int32).numpy()
    return numbers


def read_by(reader: rans.StringReader, indexes: Tensor) -> Tensor:
    """The next symbols, int32, by the table rows that `indexes` names; of their shape and on their device."""
    return torch.from_numpy(reader.decode(array_of(indexes))).to(indexes.device).reshape(indexes.shape)


def row_tables(tables: Tables) -> rans.RowTables:
    """Tables as a coder takes them, made once for all that have the same numbers."""
    return rans.row_tables(*(table.detach().cpu().numpy() for table in tables))


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
