"""How another device might compute: the same operations in another order, and with other last digits."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

PRODUCTS = ("mm", "addmm", "bmm", "convolution")
COMPUTING = (
    *(*PRODUCTS, "add", "sub", "rsub", "mul", "div", "exp", "log", "reciprocal", "pow", "lerp", "neg"),
    *("softplus", "silu", "sigmoid", "leaky_relu", "_softmax", "_scaled_dot_product_flash_attention_for_cpu"),
)
"""Operations that round."""


class OtherArithmetic(TorchDispatchMode):
    """Inside, products of one dtype are summed in another order, and all that rounds has another last digit.

    reorder: whether sums of products are cut in two, at random channels or taps, and added up. relative: what every
    result is multiplied by lies within 1 +- it, at random. dtype: whose operations.
    """

    def __init__(
        self, *, reorder: bool = False, relative: float = 0.0, seed: int = 0, dtype: torch.dtype = torch.float64
    ) -> None:
        super().__init__()
        self.dtype = dtype
        self.reorder, self.relative = reorder, relative
        self.generator = torch.Generator().manual_seed(seed)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        plain = name.rstrip("_") if name != "_softmax" else name
        if plain not in COMPUTING or not any(self._is_own(arg) for arg in args):
            return func(*args, **kwargs)
        reordered = _REORDERED.get(name) if self.reorder and "out" not in kwargs else None
        found = reordered(self.generator, func, *args) if reordered else func(*args, **kwargs)
        for result in found if isinstance(found, tuple) else (found,):
            if self.relative and self._is_own(result):
                noise = 2 * torch.rand(result.shape, dtype=result.dtype, generator=self.generator) - 1
                result.mul_(1 + self.relative * noise)
        return found

    def _is_own(self, value: Any) -> bool:
        return isinstance(value, Tensor) and value.dtype == self.dtype


def _mm(generator: torch.Generator, func: Any, a: Tensor, b: Tensor) -> Tensor:
    first, second = torch.randperm(a.shape[-1], generator=generator).chunk(2) if a.shape[-1] > 1 else ([0], [])
    return func(a[..., first], b[..., first, :]) + (func(a[..., second], b[..., second, :]) if len(second) else 0)


def _addmm(generator: torch.Generator, func: Any, bias: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return _mm(generator, torch.ops.aten.mm.default, a, b) + bias


def _convolution(
    generator: torch.Generator, func: Any, x: Tensor, weight: Tensor, bias: Tensor | None, *how: Any
) -> Tensor:
    kept = torch.rand(weight.shape, dtype=weight.dtype, generator=generator).round()
    found: Tensor = func(x, weight * kept, None, *how) + func(x, weight * (1 - kept), None, *how)
    return found if bias is None else found + bias.reshape(-1, 1, 1)


_REORDERED: dict[str, Callable[..., Tensor]] = {
    "mm": _mm,
    "bmm": _mm,
    "addmm": _addmm,
    "convolution": _convolution,
}
