"""Pictures of what a codec did to an image: original, reconstruction, and their difference made visible."""

import logging
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from lic_exp.metrics import to_8bit
from lic_exp.text import shortened, visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

log = logging.getLogger(__name__)

AMPLIFICATIONS = (1, 2, 5, 10, 20, 50, 100)
DPI = 100
PANEL_INCHES = (3.6, 10.24)
"""Least and most width or height of one panel: narrower ones have no room for titles; larger images are reduced."""


@contextmanager
def unless_it_fails(what: str) -> Iterator[None]:
    """A picture never fails the run that it is of: what goes wrong inside is a warning."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 (whatever drawing, fonts, names and disks may raise)
        log.warning("no %s: %s: %s", what, type(error).__name__, error)


def write_picture(path: Path, x: Tensor, x_hat: Tensor, row: Mapping[str, Any]) -> None:
    """Write a PNG with x, x_hat (1, 3, H, W) in [0, 1] and the amplified error, titled with the row's measures."""
    from matplotlib.figure import Figure

    original, decoded = (_levels(image) for image in (x, x_hat))
    error = np.abs(original - decoded).max(axis=2)
    width, height = _panel_size(x)
    figure = Figure(figsize=(3 * width + 1.0, height + 1.3), dpi=DPI, layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    _show(left, "original", original / 255, {})
    _show(middle, "reconstruction", decoded / 255, {})
    _show_error(figure, right, error)
    figure.suptitle(describe(row), color="black" if row["exact"] else "red", parse_math=False)
    figure.savefig(path)


def describe(row: Mapping[str, Any]) -> str:
    """The title: image, size, quality of a variable-rate codec, bpp, PSNR and, where it was measured, MS-SSIM.

    A decoder that failed is named.
    """
    measures = [f"{row['bpp']:.4f} bpp", f"PSNR {row['psnr']:.2f} dB"]
    if not math.isnan(row["ms_ssim"]):
        measures.append(f"MS-SSIM {row['ms_ssim']:.4f} ({row['ms_ssim_db']:.2f} dB)")
    at = f", quality {row['rate']:g}" if "rate" in row else ""
    title = f"{shortened(visible(row['image']), 80)}, {row['width']} x {row['height']}{at}\n" + "   ".join(measures)
    return title if row["exact"] else title + "\nthe decoder does not reproduce the encoder's picture"


def amplification(error: np.ndarray) -> int:
    """The largest factor that keeps 99.5 % of the errors (H, W) [8-bit levels] below full scale."""
    typical = float(np.quantile(error, 0.995))
    return max((factor for factor in AMPLIFICATIONS if factor * typical <= 255), default=1)


def _show_error(figure: "Figure", axes: "Axes", error: np.ndarray) -> None:
    """The error (H, W) [8-bit levels]; the colour bar tells the levels, the title the amplification."""
    factor = amplification(error)
    scale = {"cmap": "inferno", "vmin": 0, "vmax": 255 / factor}
    drawn = _show(axes, f"absolute error x {factor}, largest of R, G, B", error, scale)
    figure.colorbar(drawn, ax=axes, label="error [8-bit levels]", extend="max", fraction=0.05, pad=0.02)


def _show(axes: "Axes", title: str, image: np.ndarray, options: dict[str, Any]) -> Any:
    axes.set_title(title)
    axes.set_axis_off()
    return axes.imshow(image, **options)


def _levels(image: Tensor) -> np.ndarray:
    """(1, 3, H, W) in [0, 1] to (H, W, 3) in 8-bit levels."""
    levels: np.ndarray = (to_8bit(image)[0] * 255).round().permute(1, 2, 0).cpu().numpy()
    return levels


def _panel_size(x: Tensor) -> tuple[float, float]:
    """Width and height of one panel [inches]: one dot per pixel where that is neither too small nor too large."""
    height, width = x.shape[-2] / DPI, x.shape[-1] / DPI
    least, most = PANEL_INCHES
    scale = min(max(1.0, least / width), most / max(width, height))
    return max(width * scale, least), height * scale
