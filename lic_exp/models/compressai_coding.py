"""CompressAI's rANS coder for symbols of discretised Gaussians, without its modules.

Importing compressai takes seconds, so it is imported where tables are made or bytes are coded, not before.
"""

import warnings
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Tables(NamedTuple):
    """Cumulative distributions of n Gaussians of mean 0, int32, in CompressAI's form.

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
    return Tables(model._quantized_cdf, model._cdf_length, model._offset)


def encode(symbols: Tensor, indexes: Tensor, tables: Tables) -> bytes:
    """Code integer symbols (any shape), each by the table row that `indexes` (same shape) names."""
    coder = _compressai()[0].RansEncoder()
    string: bytes = coder.encode_with_indexes(_listed(symbols), _listed(indexes), *_rows(tables))
    return string


def decode(string: bytes, indexes: Tensor, tables: Tables) -> Tensor:
    """The symbols that `encode` coded with the same indexes and tables: int32, of their shape and on their device."""
    coder = _compressai()[0].RansDecoder()
    symbols = coder.decode_with_indexes(string, _listed(indexes), *_rows(tables))
    return torch.tensor(symbols, dtype=torch.int32, device=indexes.device).reshape(indexes.shape)


def _listed(values: Tensor) -> list[int]:
    return values.reshape(-1).to(torch.int32).tolist()


def _rows(tables: Tables) -> tuple[list[list[int]], list[int], list[int]]:
    return tables.cdf.tolist(), tables.lengths.tolist(), tables.offsets.tolist()
