"""How large a part of a picture a codec can code in so much memory, told from the shapes of its layers."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from lic_exp.models.base import Codec
from lic_exp.models.coding import in_eval_mode

DEFAULT_BYTES = 3 * 2**29
"""1.5 GiB, for what coding takes beside the picture and the process itself."""

COPIES_OF_PICTURE, COPIES_OF_WIDEST = 6, 5
"""How much of the picture, as float32, and of the widest layer's values there is at once; more than
was measured of any model (`benchmarks/coding_memory.py`)."""

PICTURE_BYTES = 3 * 4
"""Of a pixel: three planes of float32."""


def pixels_within(codec: Codec, memory: int) -> int:
    """The pixels that a part may have, padded, so that coding it takes about `memory` bytes; 1 at least.

    The same for a codec wherever it is: a file must not hang on the machine.
    """
    return max(1, int(memory / bytes_per_pixel(codec)))


def bytes_per_pixel(codec: Codec) -> float:
    """What coding takes for a pixel, about; more rather than less."""
    if codec not in _known:
        side = codec.facts.downsampling_factor
        with in_eval_mode(codec), _widest(codec) as seen:
            codec.sample_output()
        _known[codec] = COPIES_OF_PICTURE * PICTURE_BYTES + COPIES_OF_WIDEST * max(seen) / side**2
    return _known[codec]


_known: WeakKeyDictionary[Codec, float] = WeakKeyDictionary()


@contextmanager
def _widest(codec: Codec) -> Iterator[list[int]]:
    """The bytes of every tensor that a part of the codec returns inside; and 0."""
    seen = [0]

    def look(module: Any, given: Any, found: Any) -> None:
        several = found if isinstance(found, tuple | list) else (found,)
        seen.extend(one.numel() * one.element_size() for one in several if isinstance(one, Tensor))

    parts = [part for part in codec.modules() if part is not codec]
    hooks = [part.register_forward_hook(look) for part in parts]
    try:
        with torch.no_grad():
            yield seen
    finally:
        for hook in hooks:
            hook.remove()
