"""A picture of a resolution curriculum: what training sees of a photo along its stage."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from lic_exp.plot_style import encoded, in_style, new_figure
from lic_exp.spectral_reg.pictures import moments, outlasted
from lic_exp.spectral_reg.schedules import Window

if TYPE_CHECKING:  # matplotlib takes a second, and few runs draw
    from matplotlib.figure import Figure

PICTURE = "resolution_curriculum.png"


def write_sizes(
    window: Window,
    shown: Callable[[Tensor, float | None], Tensor],
    photo: Tensor,
    folder: Path,
    end: float | None,
) -> list[Path]:
    """Write PICTURE of a photo (3, H, W) in [0, 1] to `folder`.

    shown: the images of training at a position of the window, None: outside. end: of training, in the window's unit.
    """
    folder.mkdir(exist_ok=True)
    (folder / PICTURE).write_bytes(encoded(sizes_figure(window, shown, photo.detach().cpu(), end), ".png"))
    return [folder / PICTURE]


@in_style
def sizes_figure(
    window: Window, shown: Callable[[Tensor, float | None], Tensor], photo: Tensor, end: float | None
) -> "Figure":
    """The middle of the photo, square as crops are, at each size of the stage, and whole where training goes on."""
    crop = _middle(photo)
    panels: dict[tuple[int, ...], tuple[str, Tensor]] = {}
    for moment in moments(window, count=9, end=end):
        small = shown(crop, moment.position)
        panels.setdefault(tuple(small.shape), (f"at {moment.label}", small))
    if outlasted(window, end):
        panels[tuple(crop.shape)] = ("after the stage", crop)
    columns = min(4, len(panels))
    figure = new_figure(3.0 * columns, 3.6 * math.ceil(len(panels) / columns))
    all_axes = figure.subplots(math.ceil(len(panels) / columns), columns, squeeze=False).ravel()
    for axes in all_axes:
        axes.axis("off")
    for axes, (caption, small) in zip(all_axes, panels.values(), strict=False):
        axes.imshow(small.clamp(0, 1).permute(1, 2, 0).numpy(), interpolation="nearest")
        axes.set_title(f"{caption}\n{small.shape[2]} x {small.shape[1]} pixels", fontsize=10.5)
    return figure


def _middle(photo: Tensor) -> Tensor:
    side = min(photo.shape[1:])
    top, left = ((full - side) // 2 for full in photo.shape[1:])
    return photo[:, top : top + side, left : left + side]
