"""The rate-distortion curve of a variable-rate codec as a picture."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from lic_exp.text import visible


def write_curve(path: Path, name: str, points: Sequence[Mapping[str, float]]) -> None:
    """Write a PNG with bpp against PSNR of each point, labelled with its quality and lmbda.

    points: means over images, with `bpp`, `psnr` [dB], `rate`, `lmbda` and `images`. Infinite PSNR is not drawn.
    """
    from matplotlib.figure import Figure

    drawn = [point for point in points if math.isfinite(point["psnr"])]
    figure = Figure(figsize=(7.2, 4.8), dpi=120, layout="constrained")
    axes = figure.subplots()
    axes.plot([point["bpp"] for point in drawn], [point["psnr"] for point in drawn], marker="o", color="tab:blue")
    for point in drawn:
        axes.annotate(
            f"lmbda {point['lmbda']:.2g}\nquality {point['rate']:g}",
            (point["bpp"], point["psnr"]),
            xytext=(8, -6),
            textcoords="offset points",
            va="top",
            fontsize=8,
        )
    low, high = drawn[0]["bpp"] if drawn else 0.0, drawn[-1]["bpp"] if drawn else 1.0
    # Room for the last label on the right.
    axes.set_xlim(max(0.0, low - 0.08 * (high - low)), high + 0.2 * (high - low) + 1e-3)
    axes.margins(y=0.14)
    axes.set_xlabel("rate [bits per pixel, of real bitstreams]")
    axes.set_ylabel("PSNR [dB, 8-bit RGB]")
    axes.set_title(f"{visible(name)}, means of {points[0]['images']} images at {len(points)} rates", parse_math=False)
    axes.grid(alpha=0.3)
    figure.savefig(path)
