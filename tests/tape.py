"""A recorder of steps for machines without a GPU: it replays the operations on the very tensors that they ran on."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

WARM_UP = 2


class Looked(Exception):  # noqa: N818
    """A value was looked at, which ends a real recording too."""


class Tape(TorchDispatchMode):
    """Keeps what is computed inside: as in a graph, numbers of Python's stay as they were, and memory where it was.

    Of views it keeps nothing, as a graph, so that they go on showing the memory that they were taken of.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, tuple[Any, ...], dict[str, Any], Any]] = []

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        if "_local_scalar_dense" in str(function):
            raise Looked("a value of the device was asked for")
        result = function(*arguments, **options or {})
        if function._schema.is_mutable or _memory(result) - _memory((arguments, options)):
            self.calls.append((function, arguments, options or {}, result))
        return result

    @torch.no_grad()
    def replay(self) -> None:
        for function, arguments, options, result in self.calls:
            again = function(*arguments, **options)
            if function._schema.is_mutable:
                continue
            for place, value in zip(tree_leaves(result), tree_leaves(again), strict=True):
                if (
                    isinstance(place, Tensor)
                    and place.untyped_storage().data_ptr() != value.untyped_storage().data_ptr()
                ):
                    place.copy_(value)


def _memory(values: Any) -> set[int]:
    return {value.untyped_storage().data_ptr() for value in tree_leaves(values) if isinstance(value, Tensor)}


def tape(body: Callable[[], dict[str, Tensor]]) -> tuple[dict[str, Tensor], Callable[[], None]]:
    """As `lic_exp.training.capture.cuda_graph`."""
    for _ in range(WARM_UP):
        body()
    recorded = Tape()
    with recorded:
        outputs = body()
    return outputs, recorded.replay
