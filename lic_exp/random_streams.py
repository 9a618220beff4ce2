"""Every number that training draws at random: a pure function of the seed and of what it is for. Imports no torch.

    words = Philox4x64-10(key = seed, counter = (block, minor, major, purpose))

(Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.) Different uses have different counters, so no
number hangs on what was drawn before it: neither workers, parts of a batch, stages nor a resumed run can change one,
and no state need be kept. Only the raw 64-bit words are used: NumPy guarantees their stream (NEP 19), not that of the
methods of its `Generator`.

| purpose | major | minor | words |
|---|---|---|---|
| SAMPLE | epoch | index in the epoch | where one image's crop lies, whether it is mirrored |
| ORDER | epoch | pass | by which the images of a pass are ordered |
| QUALITY | step | 0 | one for each image of the batch, in its order |
| NOISE | step | latent | the halves of words, lower half first, for the elements of the latent, image after image |

The batch is the whole of a step, however many parts or processes share it. On other devices than the CPU noise comes
from the device's own generator instead, which starts anew at every (step, latent) from the first word of that stream.
"""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

RANDOM_STREAMS = 2
"""The version of the table above: it grows where the same seed gives other numbers. In 1 qualities and noise were taken
from torch's global generator, in the order of whoever asked."""


class Purpose(IntEnum):
    """What a stream is for."""

    SAMPLE = 0
    ORDER = 1
    QUALITY = 2
    NOISE = 3


def raw_words(count: int, *, seed: int, purpose: Purpose, major: int, minor: int) -> NDArray[np.uint64]:
    """The first `count` random 64-bit words of the stream with this counter."""
    counter = [0, minor, major, int(purpose)]
    words: NDArray[np.uint64] = np.random.Philox(key=seed, counter=counter).random_raw(count)
    return words


def below(limit: int, word: int) -> int:
    """A random integer in [0, limit) from a 64-bit word, uniform up to limit / 2^64."""
    return word * limit >> 64


def uniform(words: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Words to multiples of 2^-53, uniform in [0, 1)."""
    return (words >> np.uint64(11)) * 2.0**-53


def centred(count: int, *, seed: int, step: int, latent: int) -> NDArray[np.float32]:
    """Noise for `count` elements of a latent: multiples of 2^-24, uniform in [-0.5, 0.5)."""
    words = raw_words((count + 1) // 2, seed=seed, purpose=Purpose.NOISE, major=step, minor=latent)
    halves = words.astype("<u8", copy=False).view("<u4")[:count]
    halves >>= 8
    noise = np.multiply(halves, np.float32(2**-24), dtype=np.float32, casting="unsafe")
    noise -= np.float32(0.5)
    return noise
