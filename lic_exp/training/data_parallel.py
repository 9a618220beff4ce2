"""An objective on several ranks: torch's DistributedDataParallel around it, or the objective itself where there is one.

The gradients of all parameters but the quantiles are the means of the ranks' own, added up while the backward pass goes
on. Quantiles stay outside: their loss is of the weights alone, so that every rank computes the same gradient, and the
wrapper, which takes a parameter for done with its first backward pass, has none to wait for.
"""

import inspect
import warnings
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from lic_exp.ops.ranks import world
from lic_exp.optimizers.groups import ParameterSplit
from lic_exp.training.objective import Objective


class DataParallel:
    """Calls the objective, whose gradients are then those of the whole batch.

    Wrapped once in a process: what is wrapped twice is added up twice. The wrapper takes over neither weights nor
    buffers from the first rank: they are equal, and `lic_exp.training.rank_equality` sees that they stay so.
    """

    def __init__(self, objective: Objective, split: ParameterSplit, device: torch.device) -> None:
        self.objective = objective
        self.wrapped: nn.Module = objective
        if world() > 1:
            # Of kernels of one channel, whose gradients may be written in either of two orders that mean the same.
            warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
            with _out_of_sight(split.aux.values()):
                self.wrapped = DistributedDataParallel(
                    objective,
                    device_ids=[device.index] if device.type == "cuda" else None,
                    init_sync=False,
                    # A regularizer's have no gradient before its start.
                    find_unused_parameters=bool(split.reg),
                    **_NO_BUFFERS,
                )

    def __call__(self, x: Tensor, *drawn: Tensor, target: Tensor) -> dict[str, Tensor]:
        return cast("dict[str, Tensor]", self.wrapped(x, *drawn, target=target))

    def accumulating(self, *, last: bool) -> AbstractContextManager[Any]:
        """Around forward and backward pass of a part of the batch: only the last one's tells the other ranks."""
        if last or not isinstance(self.wrapped, DistributedDataParallel):
            return nullcontext()
        return self.wrapped.no_sync()


_NEW, _OLD = "forward_sync_buffers", "broadcast_buffers"
_NO_BUFFERS: dict[str, Any] = {
    _NEW if _NEW in inspect.signature(DistributedDataParallel).parameters else _OLD: False  # torch 2.15 renames it
}


@contextmanager
def _out_of_sight(parameters: Iterable[nn.Parameter]) -> Iterator[None]:
    """Inside, a wrapper does not take them for trained."""
    hidden = list(parameters)
    for parameter in hidden:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in hidden:
            parameter.requires_grad_(True)
