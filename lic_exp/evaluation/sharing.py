"""Images that several ranks evaluate together: each its share, and all know everything."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from torch import Tensor

from lic_exp.data.images import ImageError
from lic_exp.ops.ranks import gathered, rank, world

FoundRows = tuple[str, list[dict[str, Any]], Exception | None]
"""An image's name, and its rows or why there are none."""

NamedImage = tuple[int, str, Tensor | ImageError]
"""An image's place, its name, and what it is."""


def by_all_ranks(
    images: Iterable[NamedImage], coded: Callable[[int, str, Tensor | ImageError], FoundRows], drawn: int
) -> Iterator[FoundRows]:
    """What `coded` gives of the images, in their order, each called for on one rank (`lic_exp.ops.ranks`).

    drawn: how many of the first images are the first rank's, which has the folder.
    """
    count, every = world(), iter(images)
    while part := list(islice(every, count)):
        owners = [0 if place < drawn else place % count for place, *_ in part]
        own = {at: coded(*image) for at, (image, owner) in enumerate(zip(part, owners, strict=True)) if owner == rank()}
        known = {at: one for theirs in gathered(own) for at, one in theirs.items()}
        yield from (known[at] for at in range(len(part)))
