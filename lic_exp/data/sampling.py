"""Which image, which crop, which flip: a pure function of (seed, epoch, index). Imports no torch.

Every draw comes from Philox4x64-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011), keyed by
the seed, with the counter (block, index, epoch, purpose): distinct samples have distinct counters, so no sample needs
the draws of an earlier one, and neither the number of workers nor a resumed run can change what is drawn. Only the
generator's raw 64-bit words are used: NumPy guarantees their stream (NEP 19), not that of `Generator`'s methods.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

_SAMPLE, _PERMUTATION = 0, 1


def raw_words(count: int, *, seed: int, purpose: int, epoch: int, index: int) -> NDArray[np.uint64]:
    """`count` random 64-bit words that belong to this seed, purpose, epoch and index alone."""
    words: NDArray[np.uint64] = np.random.Philox(key=seed, counter=[0, index, epoch, purpose]).random_raw(count)
    return words


def below(limit: int, word: int) -> int:
    """A random integer in [0, limit) from a 64-bit word, uniform up to limit / 2^64."""
    return word * limit >> 64


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
    return np.argsort(raw_words(n, seed=seed, purpose=_PERMUTATION, epoch=epoch, index=pass_), kind="stable")


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
            5, seed=self._seed, purpose=_SAMPLE, epoch=epoch, index=index
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
