"""A user's own package, as text: a codec, its hierarchical variant, a regularizer, and their options."""

from pathlib import Path

NAME = "toy_codecs"

CODECS = '''
import numpy as np
import torch
from torch import Tensor, nn

from lic_exp.facts import CodecFacts
from lic_exp.models.base import Codec, CodecOutput, Compressed
from lic_exp.ranges import Annotated, Neutral, PositiveInt, Unsigned
from typing import Literal


class Toy(Codec):
    """One convolution each way. `trouble` strikes in the third training step."""

    facts = CodecFacts(downsampling_factor=4, latents=1)

    def __init__(
        self,
        *,
        channels: PositiveInt,
        trouble: Literal["none", "raise", "diverge"],
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

from lic_exp.facts import CodecFacts

from .codecs import Toy


class Pyramid(Toy):
    """The toy with a coarser view of its latent. Its options are the toy's."""

    facts = CodecFacts(downsampling_factor=8, latents=2)

    def scales(self, y_hat: Tensor) -> tuple[Tensor, ...]:
        return (avg_pool2d(y_hat, 2), y_hat)
'''

REGULARIZERS = '''
import torch
from torch import Tensor, nn

from lic_exp.facts import RegularizerNeeds
from lic_exp.models.base import CodecOutput
from lic_exp.ranges import NonNegativeFloat
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
weights: null
partial_weights: false
freeze: []
"""

FILES = {
    "__init__.py": "",
    "codecs.py": CODECS,
    "pyramid.py": PYRAMID,
    "regularizers.py": REGULARIZERS,
    "conf/model/toy.yaml": f"_target_: {NAME}.codecs.Toy\n{OPTIONS}",
    "conf/model/toy_pyramid.yaml": f"_target_: {NAME}.pyramid.Pyramid\n{OPTIONS}",
    "conf/spectral_reg/toy_pair.yaml": f"_target_: {NAME}.regularizers.Pair\ndelta: 0.1\n",
}


def write_package(folder: Path, name: str, files: dict[str, str]) -> None:
    """Write `files` (path within the package: text) as the package `name` in `folder`."""
    for path, text in files.items():
        file = folder / name / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
