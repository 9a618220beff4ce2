"""What the images of a step are given at random, drawn for the whole batch before any of it is computed.

A part of a batch, be it one of several in a row or one process's of many, takes its rows of what all have drawn. So
images get the same whoever computes them beside which others, and nothing is taken from torch's global generator.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from lic_exp.models.base import CodecOutput
from lic_exp.models.noise import Noise
from lic_exp.ops.precision import uncompiled
from lic_exp.random_streams import Purpose, centred, raw_words, uniform
from lic_exp.training.buffers import FormerBuffers
from lic_exp.training.rng import rng_state, set_rng_state

CALLS = 2**32
"""The latents of one `Noise` are numbered its own number + CALLS * the number of the call, most often 0."""


class Draws:
    """The random numbers of one step after the other, `lic_exp.random_streams`.

    seed: what they follow from. rank, world: which of how many processes this is, each of which has an equal part of
    the batch, in the order of their ranks.

    Noise stands in the same tensors from step to step, of as many rows as the whole batch has images; `draw` writes
    what is known to be asked for before the forward pass begins, so that a captured graph finds new values. Which that
    is a first forward pass tells, which draws for itself, the same values; or `learn`, beforehand.
    """

    def __init__(self, codec: nn.Module, seed: int, *, rank: int = 0, world: int = 1) -> None:
        self.codec = codec
        self.seed = seed
        self.rank, self.world = rank, world
        self.step = 0
        self.images = 0
        self.size: tuple[int, ...] = ()
        self.learnt = False
        self._noises = [module for module in codec.modules() if isinstance(module, Noise)]
        self._known: dict[tuple[int, int], Tensor] = {}

    def draw(self, step: int, images: int, size: tuple[int, ...] = ()) -> None:
        """Begin a step of a batch of which this process has so many images, of a size (H, W) where that may change."""
        same = size == self.size
        self.step, self.images, self.size = step, images, size
        kept = {key: known for key, known in self._known.items() if same and len(known) == images * self.world}
        self.learnt &= len(kept) == len(self._known)
        self._known = kept
        for key, known in self._known.items():
            self._fill(known, *key)

    def shares(self) -> Tensor:
        """A number for each of this process's images, (B,) float64 in [0, 1), on the CPU."""
        words = raw_words(self.images * self.world, seed=self.seed, purpose=Purpose.QUALITY, major=self.step, minor=0)
        return torch.from_numpy(uniform(words))[self._rows(slice(0, self.images))]

    @contextmanager
    def given(self, rows: slice) -> Iterator[None]:
        """Inside, a forward pass of the codec for these of this process's images finds the noise that is theirs."""
        own = self._rows(rows)
        for number, noise in enumerate(self._noises):
            calls = [key for key in self._known if key[0] == number]
            noise.bind([self._known[key][own] for key in sorted(calls)], partial(self._unforeseen, number, own))
        try:
            yield
        finally:
            for noise in self._noises:
                noise.release()

    def learn(self, x: Tensor) -> CodecOutput:
        """Find what noise is asked for: a forward pass of x (B, 3, H, W), not compiled, that leaves nothing behind.

        Returns what it gives.
        """
        before, former = rng_state(), FormerBuffers(self.codec)
        try:
            with torch.no_grad(), self.given(slice(0, len(x))), uncompiled():
                output: CodecOutput = self.codec.forward(x)
        finally:
            former.restore()
            set_rng_state(before)
        self.learnt = True
        return output

    def _rows(self, rows: slice) -> slice:
        """Of the whole batch, from those of this process."""
        first = self.rank * self.images
        return slice(first + rows.start, first + rows.stop)

    def _unforeseen(self, number: int, rows: slice, call: int, like: Tensor) -> Tensor:
        known = like.new_empty(self.images * self.world, *like.shape[1:])
        self._known[number, call] = known
        self._fill(known, number, call)
        return known[rows]

    @torch.no_grad()
    def _fill(self, known: Tensor, number: int, call: int) -> None:
        latent = number + CALLS * call
        if known.device.type == "cpu":
            noise = centred(known.numel(), seed=self.seed, step=self.step, latent=latent)
            known.copy_(torch.from_numpy(noise).view(known.shape))
        else:
            fill_there(known, seed=self.seed, step=self.step, latent=latent)


def fill_there(known: Tensor, *, seed: int, step: int, latent: int) -> None:
    """Noise from the generator of the tensor's own device, in place; the host waits for nothing."""
    (word,) = raw_words(1, seed=seed, purpose=Purpose.NOISE, major=step, minor=latent).tolist()
    known.uniform_(generator=torch.Generator(known.device).manual_seed(word)).sub_(0.5)
