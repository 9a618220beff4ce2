"""Which symbols belong to which scale and step: tables of positions that depend on the latent's sides alone.

The latent y (B, M, H, W) has three nested scales: s3 is all of it, s2 a quarter and s1 a sixteenth, of H/2 x W/2 and
H/4 x W/4 positions. Channels form eight groups, and each has a phase of its own that the coarser scale samples. All
tables therefore have eight rows.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from lic_exp.private_compiler import compiled_as_constant

GROUPS = 8
LATENT_MULTIPLE = 8
"""Sides of the latent are multiples of it, or the steps of s1 would not tile."""

PARTS = (2, 4, 8)
"""Groups of neighbouring channels by which the steps of s1, s2 and s3 differ: a step has a position in one of them."""

PHASE_OF_S2 = ((0, 0), (1, 1), (0, 1), (1, 0)) * 2
PHASE_OF_S1 = ((0, 0), (0, 0), (0, 1), (0, 1), (1, 0), (1, 0), (1, 1), (1, 1))
"""Row and column, modulo 2, of s2 in s3 and of s1 in s2, by group."""

OMITTED = ((0, 0),) * 4 + ((0, 1),) * 4
"""Phase that the released models leave out of the hyperprior's s2 where `PHASE_OF_S1` is meant."""

STEPS_OF_S1 = ("01/10",) * 4 + ("10/01",) * 4
STEPS_OF_S2 = ("03/21",) * 2 + ("30/12",) * 2 + ("21/03",) * 2 + ("12/30",) * 2
STEPS_OF_S3 = (
    *("0415/6273/1504/7362", "6273/4051/7362/5140", "4051/2637/5140/3726", "2637/0415/3726/1504"),
    *("1504/7362/0415/6273", "7362/5140/6273/4051", "5140/3726/4051/2637", "3726/1504/2637/0415"),
)
"""Step in which a position of a tile is coded, by group. A scale's first steps are what the coarser scale has coded."""

STEPS = (STEPS_OF_S1, STEPS_OF_S2, STEPS_OF_S3)
FIRST_PREDICTED = (1, 1, 2)
"""By scale, the first step that the context model predicts. Step 0 of s1 has what the hyperprior says."""

Table = NDArray[np.int64]


class Move(NamedTuple):
    """Where positions come from, and the way back; int64 and bool, each (8, positions).

    take: the source position of each target position. keep: whether it has one; else it gets 0.
    """

    take: Tensor
    keep: Tensor
    back_take: Tensor
    back_keep: Tensor

    @property
    def inverse(self) -> "Move":
        return Move(self.back_take, self.back_keep, self.take, self.keep)


class Partition(NamedTuple):
    """The tables of one latent size.

    to_s1, to_s2: from s3. s1_to_s2, s2_to_s3: back, with zeros where nothing comes from. hyper_to_s2: from s3, what s2
    adds to s1. steps: by scale (steps, 8, 1, h, w), whether a position is coded in a step.
    """

    to_s1: Move
    to_s2: Move
    s1_to_s2: Move
    s2_to_s3: Move
    hyper_to_s2: Move
    steps: tuple[Tensor, Tensor, Tensor]


@compiled_as_constant
def partition(height: int, width: int, compat: bool, device: torch.device) -> Partition:
    """The tables of latents (B, M, height, width), sides multiples of 8.

    compat: fill s2 from the hyperprior as the released models do.
    """
    return _partition(height, width, compat, device)


@cache
def _partition(height: int, width: int, compat: bool, device: torch.device) -> Partition:
    half = height // 2, width // 2
    s2 = np.stack([_sampled(height, width, phase) for phase in PHASE_OF_S2])
    s1 = np.stack([_sampled(*half, phase) for phase in PHASE_OF_S1])
    added = np.stack([_added(*half, *phases, compat) for phases in zip(OMITTED, PHASE_OF_S1, strict=True)])

    def through_s2(table: Table) -> Table:
        return np.where(table < 0, -1, np.take_along_axis(s2, np.maximum(table, 0), 1))

    # Tables outlive the call, so they must not be tensors of an inference mode that happens to be on.
    with torch.inference_mode(False):
        to_s1, to_s2, s2_to_s1, hyper = (
            _move(table, size, device)
            for table, size in (
                (through_s2(s1), height * width),
                (s2, height * width),
                (s1, height * width // 4),
                (through_s2(added), height * width),
            )
        )
        steps = tuple(_steps(tiles, height >> 2 - s, width >> 2 - s, device) for s, tiles in enumerate(STEPS))
    return Partition(to_s1, to_s2, s2_to_s1.inverse, to_s2.inverse, hyper, steps)  # type: ignore[arg-type]


def _sampled(height: int, width: int, phase: tuple[int, int]) -> Table:
    """Positions of a phase, in raster order."""
    return np.flatnonzero(_of_phase(height, width, phase))


def _of_phase(height: int, width: int, phase: tuple[int, int]) -> NDArray[np.bool_]:
    rows, columns = np.indices((height, width)) % 2
    found: NDArray[np.bool_] = (rows == phase[0]) & (columns == phase[1])
    return found


def _added(height: int, width: int, omitted: tuple[int, int], phase: tuple[int, int], compat: bool) -> Table:
    """For every position of s2 the one that its hyperprior comes from, or -1 where s1 has said it.

    The released models list all positions but those of the omitted phase, and write the list to all positions but
    those of s1: where the two phases differ, values move, and by how much depends on the width.
    """
    wanted = ~_of_phase(height, width, phase)
    source = ~_of_phase(height, width, omitted) if compat else wanted
    table = np.full(height * width, -1)
    table[np.flatnonzero(wanted)] = np.flatnonzero(source)
    return table


def _move(table: Table, sources: int, device: torch.device) -> Move:
    """The move that a table of source positions (8, targets) means, -1 for none; every source is used once at most."""
    back = np.full((GROUPS, sources), -1)
    rows, targets = np.nonzero(table >= 0)
    back[rows, table[rows, targets]] = targets
    tensors = [torch.from_numpy(array) for one in (table, back) for array in (np.maximum(one, 0), one >= 0)]
    return Move(*(tensor.to(device) for tensor in tensors))


def _steps(tiles: tuple[str, ...], height: int, width: int, device: torch.device) -> Tensor:
    tile = np.array([[list(map(int, row)) for row in text.split("/")] for text in tiles])
    side = tile.shape[-1]
    when = np.tile(tile, (1, height // side, width // side))
    count = tile.max() + 1
    steps = when == np.arange(count)[:, None, None, None]
    return torch.from_numpy(steps).unsqueeze(2).to(device)


def move(x: Tensor, how: Move, height: int, width: int, halves: int = 1) -> Tensor:
    """Move x (B, C, h, w) to (B, C, height, width); x has the eight groups once, or `halves` times in a row."""
    grouped = x.reshape(len(x), halves, GROUPS, -1, x.shape[-2] * x.shape[-1])
    # By name: torch 2.11 cannot trace a walk over a tuple that a traced function takes for a constant.
    moved: Tensor = _Moved.apply(grouped, how.take, how.keep, how.back_take, how.back_keep)
    return moved.reshape(len(x), -1, height, width)


def chosen(mask: Tensor, yes: Tensor, no: Tensor | float, halves: int = 1) -> Tensor:
    """Take yes (B, C, h, w) where a step's mask (8, 1, h, w) holds, no (of the same shape, or a number) elsewhere."""
    shape = (halves, GROUPS, -1)
    other = no.unflatten(1, shape) if isinstance(no, Tensor) else no
    return torch.where(mask, yes.unflatten(1, shape), other).flatten(1, 3)


class _Moved(torch.autograd.Function):
    """A move of x (B, halves, 8, c, positions). Its gradient is the move back, so that nothing is added up."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, take: Tensor, keep: Tensor, back_take: Tensor, back_keep: Tensor) -> Tensor:
        ctx.save_for_backward(back_take, back_keep)
        return _taken(x, take, keep)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return _taken(gradients[0], *ctx.saved_tensors), None, None, None, None


def _taken(x: Tensor, take: Tensor, keep: Tensor) -> Tensor:
    index = take[None, None, :, None, :].expand(*x.shape[:-1], -1)
    # Not in place: torch 2.11 compiles a function whose forward writes to its result to one without a gradient.
    return x.gather(-1, index).masked_fill(~keep[:, None, :], 0)
