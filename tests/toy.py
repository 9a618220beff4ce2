"""A user's own package, as text: a codec, a hierarchical and a variable-rate one, a regularizer, and their options."""

from pathlib import Path

NAME = "toy_codecs"

SHORT_RUN = ("model=toy", "data=synthetic", "data.crop_size=32", "debug=limit", "tracker=none")
"""Overrides of a run of the toy that takes seconds; `plugins=` must name it."""

CODECS = '''
import os
import signal
import time

import numpy as np
import torch
from torch import Tensor, nn

from lic_exp.capabilities import CodecFacts
from lic_exp.models.base import Codec, CodecOutput, Compressed
from lic_exp.option_types import Annotated, Neutral, PositiveInt, Unsigned
from typing import Literal


SLOW_S = 12


class Toy(Codec):
    """One convolution each way. `trouble` strikes in the third training step, but for `slow`, which is so in each."""

    facts = CodecFacts(downsampling_factor=4, latents=1)

    def __init__(
        self,
        *,
        channels: PositiveInt,
        trouble: Literal["none", "raise", "diverge", "kill", "memory", "slow"],
        newer: Annotated[int, Neutral(0)],
        verbose: Annotated[bool, Unsigned()],
    ) -> None:
        super().__init__()
        self.g_a = nn.Conv2d(3, channels, 4, 4)
        self.g_s = nn.ConvTranspose2d(channels, 3, 4, 4)
        self.trouble, self.steps = trouble, 0

    def forward(self, x: Tensor) -> CodecOutput:
        y = self.g_a(x)
        y_hat = y + torch.rand_like(y) - 0.5 if self.training else y.round()
        x_hat = self.g_s(y_hat).float()
        self.steps += self.training
        if self.steps == 3 and self.trouble == "raise":
            raise RuntimeError("the toy broke")
        if self.steps == 3 and self.trouble == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.steps == 3 and self.trouble == "memory":
            torch.ones(1 << 35, dtype=torch.uint8)
        if self.training and self.trouble == "slow":
            time.sleep(SLOW_S)
        if self.steps == 3 and self.trouble == "diverge":
            x_hat = x_hat * torch.nan
        return CodecOutput(x_hat, {"y": 1 + y_hat.float().square()}, self.scales(y_hat))

    def scales(self, y_hat: Tensor) -> tuple[Tensor, ...]:
        return (y_hat,)

    def compress(self, x: Tensor) -> Compressed:
        y_hat = self.g_a(x).round()
        return Compressed([[y.to(torch.int16).numpy().tobytes() for y in y_hat]], tuple(y_hat.shape[1:]), y_hat)

    def decompress(self, compressed: Compressed) -> Tensor:
        symbols = [np.frombuffer(s, np.int16).reshape(compressed.shape) for s in compressed.strings[0]]
        return self.g_s(torch.tensor(np.stack(symbols), dtype=torch.float32)).clamp(0, 1)

    def reconstruct(self, compressed: Compressed) -> Tensor:
        return self.g_s(compressed.state).clamp(0, 1)

    def update(self, force: bool = True) -> None:
        pass
'''

PYRAMID = '''
from torch import Tensor
from torch.nn.functional import avg_pool2d

from lic_exp.capabilities import CodecFacts

from .codecs import Toy


class Pyramid(Toy):
    """The toy with a coarser view of its latent. Its options are the toy's."""

    facts = CodecFacts(downsampling_factor=8, latents=2)

    def scales(self, y_hat: Tensor) -> tuple[Tensor, ...]:
        return (avg_pool2d(y_hat, 2), y_hat)
'''

SCALABLE = '''
import math
import zlib

import numpy as np
import torch
from torch import Tensor, nn

from lic_exp.capabilities import CodecFacts
from lic_exp.models.base import CodecOutput, Compressed, VariableRateCodec
from lic_exp.option_types import PositiveInt


class Scalable(VariableRateCodec):
    """One convolution each way and a quantisation step that its quality chooses; coded by zlib."""

    facts = CodecFacts(downsampling_factor=4, latents=1, variable_rate=True)

    def __init__(self, *, channels: PositiveInt, max_quality: PositiveInt) -> None:
        super().__init__()
        self.max_quality = max_quality
        self.g_a = nn.Conv2d(3, channels, 4, 4)
        self.g_s = nn.ConvTranspose2d(channels, 3, 4, 4)
        self.log_gains = nn.Parameter(torch.tensor([0.0, 5.0]))
        # With 48 channels the transform loses nothing, so that a finer step is a better picture before any training.
        nn.init.orthogonal_(self.g_a.weight)
        self.g_s.weight.data = self.g_a.weight.detach().clone()
        nn.init.zeros_(self.g_a.bias)
        nn.init.zeros_(self.g_s.bias)

    def gain(self, x: Tensor, quality: float | Tensor | None) -> Tensor:
        quality = self.max_quality if quality is None else quality
        quality = torch.as_tensor(quality, dtype=torch.float32, device=x.device)
        if not ((quality >= 0) & (quality <= self.max_quality)).all():
            raise ValueError(f"quality must be in [0, {self.max_quality}], got {quality}")
        low, high = self.log_gains
        gain: Tensor = torch.exp(low + quality / self.max_quality * (high - low))
        return gain.reshape(-1, 1, 1, 1)

    def forward(self, x: Tensor, quality: float | Tensor | None = None) -> CodecOutput:
        gain = self.gain(x, quality)
        y = gain * self.g_a(x)
        y_hat = y + torch.rand_like(y) - 0.5 if self.training else y.round()
        bits = (1 + y_hat.float().abs()).log2()
        return CodecOutput(self.g_s(y_hat / gain).float(), {"y": bits}, (y_hat,))

    def compress(self, x: Tensor, quality: float | None = None) -> Compressed:
        quality = float(self.max_quality if quality is None else quality)
        y_hat = (self.gain(x, quality) * self.g_a(x)).round()
        strings = [[zlib.compress(y.to(torch.int16).numpy().tobytes(), 9) for y in y_hat]]
        return Compressed(strings, tuple(y_hat.shape[1:]), y_hat, quality)

    def decompress(self, compressed: Compressed) -> Tensor:
        texts = [zlib.decompress(string) for string in compressed.strings[0]]
        symbols = [np.frombuffer(text, np.int16).reshape(compressed.shape) for text in texts]
        return self.decode(torch.tensor(np.stack(symbols), dtype=torch.float32), compressed.quality)

    def reconstruct(self, compressed: Compressed) -> Tensor:
        return self.decode(compressed.state, compressed.quality)

    def decode(self, y_hat: Tensor, quality: float) -> Tensor:
        return self.g_s(y_hat / self.gain(y_hat, quality)).clamp(0, 1)

    def update(self, force: bool = True) -> None:
        pass
'''

REGULARIZERS = '''
import torch
from torch import Tensor, nn

from lic_exp.capabilities import RegularizerNeeds
from lic_exp.models.base import CodecOutput
from lic_exp.option_types import NonNegativeFloat
from lic_exp.spectral_reg.base import SpectralRegularizer


class Pair(SpectralRegularizer):
    """Compares the two scales, through a weight of its own."""

    needs = RegularizerNeeds(latents=2)

    def __init__(self, *, delta: NonNegativeFloat) -> None:
        super().__init__()
        self.delta = delta
        self.gain = nn.Parameter(torch.tensor(2.0))

    def penalty(self, output: CodecOutput) -> Tensor | None:
        coarse, fine = output.latents
        return self.delta * (self.gain * coarse.mean() - fine.mean()).square() if self.training else None
'''

OPTIONS = """channels: 6
trouble: none
newer: 0
verbose: false
"""

COMMON = """weights: null
partial_weights: false
freeze: []
"""

FILES = {
    "__init__.py": "",
    "codecs.py": CODECS,
    "pyramid.py": PYRAMID,
    "scalable.py": SCALABLE,
    "regularizers.py": REGULARIZERS,
    "conf/model/toy.yaml": f"_target_: {NAME}.codecs.Toy\n{OPTIONS}{COMMON}",
    "conf/model/toy_pyramid.yaml": f"_target_: {NAME}.pyramid.Pyramid\n{OPTIONS}{COMMON}",
    "conf/model/toy_scalable.yaml": f"_target_: {NAME}.scalable.Scalable\nchannels: 48\nmax_quality: 63\n{COMMON}",
    "conf/spectral_reg/toy_pair.yaml": f"_target_: {NAME}.regularizers.Pair\ndelta: 0.1\n",
}


def write_package(folder: Path, name: str, files: dict[str, str]) -> None:
    """Write `files` (path within the package: text) as the package `name` in `folder`."""
    for path, text in files.items():
        file = folder / name / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
