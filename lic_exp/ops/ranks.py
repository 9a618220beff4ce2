"""What the processes of one training tell each other: sums, whole batches, plain objects. One alone answers itself.

A rank is one of `world()` processes, each of which has an equal part of every batch, in the order of their ranks, on a
device of its own. They are torch.distributed's default group, or there is one rank, 0. What is asked here all ranks
must ask, in the same order; whoever does not is waited for.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")


def world() -> int:
    """How many ranks there are."""
    return dist.get_world_size() if _several() else 1


def rank() -> int:
    """Which one this process is, from 0."""
    return dist.get_rank() if _several() else 0


def is_first() -> bool:
    """Whether this is the rank that owns folder, status, trackers and console."""
    return rank() == 0


def total(x: Tensor) -> Tensor:
    """The sum of the ranks' x, of any shape, the same bits on all of them; without a gradient."""
    if world() == 1:
        return x
    found = x.detach().clone()
    dist.all_reduce(found)
    return found


def mean(x: Tensor) -> Tensor:
    """The mean of the ranks' x, as `total`."""
    return total(x) / world() if world() > 1 else x


def means(terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The means of scalars by name, by one exchange, in float64 and rounded back to each one's numbers."""
    if world() == 1 or not terms:
        return dict(terms)
    found = mean(torch.stack([term.double() for term in terms.values()]))
    return {name: value.to(term.dtype) for (name, term), value in zip(terms.items(), found, strict=True)}


def whole_batch(x: Tensor) -> Tensor:
    """The ranks' x (B, ...) one after the other, (world() * B, ...).

    What is computed of it alike on all ranks is a function of all; its gradient with respect to one's own x is
    multiplied by `world()`, since what follows, the mean of the ranks' gradients, divides by that.
    """
    return x if world() == 1 else _WholeBatch.apply(x)


def gathered(own: T) -> list[T]:
    """What every rank has, in their order: plain objects, or what pickle takes."""
    if world() == 1:
        return [own]
    found: list[Any] = [None] * world()
    dist.all_gather_object(found, own)
    return found


def said_by_first(own: T) -> T:
    """What the first rank has, on all of them."""
    if world() == 1:
        return own
    found = [own]
    dist.broadcast_object_list(found)
    return found[0]


def any_rank(own: bool) -> bool:
    """Whether it is so on some rank. Between the hosts alone: no device is waited for."""
    if world() == 1:
        return own
    found = torch.tensor([own], dtype=torch.uint8)
    dist.all_reduce(found, dist.ReduceOp.MAX)
    return bool(found)


def agreed(own: str | None) -> str | None:
    """The reason of the first rank that has one; None where none has."""
    if not any_rank(own is not None):
        return None
    return next(reason for reason in gathered(own) if reason is not None)


def first_then_others(action: Callable[[], T]) -> T:
    """Have the first rank do it, then the others, which find what it has left behind."""
    if is_first():
        found = action()
        any_rank(False)
        return found
    any_rank(False)
    return action()


class _WholeBatch(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:
        context.images = len(x)
        parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(world())]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        first = rank() * context.images
        return gradients[0][first : first + context.images] * world()


def _several() -> bool:
    return dist.is_available() and dist.is_initialized()
