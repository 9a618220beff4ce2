"""A picture of a resolution curriculum: what training sees of a photo along its stage."""

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
    """The photo at each size of the stage, with where the size begins, and whole where training goes on after it."""
    panels: dict[tuple[int, ...], tuple[str, Tensor]] = {}
    for moment in moments(window, count=9, end=end):
        small = shown(photo, moment.position)
        panels.setdefault(tuple(small.shape), (f"from {moment.label}", small))
    drawn = list(panels.values())
    if outlasted(window, end):
        drawn.append(("after the stage", photo))
    figure = new_figure(3.0 * len(drawn), 3.0 * photo.shape[1] / photo.shape[2] + 0.6)
    for axes, (caption, small) in zip(figure.subplots(1, len(drawn), squeeze=False)[0], drawn, strict=True):
        axes.imshow(small.clamp(0, 1).permute(1, 2, 0).numpy(), interpolation="nearest")
        axes.set_title(f"{caption}\n{small.shape[2]} x {small.shape[1]} pixels", fontsize=10.5)
        axes.axis("off")
    return figure
