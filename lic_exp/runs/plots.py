"""A run's training as figures: its losses, what the regularizer does, how the bits are shared, and gradient norms.

From metrics alone, (steps, values) by name: of a run's folder here, of many runs in `analysis`. Imports no torch.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from lic_exp.plot_style import NEUTRAL, in_style, legend_below, legend_name, looks, name_axes, new_figure
from lic_exp.tracking import names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Series = tuple[Sequence[float], Sequence[float]]
"""Steps and values, (n,) each."""

FigureKind = Literal["training", "norms"]
KINDS: tuple[FigureKind, ...] = ("training", "norms")

WIDTH, PANEL = 5.6, 2.1
"""Of a figure, and the height of one of its panels [inches]."""

MARKED_POINTS = 40
"""A curve of more points is drawn without markers."""

SKIPPED_SHOWN = 200
"""Skipped steps that are marked, the last ones."""


def series_of(entries: Iterable[Mapping[str, Any]]) -> dict[str, Series]:
    """{metric: its steps and values} of logged entries; of a step logged twice the last."""
    found: dict[str, dict[int, float]] = {}
    for entry in entries:
        step = entry["step"]
        for name, value in entry.items():
            if name not in ("step", "epoch", "time"):
                found.setdefault(name, {})[step] = value
    return {name: tuple(zip(*sorted(points.items()), strict=True)) for name, points in found.items()}  # type: ignore[misc]


def run_figure(
    metrics: Mapping[str, Series],
    title: str = "",
    kind: FigureKind = "training",
    skipped: Sequence[int] = (),
    *,
    width: float = WIDTH,
) -> "Figure":
    """The figure of one run. Raises ValueError where nothing was logged that it could show, or there is no such kind.

    training: losses, tau, the bits of each latent, where it has several. norms: losses and gradient norms before
    clipping, with the steps that were skipped and the one at which it diverged.
    """
    if kind not in KINDS:
        raise ValueError(f"no figure {kind!r}: it is one of {', '.join(KINDS)}")
    groups = {name: {label: metrics[key] for label, key in group.items()} for name, group in _groups(metrics, kind)}
    if not groups:
        raise ValueError(f"nothing is logged of which a figure of {kind} could be drawn")
    return _panels(groups, title, _marks(metrics, skipped) if kind == "norms" else {}, width)


def _groups(metrics: Mapping[str, Series], kind: FigureKind) -> Iterable[tuple[str, dict[str, str]]]:
    """What stands in each panel: its axis, and {label: metric}."""
    losses = [name for name in (names.TRAIN_LOSS, names.VAL_RD_LOSS) if name in metrics]
    if losses:
        yield "loss", {name: name for name in losses}
    if kind == "norms":
        norms = [name for name in metrics if name.startswith(names.TRAIN_GRAD_NORM)]
        if norms:
            yield "gradient norm", {name: name for name in norms}
        return
    if names.SPECTRAL_TAU in metrics:
        yield "cut-off tau", {names.SPECTRAL_TAU: names.SPECTRAL_TAU}
    if names.INTER_WEIGHT in metrics:
        yield "phase 2: weight", {names.INTER_WEIGHT: names.INTER_WEIGHT}
    latents = {
        name.removeprefix(names.VALIDATION).removesuffix("_bpp"): name for name in metrics if is_latent_bpp(name)
    }
    if len(latents) > 1:
        yield "estimated bpp", {f"latent {label}": name for label, name in latents.items()}


def is_latent_bpp(name: str) -> bool:
    """Whether a metric is the estimated rate of one latent."""
    return name.startswith(names.VALIDATION) and name.endswith("_bpp")


def _marks(metrics: Mapping[str, Series], skipped: Sequence[int]) -> dict[str, Sequence[float]]:
    """{what happened: at which steps}"""
    found: dict[str, Sequence[float]] = {}
    if skipped:
        found["skipped step"] = skipped[-SKIPPED_SHOWN:]
    if names.TRAIN_DIVERGED in metrics:
        found["diverged"] = metrics[names.TRAIN_DIVERGED][0]
    return found


@in_style
def _panels(
    groups: Mapping[str, Mapping[str, Series]], title: str, marks: Mapping[str, Sequence[float]], width: float
) -> "Figure":
    figure = new_figure(width, 0.6 + PANEL * len(groups) + 0.2 * sum(map(len, groups.values())) / 2)
    panels: list[Axes] = list(figure.subplots(len(groups), 1, sharex=True, squeeze=False)[:, 0])
    styles = iter(looks(sum(map(len, groups.values()))))
    for axes, (what, curves) in zip(panels, groups.items(), strict=True):
        for label, (steps, values) in curves.items():
            look = next(styles)
            options = look.options if len(steps) <= MARKED_POINTS else look.unmarked
            axes.plot(steps, values, label=legend_name(label), **options)
        for place, (what_happened, steps) in enumerate(marks.items()):
            line = (":", "-.")[place % 2]
            for number, step in enumerate(steps):
                axes.axvline(step, color=NEUTRAL, linestyle=line, linewidth=1, label="" if number else what_happened)
        name_axes(axes, "step" if axes is panels[-1] else "", what, title if axes is panels[0] else "")
        if spans_decades([value for _, values in curves.values() for value in values]):
            axes.set_yscale("log")
    legend_below(figure, panels)
    return figure


def spans_decades(values: Iterable[float], least: float = 12.0) -> bool:
    """Whether values above 0 lie so far apart that only a logarithmic axis shows them all."""
    known = [value for value in values if math.isfinite(value)]
    return bool(known) and min(known) > 0 and max(known) / min(known) > least
