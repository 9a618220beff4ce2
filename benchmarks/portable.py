"""How far float64 deviates in another order of operations, and what coding for any device costs.

    python benchmarks/portable.py [RUN...] [--images FOLDER] [--limit 3]

RUN: folders of runs, or names of models, which get random weights. Without FOLDER: photos of installed packages.
Prints Markdown. D is the largest deviation of a scale's logarithm, over all symbols of the images, between a decoder as
it is and one whose products are summed in another order and whose every rounding operation is off by a random share of
2^-52 (tests/other_arithmetic.py); models list rows within their margin, which should be a hundred times as much. Then
how many samples of the 8-bit picture differ if the float32 synthesis is perturbed by 2^-24 an operation; and CPU
seconds of portable over plain coding, medians of ratios within a pair.
"""

import argparse
import statistics
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from measuring import bundled_photos, machine
from PIL import Image
from torch import Tensor

import lic_exp
from lic_exp.models import near_lines
from lic_exp.models.base import Codec, Compressed
from lic_exp.models.portable import portable_coding

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from other_arithmetic import OtherArithmetic


def codec_named(name: str) -> Codec:
    """A run's codec, or a model with random weights."""
    if Path(name).is_dir():
        return lic_exp.find_run(Path(name).name, Path(name).parent).codec().eval()
    torch.manual_seed(0)
    return lic_exp.create_model(name).eval()


def images(folder: Path | None, limit: int) -> list[Tensor]:
    """(1, 3, H, W) in [0, 1]."""
    paths = (sorted(folder.glob("*.png")) if folder else bundled_photos())[:limit]
    return [torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1)[None] / 255 for path in paths]


def coded(codec: Codec, x: Tensor, *, portable: bool) -> tuple[Compressed, float]:
    """What is encoded, and CPU seconds."""
    began = time.process_time()
    with portable_coding() if portable else nullcontext():
        compressed = codec.compress(x)
    return compressed, time.process_time() - began


def decoded(codec: Codec, compressed: Compressed) -> tuple[Tensor, float]:
    """The picture, and CPU seconds."""
    began = time.process_time()
    picture = codec.decompress(replace(compressed, state=None))
    return picture, time.process_time() - began


def logarithms_of(codec: Codec, compressed: Compressed, how: OtherArithmetic | None) -> list[Tensor]:
    """What is compared with lines in a decoder, part by part."""
    seen: list[Tensor] = []
    plain = near_lines.logarithms

    def watched(scales: Tensor) -> Tensor:
        seen.append(plain(scales))
        return seen[-1]

    near_lines.logarithms = watched
    try:
        with how or nullcontext():
            codec.decompress(replace(compressed, state=None))
    finally:
        near_lines.logarithms = plain
    return seen


def measured(codec: Codec, pictures: list[Tensor], pairs: int) -> list[str]:
    """Cells of a row."""
    deviation, other, samples, listed, symbols = 0.0, 0, 0, 0, 0
    ratios: list[tuple[float, float]] = []
    codec.update()
    for x in map(codec.pad, pictures):
        compressed, _ = coded(codec, x, portable=True)
        expected = logarithms_of(codec, compressed, None)
        symbols += sum(part.numel() for part in expected)
        listed += sum(len(entries) for kind in compressed.near_lines or [] for entries in kind)
        for seed in range(2):
            found = logarithms_of(codec, compressed, OtherArithmetic(reorder=True, relative=2**-52, seed=seed))
            # Below any table neither the row nor what is listed hangs on it.
            near = [(part > -4) for part in expected]
            parts = zip(expected, found, near, strict=True)
            deviation = max(deviation, *(float(((a - b).abs() * n).max()) for a, b, n in parts))
        picture, _ = decoded(codec, compressed)
        with OtherArithmetic(relative=2**-24, dtype=torch.float32):
            perturbed, _ = decoded(codec, compressed)
        other += int(((picture * 255).round() != (perturbed * 255).round()).sum())
        samples += picture.numel()
        for _ in range(pairs):
            times = []
            for portable in (False, True):
                compressed, encoding = coded(codec, x, portable=portable)
                times.append((encoding, decoded(codec, compressed)[1]))
            ratios.append((times[1][0] / times[0][0], times[1][1] / times[0][1]))
    margin = codec.portable_mode().margin
    encoding, decoding = (statistics.median(column) for column in zip(*ratios, strict=True))
    return [
        *(f"{deviation:.1e}", f"{margin / deviation:.0f}" if deviation else "-", f"{listed}, {symbols}"),
        *(f"{1e6 * other / samples:.1f}", f"{encoding:.2f}", f"{decoding:.2f}"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("codecs", nargs="*", metavar="RUN", default=["dhic_tiny", "hpcm_tiny", "hyperprior_tiny"])
    parser.add_argument("--images", type=Path)
    parser.add_argument("--limit", type=int, default=3)
    parser.add_argument("--pairs", type=int, default=2)
    options = parser.parse_args()
    named = options.images.name if options.images else "installed packages"
    print(f"{machine()}, {options.limit} images of {named}\n")
    print("| codec | D | margin / D | bytes of lists, symbols | samples of a million that differ | encode | decode |")
    print("|---|---|---|---|---|---|---|")
    pictures = images(options.images, options.limit)
    for name in options.codecs:
        codec = codec_named(name)
        cells = " | ".join(measured(codec, pictures, options.pairs))
        print(f"| {Path(name).name} {type(codec).__name__} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
