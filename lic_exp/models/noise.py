"""The noise that stands for rounding while a codec trains."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class Noise(nn.Module):
    """Uniform in [-0.5, 0.5), of the shape of what it is asked for: (B, ...), one entry of the first side per image.

    A codec has one where it quantises, a module without weights. Training binds it (`lic_exp.training.draws`): then a
    forward pass finds its values drawn already, so that they are functions of seed, step and image alone. Unbound, as
    for whoever calls `codec.train()(x)`, they come from torch's global generator.

    values: what the calls of a forward pass get, in their order. taken: calls so far. source: gives those that nobody
    has seen coming, for the number of the call and what it is for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bound = False
        self.taken = 0
        self.values: list[Tensor] = []
        self.source: Callable[[int, Tensor], Tensor] = _unbound

    def bind(self, values: list[Tensor], source: Callable[[int, Tensor], Tensor]) -> None:
        """Have the next forward pass get these values."""
        self.bound, self.taken, self.values, self.source = True, 0, values, source

    def release(self) -> None:
        """Undo `bind`."""
        self.bound, self.taken, self.values, self.source = False, 0, [], _unbound

    def forward(self, like: Tensor) -> Tensor:
        if not self.bound:
            return torch.rand_like(like) - 0.5
        call = self.taken
        self.taken = call + 1
        if call < len(self.values):
            values = self.values[call]
            if values.shape == like.shape and values.dtype == like.dtype:
                return values
        return self.source(call, like)


def _unbound(call: int, like: Tensor) -> Tensor:
    raise AssertionError
