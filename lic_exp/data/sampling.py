"""Which image, which crop, which flip: a pure function of (seed, epoch, index). Imports no torch.

Every sample has a stream of its own (`lic_exp.random_streams`), so none needs the draws of an earlier one.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from lic_exp.random_streams import Purpose, below, raw_words


@dataclass(frozen=True)
class Draw:
    """A training sample before its image is known: which image, and the words that place the crop in it."""

    image: int
    row: int
    column: int
    flip: bool

    def corner(self, height: int, width: int, crop_size: int) -> tuple[int, int]:
        """Top and left of the crop [pixels], uniform over every place inside an image of height x width."""
        return below(height - crop_size + 1, self.row), below(width - crop_size + 1, self.column)


@lru_cache(maxsize=2)
def permutation(n: int, *, seed: int, epoch: int, pass_: int) -> NDArray[np.intp]:
    """The order of n images in one pass of an epoch. Two are kept, since a batch may straddle two passes."""
    return np.argsort(raw_words(n, seed=seed, purpose=Purpose.ORDER, major=epoch, minor=pass_), kind="stable")


class Sampler:
    """Draws from groups of images, which are numbered through, group after group.

    One group: an epoch is a sequence of passes, each of which has every image once, in its own random order.
    Several groups: each sample draws a group by weight, then one of its images uniformly, with replacement.
    """

    def __init__(self, sizes: Sequence[int], weights: Sequence[float], *, seed: int) -> None:
        self.n = sum(sizes)
        self._sizes = list(sizes)
        self._first = [0, *accumulate(sizes)]
        self._cumulative = list(accumulate(weights))
        self._seed = seed

    def draw(self, epoch: int, index: int) -> Draw:
        """Sample `index` of `epoch`, both counted from 0 without bound."""
        row, column, flip, group, member = raw_words(
            5, seed=self._seed, purpose=Purpose.SAMPLE, major=epoch, minor=index
        ).tolist()
        image = self._by_weight(group, member) if len(self._sizes) > 1 else self._by_pass(epoch, index)
        return Draw(image, row, column, flip=bool(flip >> 63))

    def _by_pass(self, epoch: int, index: int) -> int:
        pass_, position = divmod(index, self.n)
        return int(permutation(self.n, seed=self._seed, epoch=epoch, pass_=pass_)[position])

    def _by_weight(self, group_word: int, member_word: int) -> int:
        # The topmost words round to 1.0, one past the last group.
        point = group_word / 2**64 * self._cumulative[-1]
        group = min(bisect_right(self._cumulative, point), len(self._sizes) - 1)
        return self._first[group] + below(self._sizes[group], member_word)
