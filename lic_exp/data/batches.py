"""Batches on the device: sent as bytes and made float there, on a GPU while it computes the step before.

On a GPU the host never waits: pixels lie in pinned memory, a stream of its own copies and converts them, and the
stream of the training waits for that on the device.
"""

from collections.abc import Generator, Iterable, Iterator
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from lic_exp.data.crops import Cut
from lic_exp.data.images import ImageError
from lic_exp.sections import TRANSFER, Section

T = TypeVar("T")


class Batch(NamedTuple):
    """A training batch: x (B, 3, crop_size, crop_size) float32 in [0, 1], and the names of its B images."""

    x: Tensor
    names: list[str]


def to_float(pixels: Tensor) -> Tensor:
    """8-bit pixels v of any shape to v / 255 in float32, on their device; round(255 x) gives v back exactly."""
    # By a tensor on the device: a number would have CUDA multiply by 1 / 255, which rounds otherwise.
    return pixels.to(torch.float32).div_(torch.full((), 255.0, device=pixels.device))


def on_device(cuts: Iterable[Cut], device: torch.device) -> Generator[Batch, None, None]:
    """The batches, on the device. Raises a cut's error in its turn."""
    if device.type != "cuda":
        for cut in cuts:
            with Section(TRANSFER):
                x = to_float(_pixels(cut).to(device))
            yield Batch(x, cut.names)
        return
    side = torch.cuda.Stream(device)
    for sent in one_ahead(_send(cut, device, side) for cut in cuts):
        if isinstance(sent, ImageError):
            raise sent
        x, names, made = sent
        with Section(TRANSFER):
            training = torch.cuda.current_stream(device)
            training.wait_event(made)
            x.record_stream(training)  # or its memory would be given away as soon as the side stream is done with it
        yield Batch(x, names)


def _pixels(cut: Cut) -> Tensor:
    if cut.error is not None:
        raise cut.error
    return cut.pixels


@Section(TRANSFER)
def _send(
    cut: Cut, device: torch.device, side: torch.cuda.Stream
) -> tuple[Tensor, list[str], torch.cuda.Event] | ImageError:
    """Begin to send it: what will be x, the names, and the event of its being made."""
    if cut.error is not None:
        return cut.error
    with torch.cuda.stream(side):
        # The allocator of pinned memory keeps it from others until the copy is done.
        x = to_float(cut.pixels.pin_memory().to(device, non_blocking=True))
        return x, cut.names, side.record_event()


def one_ahead(items: Iterable[T]) -> Iterator[T]:
    """The same items, each fetched before the one in front of it is handed out."""
    rest = iter(items)
    for first in rest:
        waiting = first
        for item in rest:
            yield waiting
            waiting = item
        yield waiting
