"""A codec that costs nothing, and photos in a folder."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from analysis.measured.codec import AnchorError, CodedPicture
from analysis.measured.colours import Conversion, Picture


@dataclass
class Coarse:
    """Keeps so many levels of each sample, the quality. coded: what it was asked for."""

    name: str = "coarse"
    qualities: Sequence[float] = (4, 8, 16, 32)
    conversion: Conversion = field(default_factory=lambda: Conversion("none", None))
    optimized_for: str | None = "mse"
    note: str = ""
    says: str = "1.0"
    header: int = 7
    fails_on: int | None = None
    coded: list[tuple[int, float]] = field(default_factory=list)

    def missing(self) -> str | None:
        return None

    def version(self) -> str:
        return self.says

    def command(self, quality: float) -> str:
        return f"{self.name} --levels {quality:g}"

    def code(self, picture: Picture, quality: float) -> CodedPicture:
        if picture.shape[1] == self.fails_on:
            raise AnchorError(f"{self.command(quality)}: out of luck")
        self.coded.append((picture.shape[1], quality))
        step = 256 // int(quality)
        levels = picture // step
        data = b"x" * self.header + zlib.compress(levels.tobytes())
        return CodedPicture(data, self.header, (levels * step + step // 2).astype(np.uint8))


def write_photos(folder: Path, *sizes: tuple[int, int], seed: int = 0) -> Path:
    """PNG files 0.png, 1.png, ... of these heights and widths."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    for i, (height, width) in enumerate(sizes):
        coarse = Image.fromarray(random.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        coarse.resize((width, height), Image.Resampling.BICUBIC).save(folder / f"{i}.png")
    return folder
