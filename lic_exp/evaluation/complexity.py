"""What a codec costs: its parameters, and the multiply-accumulates (MACs) of coding an image, part by part.

Counted are convolutions (also transposed, which cost per position that they read; grouped; masked, where a masked
weight counts too), linear layers, matrix products and attention, in whatever form the forward pass runs them, because
it is torch's dispatcher that is listened to. One MAC is one multiplication with its addition, half of what torch calls
two FLOPs. GDN is a 1x1 convolution of squares and counts as one. Not counted is what works element by element: biases,
activations, norms, the division of GDN, resampling, quantisation; nor matrix-vector products, nor entropy coding.
"""

import copy
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from lic_exp.models.base import Codec, CodingPart
from lic_exp.private_torch import mode_of, without_values

if TYPE_CHECKING:
    from torch.utils.flop_counter import FlopCounterMode

COUNTED = (
    "MACs of convolutions, linear layers, matrix products and attention in one forward pass in eval mode; element-wise "
    "work (biases, activations, norms) and entropy coding are left out"
)
USUAL_SIDE = 256
"""Sides of the image that is counted on [pixels], or the next larger ones that the codec takes: KMACs per pixel are
published so. A codec of convolutions alone costs the same per pixel at any size."""

ITSELF = "(itself)"
"""The part that has what the codec's own forward pass computes outside of its modules."""


class SizeError(ValueError):
    """An image of this size is none that the codec takes."""


@dataclass(frozen=True)
class PartCost:
    """One part. macs: of the whole image. encode, decode: whether these need it; None where the codec does not say."""

    name: str
    parameters: int
    macs: int
    encode: bool | None
    decode: bool | None


@dataclass(frozen=True)
class Complexity:
    """What a codec costs on one image of height x width. Parts are disjoint, so their sums are the codec's.

    Parameters are the codec's own, frozen ones included; entropy coders' tables are none.
    """

    height: int
    width: int
    parts: tuple[PartCost, ...]

    @property
    def parameters(self) -> int:
        return sum(part.parameters for part in self.parts)

    @property
    def macs_per_pixel(self) -> float:
        """Of the forward pass: what encoding and decoding need, shared parts once, and estimating the rate."""
        return self.per_pixel(sum(part.macs for part in self.parts))

    @property
    def encode_macs_per_pixel(self) -> float | None:
        """None where the codec does not say who needs some part."""
        return self._needed(lambda part: part.encode)

    @property
    def decode_macs_per_pixel(self) -> float | None:
        """None where the codec does not say who needs some part."""
        return self._needed(lambda part: part.decode)

    def per_pixel(self, macs: int) -> float:
        return macs / (self.height * self.width)

    def _needed(self, needs: Callable[[PartCost], bool | None]) -> float | None:
        if any(part.macs and needs(part) is None for part in self.parts):
            return None
        return self.per_pixel(sum(part.macs for part in self.parts if needs(part)))

    def to_dict(self) -> dict[str, Any]:
        """What complexity.json holds."""
        sums = ("parameters", "macs_per_pixel", "encode_macs_per_pixel", "decode_macs_per_pixel", "height", "width")
        parts = [asdict(part) | {"macs_per_pixel": self.per_pixel(part.macs)} for part in self.parts]
        return {name: getattr(self, name) for name in sums} | {"counted": COUNTED, "parts": parts}


def complexity(codec: Codec, height: int | None = None, width: int | None = None) -> Complexity:
    """Count a copy of the codec in eval mode and without values: nothing is computed, no random number drawn.

    height, width: of the image, multiples of the codec's downsampling factor; None: USUAL_SIDE or the next multiple.
    A codec built `without_values` or on the meta device will do.

    Parts are those of `codec.coding_parts`; other modules belong to a part with the name of their top-level child.
    What a method other than `forward` computes with a module's weights counts for the module whose forward calls it.

    Raises SizeError for other sides, and whatever the codec's forward pass raises where it looks at values.
    """
    factor = codec.facts.downsampling_factor
    height, width = (-(-USUAL_SIDE // factor) * factor if side is None else side for side in (height, width))
    for side in (height, width):
        if side < 1 or side % factor:
            raise SizeError(
                f"{height}x{width} is no size for {type(codec).__name__}: its sides are multiples of {factor}"
            )
    macs, parameters, uses = Counter[str](), Counter[str](), dict[str, CodingPart | None]()
    for counts, found in ((macs, _macs_by_module(codec, height, width)), (parameters, _parameters_by_module(codec))):
        for module, count in found.items():
            name, use = _part_of(codec, module)
            counts[name] += count
            uses[name] = use
    costs = (
        PartCost(name, parameters[name], macs[name], use.encode if use else None, use.decode if use else None)
        for name, use in uses.items()
    )
    order = [part.name for part in codec.coding_parts] + [name for name, _ in codec.named_children()] + [ITSELF]
    costly = (cost for cost in costs if cost.macs or cost.parameters)
    return Complexity(height, width, tuple(sorted(costly, key=lambda cost: order.index(cost.name))))


def _part_of(codec: Codec, module: str) -> tuple[str, CodingPart | None]:
    """The part that a module's name (or that of a parameter of the codec itself) belongs to."""
    around = list(accumulate(module.split("."), "{}.{}".format))
    for part in codec.coding_parts:
        if any(fnmatchcase(name, pattern) for pattern in part.modules for name in around):
            return part.name, part
    return (around[0] if around[0] in dict(codec.named_children()) else ITSELF), None


def _parameters_by_module(codec: Codec) -> Mapping[str, int]:
    """{name of the module that holds parameters, or of a parameter of the codec itself: their number}."""
    counts = Counter[str]()
    for name, parameter in codec.named_parameters():
        counts[name.rpartition(".")[0] or name] += parameter.numel()
    return counts


def _macs_by_module(codec: Codec, height: int, width: int) -> Mapping[str, int]:
    """MACs of one image {name of the innermost running module, "" for the codec: MACs}."""
    from torch.utils.flop_counter import FlopCounterMode  # which imports Triton

    mode = next(filter(None, map(mode_of, codec.parameters())), None) or without_values()
    shadow, counter = _without_values(codec, mode), FlopCounterMode(display=False)
    with mode:
        x = torch.empty(1, 3, height, width)
    # Outside of the mode, which tensors without values bring along: small tensors that are made on the way, say the
    # order of axes, keep their values.
    with torch.random.fork_rng(devices=[]), torch.no_grad(), _attention_as_products(), counter:
        ledger = _Ledger(counter)
        for name, module in shadow.named_modules():
            module.register_forward_pre_hook(partial(ledger.enter, name))
            module.register_forward_hook(ledger.leave)
        shadow(x)
    return ledger.macs


@contextmanager
def _attention_as_products() -> Iterator[None]:
    """Keeps attention out of kernels that the counter does not know; which it knows depends on torch's version."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


class _Ledger:
    """Writes what a counter has counted since the last look to the innermost module that was running meanwhile."""

    def __init__(self, counter: "FlopCounterMode") -> None:
        self.counter, self.seen = counter, 0
        self.running: list[str] = []
        self.macs = Counter[str]()

    def enter(self, name: str, *_: Any) -> None:
        self._look()
        self.running.append(name)

    def leave(self, *_: Any) -> None:
        self._look()
        self.running.pop()

    def _look(self) -> None:
        total = self.counter.get_total_flops() // 2
        if self.running:
            self.macs[self.running[-1]] += total - self.seen
        self.seen = total


def _without_values(codec: Codec, mode: AbstractContextManager[Any]) -> Codec:
    """A copy in eval mode whose parameters and buffers have shapes but no values, and pass for tensors on the CPU."""

    def like(tensor: Tensor) -> Tensor:
        empty = torch.empty(tensor.shape, dtype=tensor.dtype)
        return nn.Parameter(empty, requires_grad=False) if isinstance(tensor, nn.Parameter) else empty

    with mode:
        # Told that the tensors are copied already, deepcopy copies the rest alone.
        copied = {id(tensor): like(tensor) for tensor in (*codec.parameters(), *codec.buffers())}
    return copy.deepcopy(codec, copied).eval()
