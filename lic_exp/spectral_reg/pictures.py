"""Pictures of the intra-scale stage: its masks, and what training sees of a photo along the schedule."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lic_exp.ops.dct import MASKS, frequency_mask
from lic_exp.plot_style import encoded, in_style, new_figure
from lic_exp.spectral_reg.schedules import Window
from lic_exp.spectral_reg.truncation import Truncation

if TYPE_CHECKING:  # matplotlib takes a second, and few runs draw
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MASK_SIZE = 256
"""Side of the drawn masks [coefficients]; a mask depends on u/H and v/W alone."""


class Moment(NamedTuple):
    """A place in the window to draw: its position in [0, 1], and that in words."""

    position: float
    label: str


def moments(window: Window, count: int = 5, end: float | None = None) -> list[Moment]:
    """Up to `count` moments from the first of the window to its last, at whole epochs or steps.

    end: of training, in the window's unit: what comes after it is left out; None where it is not known.
    """
    shares = [k / (count - 1) for k in range(count)]
    if window.unit == "share":
        return [Moment(p, f"{100 * (window.start + p * window.length):.4g} % of training") for p in shares]
    length = window.length if end is None else min(window.length, end - window.start)
    if length <= 0:
        return []
    times = sorted({round(window.start + p * (length - 1)) for p in shares})
    return [Moment(p, f"{window.unit} {now}") for now in times if (p := window.position(now)) is not None]


def outlasted(window: Window, end: float | None) -> bool:
    """Whether training goes on after the window; end: as in `moments`."""
    return end is None or window.start + window.length < end - 1e-9


@in_style
def radial_masks_figure(truncation: Truncation, end: float | None = None) -> "Figure":
    """The masks M(u, v) along the schedule, and each one's profile over rho. end: as in `moments`, inside the stage."""
    drawn = moments(truncation.window, end=end)
    figure = new_figure(2.6 * max(len(drawn), 3) + 0.8, 6.4)
    upper, lower = figure.subfigures(2, 1, squeeze=False).ravel()
    _draw_masks(upper.subplots(1, len(drawn), sharey=True, squeeze=False)[0], truncation, drawn)
    _draw_profiles(lower.subplots(), truncation, drawn)
    return figure


@in_style
def progression_figure(truncation: Truncation, photo: Tensor, end: float | None = None) -> "Figure":
    """A photo (3, H, W) in [0, 1] as training sees it along the schedule, and the photo itself where it sees that.

    end: as in `moments`.

    PSNR is against the photo, before the clipping to [0, 1] that display needs.
    """
    if photo.dim() != 3 or photo.shape[0] != 3:
        raise ValueError(f"a photo must have the shape (3, H, W), not {tuple(photo.shape)}")
    photo = photo.detach().cpu()
    drawn = moments(truncation.window, end=end)
    panels = [(_caption(truncation, m, ", "), truncation.low_pass(photo, m.position)) for m in drawn]
    if outlasted(truncation.window, end):
        panels.append(("after the stage: full spectrum", photo))
    elif not drawn:
        panels.append(("full spectrum: training ends before the stage", photo))
    columns = min(3, len(panels))
    rows = math.ceil(len(panels) / columns)
    height = 3.6 * photo.shape[1] / photo.shape[2] + 0.6
    figure = new_figure(3.6 * columns, height * rows)
    all_axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in all_axes:
        axes.axis("off")
    for axes, (caption, seen) in zip(all_axes, panels, strict=False):
        axes.imshow(seen.clamp(0, 1).permute(1, 2, 0).numpy(), interpolation="lanczos")
        axes.set_title(caption if seen is photo else f"{caption}\n{_psnr_text(seen, photo)}", fontsize=10.5)
    return figure


def write_pictures(truncation: Truncation, photo: Tensor, folder: Path, end: float | None = None) -> list[Path]:
    """Write radial_masks.png and frequency_truncation_progression.png of a photo (3, H, W) in [0, 1] to `folder`.

    end: as in `moments`; of a stage that begins after it there are no masks.
    """
    figures = {}
    if moments(truncation.window, end=end):
        figures["radial_masks.png"] = radial_masks_figure(truncation, end)
    figures["frequency_truncation_progression.png"] = progression_figure(truncation, photo, end)
    folder.mkdir(exist_ok=True)
    for name, figure in figures.items():
        (folder / name).write_bytes(encoded(figure, ".png"))
    return [folder / name for name in figures]


def _draw_masks(all_axes: np.ndarray, truncation: Truncation, drawn: list[Moment]) -> None:
    for axes, moment in zip(all_axes, drawn, strict=True):
        image = axes.imshow(_mask(truncation, moment), vmin=0, vmax=1, cmap="viridis", extent=(0, 1, 1, 0))
        axes.set_title(_caption(truncation, moment, "\n"), fontsize=11)
        axes.grid(visible=False)
        axes.set_xlabel("v/W")
        axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    all_axes[0].set_ylabel("u/H")
    all_axes[0].figure.colorbar(image, ax=list(all_axes), label="M(u, v)", shrink=0.8)


def _draw_profiles(axes: "Axes", truncation: Truncation, drawn: list[Moment]) -> None:
    from matplotlib import colormaps

    rho = torch.linspace(0, math.sqrt(2), 2000, dtype=torch.float64)
    colours = colormaps["plasma"](np.linspace(0, 0.85, len(drawn)))
    for moment, colour in zip(drawn, colours, strict=True):
        profile = MASKS[truncation.mask_shape](rho, truncation.cutoff(moment.position))
        axes.plot(rho, profile, color=colour, linewidth=2, label=_caption(truncation, moment, ", "))
    axes.axvline(1, color="0.6", linestyle=":", linewidth=1)
    axes.text(
        1, 1.02, "highest frequency along an axis", transform=axes.get_xaxis_transform(), ha="center", color="0.4"
    )
    axes.set(xlim=(0, math.sqrt(2)), ylim=(-0.03, 1.06), ylabel="M")
    axes.set_xlabel(r"$\rho = \sqrt{(u/H)^2 + (v/W)^2}$")
    axes.grid(alpha=0.25)
    axes.legend(title=f"{truncation.mask} mask", loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)


def _mask(truncation: Truncation, moment: Moment) -> np.ndarray:
    cutoff = truncation.cutoff(moment.position)
    return frequency_mask(MASK_SIZE, MASK_SIZE, cutoff, truncation.mask_shape).numpy()


def _caption(truncation: Truncation, moment: Moment, separator: str) -> str:
    tau, cutoff = truncation.tau(moment.position), truncation.cutoff(moment.position)
    beside = "" if cutoff == tau else ", all ones" if math.isinf(cutoff) else f", cut-off {cutoff:.3g}"
    return f"{moment.label}{separator}$\\tau$ = {tau:.3g}{beside}"


def _psnr_text(seen: Tensor, photo: Tensor) -> str:
    mse = (seen.double() - photo.double()).square().mean().item()
    return f"PSNR {-10 * math.log10(mse):.1f} dB" if mse > 0 else "identical"
