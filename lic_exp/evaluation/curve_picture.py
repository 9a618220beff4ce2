"""The rate-distortion curve of a variable-rate codec as a picture."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from lic_exp.plot_style import encoded, in_style, looks, name_axes, new_figure
from lic_exp.text import visible


@in_style
def write_curve(path: Path, name: str, points: Sequence[Mapping[str, float]]) -> None:
    """Write a PNG with bpp against PSNR of each point, labelled with its quality and lmbda.

    points: means over images, with `bpp`, `psnr` [dB], `rate`, `lmbda` and `images`. Infinite PSNR is not drawn.
    """
    drawn = [point for point in points if math.isfinite(point["psnr"])]
    figure = new_figure(7.2, 4.8)
    axes = figure.subplots()
    axes.plot([point["bpp"] for point in drawn], [point["psnr"] for point in drawn], **looks(1)[0].options)
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
    title = f"{visible(name)}, means of {points[0]['images']} images at {len(points)} rates"
    name_axes(axes, "rate [bits per pixel, of real bitstreams]", "PSNR [dB, 8-bit RGB]", title)
    path.write_bytes(encoded(figure, ".png"))
