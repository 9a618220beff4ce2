"""Whether the ranks still train the same: weights, buffers and moments are compared bit by bit, by checksums.

Ranks that start from the same bits and add up gradients in the same order keep the same bits. Where one does not, what
is trained is nobody's any more, and no loss shows it.
"""

import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from lic_exp.ops.ranks import gathered, world

NAMED = 3
"""Most places that are named where ranks differ."""

WHOLE = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Whole numbers of so many bytes."""


class RanksDifferError(RuntimeError):
    """The ranks of a training no longer have the same weights, buffers or moments."""


OWN = ("recorded", "rng")
"""Of a trainer's state, what each rank has by itself: what it has logged, and torch's own random numbers."""


def check_ranks_equal(state: Callable[[], Mapping[str, Any]], step: int) -> None:
    """Compare what `state` gives over the ranks, nests of containers, tensors and plain values; one has nothing to do.

    Waits for the device. Raises RanksDifferError on all of them, which says who differs from the first rank, and where.
    """
    if world() == 1:
        return
    places, sums = [], []
    for place, value in _leaves({key: value for key, value in state().items() if key not in OWN}):
        places.append(place)
        sums.append(checksum(value) if isinstance(value, Tensor) else torch.tensor(zlib.crc32(repr(value).encode())))
    own = dict(zip(places, torch.stack([one.cpu() for one in sums]).tolist(), strict=True))
    first, *others = gathered(own)
    told = []
    for rank, theirs in enumerate(others, 1):
        different = [place for place in first | theirs if first.get(place) != theirs.get(place)]
        if different:
            more = f" and {len(different) - NAMED} more" if len(different) > NAMED else ""
            told.append(f"rank {rank} in {', '.join(different[:NAMED])}{more}")
    if told:
        raise RanksDifferError(f"the ranks differ from the first one after step {step}: {'; '.join(told)}")


def checksum(values: Tensor) -> Tensor:
    """A whole number, int64 on the tensor's device, that every changed or moved bit of it most likely changes."""
    flat = values.detach().contiguous().view(-1)
    if flat.is_complex() or flat.dtype == torch.bool:
        flat = torch.view_as_real(flat).reshape(-1) if flat.is_complex() else flat.to(torch.uint8)
    whole = flat.view(WHOLE[flat.element_size()]).long()
    return (whole * (2 * torch.arange(1, len(whole) + 1, device=whole.device) + 1)).sum()


def _leaves(nest: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(nest, Mapping):
        for key, value in nest.items():
            yield from _leaves(value, f"{place}/{key}" if place else str(key))
    elif isinstance(nest, list | tuple):
        for number, value in enumerate(nest):
            yield from _leaves(value, f"{place}/{number}")
    else:
        yield place, nest
