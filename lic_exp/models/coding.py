"""Coding in one way, whoever calls: a decoder may see the bytes, their shape and the weights, and nothing else.

What a kernel computes, to the last bit, hangs on the layout of its operands in memory, on the number of images and of
threads, on autocast and other switches; and one bit of a predicted scale is enough for a decoder to read all that
follows wrongly. So the methods by which any codec codes run inside those of `settle`, and no codec has to think of it.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial, wraps
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from lic_exp.models import portable
from lic_exp.models.by_image import joined, parts
from lic_exp.models.dtypes import check_image, check_weight_dtypes, check_weights_there
from lic_exp.ops.precision import one_arithmetic, uncompiled
from lic_exp.ops.side_by_side import side_by_side
from lic_exp.private_torch import times_written

CodingMethod = Callable[..., Any]

log = logging.getLogger("lic_exp.models")

_coding: ContextVar[frozenset[int]] = ContextVar("coding", default=frozenset())
"""The codecs, by id, that code just now: what they call of themselves is not settled again."""

coding_turn = threading.RLock()
"""Held while anything codes: torch's switches, and a codec's layout and mode, are those of all threads of a process."""


class Coder(Protocol):
    """What is used here of a codec; what it returns and takes is a `lic_exp.models.base.Compressed`."""

    facts: ClassVar[Any]
    packed: ClassVar[Any]
    codes_on_cpu: ClassVar[bool]
    tables_made_of: tuple[int, ...] | None
    told_where_it_codes: bool
    wide_copies: portable.WideCopies | None

    def parameters(self) -> Iterator[nn.Parameter]: ...
    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]: ...
    def buffers(self) -> Iterator[Tensor]: ...
    def modules(self) -> Iterator[nn.Module]: ...
    def eval(self) -> Any: ...
    def portable_mode(self) -> portable.PortableMode: ...
    def update(self, force: bool = True) -> None: ...


def settle(kind: type[Coder]) -> None:
    """Give a class of codecs, in place, methods that code one image at a time in one arithmetic.

    They and `forward` raise ValueError for numbers that its facts do not name (`lic_exp.models.dtypes`).
    `compress`, `decompress` and `reconstruct` get each image as a tensor of its own in torch's usual order, of the
    weights' kind and on their device; the weights in that order too; eval mode; and the tables of the present weights,
    which `update` makes where it has not seen them. What a caller had is put back. Of several threads one
    codes, and the others wait.

    `decompress` also takes what CompressAI's takes, (strings, shape), and then returns what CompressAI's returns, the
    picture under "x_hat"; of a codec with several rates also `quality`, which the bytes do not hold.
    """
    for name, settled in _SETTLED.items():
        method = getattr(kind, name)
        if getattr(method, "settled", None) is not method:
            now = settled(method)
            now.settled = now  # type: ignore[attr-defined]
            setattr(kind, name, now)


def ensure_tables(codec: Coder) -> None:
    """Make a codec's coding tables, where `update` has not seen its weights of now."""
    if codec.tables_made_of != written(codec):
        codec.update()


@contextmanager
def in_eval_mode(codec: Coder) -> Iterator[None]:
    """Eval mode inside; every module's own mode is as before afterwards."""
    modes = {module: module.training for module in codec.modules()}
    try:
        codec.eval()
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def coding_device(codec: Coder) -> torch.device:
    """Where a codec codes: where its weights are, or on the CPU where it can do so only there."""
    return torch.device("cpu") if codec.codes_on_cpu else _home(codec).device


def _forward(own: CodingMethod) -> CodingMethod:
    @wraps(own)
    def forward(self: Coder, x: Tensor, *args: Any, **options: Any) -> Any:
        if torch.compiler.is_compiling() or _is_coding(self):
            return own(self, x, *args, **options)
        check_image(self, x)
        try:
            return own(self, x, *args, **options)
        except RuntimeError:
            check_weight_dtypes(self)
            raise

    return forward


def _compress(own: CodingMethod) -> CodingMethod:
    @wraps(own)
    def compress(self: Coder, x: Tensor, *args: Any, **options: Any) -> Any:
        if _is_coding(self):
            return own(self, x, *args, **options)
        with _in_one_way(self):
            images = _images(self, x)
            return joined([portable.coded(self, partial(own, self, image, *args, **options)) for image in images])

    return compress


def _decompress(own: CodingMethod) -> CodingMethod:
    picture = _picture(own, portable.decoded)

    @wraps(own)
    def decompress(self: Coder, compressed: Any = None, *args: Any, strings: Any = None, **options: Any) -> Any:
        if _is_coding(self):
            return own(self, compressed, *args, **options)
        if hasattr(compressed, "strings"):
            return picture(self, compressed, *args, **options)
        given = strings if compressed is None else compressed
        return {"x_hat": picture(self, _packed(self, given, *args, **options))}

    return decompress


def _reconstruct(own: CodingMethod) -> CodingMethod:
    return _picture(own, portable.reconstructed)


def _picture(own: CodingMethod, shown: CodingMethod) -> CodingMethod:
    @wraps(own)
    def picture(self: Coder, compressed: Any, *args: Any, **options: Any) -> Tensor:
        if _is_coding(self):
            found: Tensor = own(self, compressed, *args, **options)
            return found
        with _in_one_way(self):
            pictures = [shown(self, image, partial(own, self, image, *args, **options)) for image in parts(compressed)]
        return _shown(pictures, self)

    return picture


def _packed(
    codec: Coder, strings: Any, shape: Sequence[int] | None = None, *, quality: float | None = None, **more: Any
) -> Any:
    """What CompressAI's `decompress(strings, shape)` is given, as a `Compressed`. Raises TypeError for all else."""
    known = isinstance(strings, list | tuple) and all(isinstance(kind, list | tuple) for kind in strings)
    if not known or shape is None or more:
        raise TypeError(
            f"{type(codec).__name__}.decompress takes what compress returned, or its strings and shape as CompressAI's "
            'does: decompress(out["strings"], out["shape"])'
        )
    if quality is not None and not codec.facts.variable_rate:
        raise TypeError(f"{type(codec).__name__} has one rate, and decompress no quality to be told")
    return codec.packed([list(kind) for kind in strings], tuple(shape), quality=quality)


def _update(own: CodingMethod) -> CodingMethod:
    @wraps(own)
    def update(self: Coder, *args: Any, **options: Any) -> None:
        if _is_coding(self):
            own(self, *args, **options)
            return
        check_weights_there(self)
        check_weight_dtypes(self)
        with coding_turn, one_arithmetic(), _as_coding(self):
            own(self, *args, **options)
            self.tables_made_of = written(self)

    return update


_SETTLED: dict[str, Callable[[CodingMethod], CodingMethod]] = {
    "forward": _forward,
    "compress": _compress,
    "decompress": _decompress,
    "reconstruct": _reconstruct,
    "update": _update,
}


def _is_coding(codec: Coder) -> bool:
    return id(codec) in _coding.get()


@contextmanager
def _as_coding(codec: Coder) -> Iterator[None]:
    token = _coding.set(_coding.get() | {id(codec)})
    try:
        yield
    finally:
        _coding.reset(token)


@contextmanager
def _in_one_way(codec: Coder) -> Iterator[None]:
    check_weights_there(codec)
    check_weight_dtypes(codec)
    with coding_turn:
        ensure_tables(codec)
        with (
            side_by_side(torch.get_num_threads()),
            one_arithmetic(),
            uncompiled(),
            _weights_in_order(codec),
            _as_coding(codec),
            in_eval_mode(codec),
        ):
            yield


@contextmanager
def _weights_in_order(codec: Coder) -> Iterator[None]:
    """Weights and buffers as they are right after building: in torch's usual order, on the device that codes."""
    device, before = coding_device(codec), []
    if device != _home(codec).device:
        _tell(codec)
    try:
        for tensor in (*codec.parameters(), *codec.buffers()):
            if tensor.device != device or tensor.stride() != _usual_strides(tensor.shape):
                before.append((tensor, tensor.data))
                tensor.data = torch.empty(tensor.shape, dtype=tensor.dtype, device=device).copy_(tensor.data)
        yield
    finally:
        for tensor, data in before:
            tensor.data = data


def _tell(codec: Coder) -> None:
    if not codec.told_where_it_codes:
        codec.told_where_it_codes = True
        name, home = type(codec).__name__, _home(codec).device
        log.warning("%s codes on the CPU, not on %s: there its decoder would not follow its encoder", name, home)


def _usual_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Of a new tensor. `is_contiguous` does not look at sides of 1, by whose strides kernels are chosen too."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return tuple(reversed(strides))


def _home(codec: Coder) -> Tensor:
    """A tensor of the kind and on the device of the weights."""
    floating = (tensor for tensor in (*codec.parameters(), *codec.buffers()) if tensor.is_floating_point())
    return next(floating, torch.empty(0, device="cpu"))


def written(codec: Coder) -> tuple[int, ...]:
    """Changes where a weight is written to. Its first number tells a codec from its copies, which count anew."""
    return id(codec), *(times_written(parameter) for parameter in codec.parameters())


def _images(codec: Coder, x: Tensor) -> list[Tensor]:
    """The images of x (B, 3, H, W), each a new tensor (1, 3, H, W). Raises ValueError for whole numbers."""
    if not x.is_floating_point():
        raise ValueError(f"x has {x.dtype}, but a codec takes images in [0, 1], floating-point numbers")
    if x.dim() != 4 or not len(x):
        return [x]  # the codec knows what to say
    dtype, device = _home(codec).dtype, coding_device(codec)
    return [torch.empty(image.shape, dtype=dtype, device=device).copy_(image) for image in x.split(1)]


def _shown(pictures: list[Tensor], codec: Coder) -> Tensor:
    picture = pictures[0] if len(pictures) == 1 else torch.cat(pictures)
    return picture.to(_home(codec).device)
