"""Images are coded one by one: what is encoded of them, apart and together again."""

from dataclasses import replace
from itertools import chain
from typing import Any


class ByImage(tuple[Any, ...]):
    """What the encoder knows of several images, one entry for each."""


def joined(images: list[Any]) -> Any:
    """One `lic_exp.models.base.Compressed` of those of single images."""
    first, *others = images
    if not others:
        return first
    state = ByImage(image.state for image in images)
    lists = None if first.near_lines is None else _side_by_side([image.near_lines for image in images])
    return replace(first, strings=_side_by_side([image.strings for image in images]), near_lines=lists, state=state)


def _side_by_side(images: list[list[list[bytes]]]) -> list[list[bytes]]:
    """[kind][image] of all."""
    return [list(chain.from_iterable(kind)) for kind in zip(*images, strict=True)]


def parts(compressed: Any) -> list[Any]:
    """Image by image; all as one where what the encoder knows of them is not told apart."""
    state = compressed.state
    count = len(compressed.strings[0]) if compressed.strings else 1
    if count == 1 or not (state is None or isinstance(state, ByImage)):
        return [compressed]
    states = state or (None,) * count
    lists = [None] * count if compressed.near_lines is None else _one_by_one(compressed.near_lines)
    return [
        replace(compressed, strings=strings, near_lines=near_lines, state=own)
        for strings, near_lines, own in zip(_one_by_one(compressed.strings), lists, states, strict=True)
    ]


def _one_by_one(kinds: list[list[bytes]]) -> list[list[list[bytes]]]:
    """[kind][image] of each image alone."""
    return [[[string] for string in image] for image in zip(*kinds, strict=True)]
