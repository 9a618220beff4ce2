"""Coding that another device decodes: what predicts table rows and means is computed in float64.

A decoder must find the very rows that its encoder had, and float32 differs between devices in the last digits of seven,
which flips hundreds of rows of an image. In float64 it differs so little that the encoder can list what could flip
(`lic_exp.models.near_lines`). The synthesis stays as it is: a picture may differ by a level here and there, symbols may
not.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from lic_exp.models.near_lines import Following, Listing, NearLines
from lic_exp.private_torch import times_written


@dataclass(frozen=True)
class PortableMode:
    """What a codec needs for it.

    predicting: shell patterns of the names of all parameters that lead to table rows and to means, of a decoder's that
        is; but: patterns of those that are the encoder's alone. margin: how near to a line, in ln of the scale, a
        symbol's row is listed; a hundred times what float64 was seen to differ by (benchmarks/portable.py).
    """

    predicting: tuple[str, ...]
    margin: float
    but: tuple[str, ...] = ()

    def predicts(self, name: str) -> bool:
        """Whether the parameter of this name does."""
        return any(fnmatchcase(name, pattern) for pattern in self.predicting) and not any(
            fnmatchcase(name, pattern) for pattern in self.but
        )


@dataclass(frozen=True)
class WideCopies:
    """The predicting parameters in float64, by name, and what tells whether they are still those of the weights."""

    made_of: tuple[object, ...]
    tensors: dict[str, Tensor]


class PortableCoder(Protocol):
    """What is used here of a codec."""

    wide_copies: WideCopies | None

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]: ...
    def portable_mode(self) -> PortableMode: ...


_asked: ContextVar[bool] = ContextVar("portable_asked", default=False)
_near_lines: ContextVar[NearLines | None] = ContextVar("near_lines", default=None)


@contextmanager
def portable_coding() -> Iterator[None]:
    """Inside, `Codec.compress` codes for any device, and says so by `Compressed.near_lines`; decoders see it there."""
    token = _asked.set(True)
    try:
        yield
    finally:
        _asked.reset(token)


def near_lines() -> NearLines | None:
    """What has the table rows where a codec codes portably just now; None where it does not."""
    return _near_lines.get()


def narrowed(x: Tensor, like: Tensor) -> Tensor:
    """The same in the numbers of another tensor, where it is predicted in float64 and that is not; else as it is."""
    return x.to(like.dtype) if x.dtype == torch.float64 else x


def as_weights_of(module: nn.Module, x: Tensor) -> Tensor:
    """The same in the numbers of a module's weights: where it is predicted in float64, and others take it up."""
    return x.to(next(module.parameters()).dtype)


def coded(codec: PortableCoder, code: Callable[[], Any]) -> Any:
    """The `lic_exp.models.base.Compressed` of one image that `code` makes, portable where that is asked for."""
    if not _asked.get():
        return code()
    mode = codec.portable_mode()
    listing = Listing(mode.margin)
    with _predicting_in_float64(codec, mode), _finding_rows_by(listing):
        found = code()
    return replace(found, near_lines=[[entries] for entries in listing.lists(len(found.strings))])


def decoded(codec: PortableCoder, compressed: Any, code: Callable[[], Tensor]) -> Tensor:
    """The picture that `code` decodes of one image, coded in whatever way."""
    if compressed.near_lines is None:
        return code()
    following = Following([entries for (entries,) in compressed.near_lines])
    with _predicting_in_float64(codec, codec.portable_mode()), _finding_rows_by(following):
        picture = code()
    following.finish()
    return picture


def reconstructed(codec: PortableCoder, compressed: Any, code: Callable[[], Tensor]) -> Tensor:
    """The encoder's own picture that `code` makes of one image, coded in whatever way."""
    if compressed.near_lines is None:
        return code()
    with _predicting_in_float64(codec, codec.portable_mode()):
        return code()


@contextmanager
def _finding_rows_by(lists: NearLines) -> Iterator[None]:
    token = _near_lines.set(lists)
    try:
        yield
    finally:
        _near_lines.reset(token)


@contextmanager
def _predicting_in_float64(codec: PortableCoder, mode: PortableMode) -> Iterator[None]:
    """The predicting parameters are their float64 copies inside."""
    named = {name: parameter for name, parameter in codec.named_parameters() if mode.predicts(name)}
    made_of = tuple((name, times_written(one), one.data_ptr(), one.device) for name, one in named.items())
    if codec.wide_copies is None or codec.wide_copies.made_of != made_of:
        codec.wide_copies = WideCopies(made_of, {name: one.detach().double() for name, one in named.items()})
    wide, before = codec.wide_copies.tensors, {name: parameter.data for name, parameter in named.items()}
    try:
        for name, parameter in named.items():
            parameter.data = wide[name]
        yield
    finally:
        for name, parameter in named.items():
            parameter.data = before[name]
