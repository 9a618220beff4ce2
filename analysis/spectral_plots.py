"""Diagnoses as figures: heat maps over training, rates and errors by scale, and what each scale adds to a picture."""

from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.diagnoses import DiagnosedRun, Instant, common_by_step, course_of, made_course, pairs
from analysis.errors import AnalysisError
from analysis.named_runs import begun, named
from analysis.run_places import Place
from analysis.spectral_bands import KINDS, Numbers
from lic_exp.plot_style import in_lines, in_style, legend_below, legend_name, looks, name_axes, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHADES = "cividis"
"""From dark to light, so that it reads in grey too."""

BLANK, NEGATIVE = "0.9", "#a8182d"
"""Of cells of which nothing is known, and of shares well below 0: what is there is the image's opposite."""

MOST_ROWS = 4
"""Instants of a training of which pictures are shown: the first, the last, and some between."""

MAPS = {
    "overlap": ("overlap with the image", (0.0, 1.0)),
    "energy": ("share of the energy", (0.0, 1.0)),
    "signed": ("signed share of the image", (-0.05, 1.0)),
}


def figures_of_diagnosis(folder: Path, label: str = "") -> "dict[str, Figure]":
    """{what it shows: figure} of what is kept in a run's folder, at the middle rate; {} where nothing is."""
    course = course_of(folder, label or folder.name)
    return {} if course is None else {TITLES[name]: figure for name, figure in figures_of(course).items()}


TITLES = {
    "shares_luma": "What each scale contributes, luma",
    "shares_chroma": "What each scale contributes, chroma",
    "cosines": "What two scales have in common, luma",
    "rates": "Bits and errors, scale by scale",
    "errors": "Spectra of the errors",
    "pictures": "What each scale adds to a photo",
}


def figures_of(course: DiagnosedRun, wanted: Collection[str] = tuple(TITLES)) -> "dict[str, Figure]":
    """{name of a file: figure}, those of TITLES that are wanted; without rates over training where there is none."""
    draw: dict[str, Callable[[DiagnosedRun], Figure]] = {
        **{f"shares_{kind}": partial(shares_figure, kind=kind) for kind in KINDS},
        "cosines": cosines_figure,
        **({"rates": rates_figure} if len(course.along) > 1 else {}),
        "errors": errors_figure,
        "pictures": pictures_figure,
    }
    return {name: figure(course) for name, figure in draw.items() if name in wanted}


def plot_spectra(
    name: str, what: str = "shares_luma", *, quality: float | None = None, runs: Place = "runs"
) -> "Figure":
    """One of the figures of a run's diagnosis, by its name in TITLES. Where there is no diagnosis, it is made first.

    Raises AnalysisError for a name that means no run or several, and where there is no such figure.
    """
    there = begun(named(name, runs))
    if len(there) > 1:
        raise AnalysisError(f"a diagnosis is drawn of one run; {name} means {len(there)}: name one of them")
    if what not in TITLES:
        raise AnalysisError(f"there is no figure {what}; there are {', '.join(TITLES)}")
    (run,) = there
    figures = figures_of(made_course(run.folder, run.label or run.signature, quality=quality), [what])
    if what not in figures:
        raise AnalysisError(f"{name}: {what} are of a training that was diagnosed as it went: evaluation.diagnosis")
    return figures[what]


@in_style
def shares_figure(course: DiagnosedRun, kind: str = "luma") -> "Figure":
    """Heat maps: a row per scale from 0 on, and a column for overlap, energy and signed share; bands over steps."""
    number, scales = KINDS.index(kind), course.last.found.scales
    figure = new_figure(2.2 + 2.9 * len(MAPS), 1.2 + 1.45 * (scales + 1))
    panels = figure.subplots(scales + 1, len(MAPS), sharex=True, sharey=True, squeeze=False)
    for column, (name, (title, limits)) in enumerate(MAPS.items()):
        drawn: Any = None
        for scale in range(scales + 1):
            axes = panels[scale, column]
            values = [getattr(one.shares, name)[scale, number] for one in course.instants]
            drawn = _heat_map(axes, course, values, limits)
            name_axes(
                axes,
                _steps_name(course) if scale == scales else "",
                "rho / √2" if column == 0 else "",
                f"scale {scale}",
            )
        bar = figure.colorbar(drawn, ax=panels[:, column], location="bottom", fraction=0.03, pad=0.02, aspect=30)
        bar.set_label(title)
    return _titled(figure, course, f"{kind}; grey: blank, red: negative")


@in_style
def cosines_figure(course: DiagnosedRun) -> "Figure":
    """Heat maps of |cos| of every two scales from 1 on, luma: bands over steps."""
    of = pairs(course.last.found.scales)
    columns = min(3, len(of))
    rows = -(-len(of) // columns)
    figure = new_figure(1.6 + 2.9 * columns, 1.5 + 1.6 * rows)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    drawn: Any = None
    for place, axes in enumerate(panels.flat):
        if place >= len(of):
            axes.set_axis_off()
            continue
        drawn = _heat_map(axes, course, [one.shares.cosine[(*of[place], 0)] for one in course.instants], (0.0, 1.0))
        name_axes(
            axes, _steps_name(course) if place // columns == rows - 1 else "", "", "scales {} and {}".format(*of[place])
        )
    figure.colorbar(drawn, ax=panels, location="bottom", fraction=0.04, pad=0.02, aspect=40)
    return _titled(figure, course, "|cos| of two scales, luma; grey: blank")


@in_style
def rates_figure(course: DiagnosedRun) -> "Figure":
    """Over steps: bits per pixel of each scale, and the error of the decode up to each."""
    figure = new_figure(9.0, 3.8)
    left, right = figure.subplots(1, 2)
    steps = [one.step for one in course.along]
    names = list(course.along[0].bpp)
    side, scales = len(names) - course.last.found.scales, course.last.found.scales
    for number, look in enumerate(looks(scales + 1)):
        named = f"scale {number}" if number else "side information" if side else ""
        if named:
            left.plot(steps, [one.scale_bpp[number] for one in course.along], label=named, **look.options)
        label = f"up to scale {number}" if number else "without any"
        right.plot(steps, [one.mse[number] for one in course.along], label=label, **look.options)
    right.set_yscale("log")
    name_axes(left, "step", "bpp")
    name_axes(right, "step", "MSE of the decode")
    for axes in (left, right):
        axes.legend(loc="best", frameon=False, fontsize=8)
    return _titled(figure, course, "bits, and errors of partial decodes")


@in_style
def errors_figure(course: DiagnosedRun) -> "Figure":
    """Of the last diagnosis: energy of the error over that of the image, band by band, of every partial decode."""
    figure = new_figure(9.0, 3.8)
    panels = figure.subplots(1, 2, sharey=True)
    last = course.last
    edges = np.array(last.found.about["edges"])
    for number, (axes, kind) in enumerate(zip(panels, KINDS, strict=True)):
        for scale, look in enumerate(looks(last.found.scales + 1)):
            values = np.maximum(last.shares.error[scale, number], 1e-9)
            label = f"up to scale {scale}" if scale else "without any"
            axes.plot((edges[1:] + edges[:-1]) / 2, values, label=label, **look.options)
        axes.set_yscale("log")
        axes.set_xlim(0, 1)
        name_axes(axes, "rho / √2", "error over image" if number == 0 else "", kind)
    legend_below(figure, panels)
    return _titled(figure, course, "spectra of the errors")


@in_style
def pictures_figure(course: DiagnosedRun) -> "Figure":
    """What each scale adds to one photo: a row per instant, the photo and the contributions, each amplified."""
    shown = _some(course.instants)
    scales = course.last.found.scales
    height, width = shown[0].found.shown.shape[2:]
    figure = new_figure(1.75 * (scales + 2), 0.9 + len(shown) * (0.32 + 1.65 * height / width))
    panels = figure.subplots(len(shown), scales + 2, squeeze=False)
    for row, one in zip(panels, shown, strict=True):
        for signal, axes in enumerate(row):
            axes.imshow(one.found.shown[signal].transpose(1, 2, 0), interpolation="none")
            axes.set_xticks([])
            axes.set_yticks([])
            axes.grid(visible=False)
            axes.spines[:].set_visible(False)
            factor = 0.5 / max(one.found.amplitudes[signal], 1e-12)
            said = f"scale {signal - 1} x {factor:.2g}" if factor < 1e3 else f"scale {signal - 1}: nothing"
            axes.set_title("image" if signal == 0 else said, fontsize=8)
        row[0].set_ylabel("best weights" if one.step is None else f"step {one.step}", fontsize=8)
    name, rate = shown[0].found.about["shown"]
    qualities = shown[0].found.about["qualities"]
    at = f", quality {qualities[rate]:g}" if qualities else ""
    return _titled(figure, course, f"{name}{at}; grey is nothing", rated=False)


@in_style
def common_figure(courses: Sequence[DiagnosedRun]) -> "Figure":
    """What two scales have in common on average, over steps, a line per run."""
    figure = new_figure(7.5, 4.4)
    axes = figure.subplots()
    for course, look in zip(courses, looks(len(courses)), strict=True):
        values = common_by_step(course)
        axes.plot(list(values), list(values.values()), label=legend_name(course.label), **look.options)
    axes.set_ylim(bottom=0)
    name_axes(axes, "step", "in common, mean over pairs of scales")
    legend_below(figure, [axes])
    return figure


def _heat_map(axes: "Axes", course: DiagnosedRun, values: Sequence[Numbers], limits: tuple[float, float]) -> Any:
    """Values (bands,) of every instant, steps to the right and bands upwards."""
    from matplotlib import colormaps

    steps = np.array([one.step or 0 for one in course.instants], dtype=float)
    edges = np.array(course.last.found.about["edges"])
    middles = (steps[1:] + steps[:-1]) / 2
    half = (middles[0] - steps[0], steps[-1] - middles[-1]) if len(middles) else (0.5, 0.5)
    borders = np.array([steps[0] - half[0], *middles, steps[-1] + half[1]])
    shades = colormaps[SHADES].with_extremes(bad=BLANK, under=NEGATIVE)
    axes.grid(visible=False)
    axes.set_facecolor(BLANK)
    if len(steps) == 1:
        axes.set_xticks([])
    cells = np.ma.masked_invalid(np.array(values).T)
    # As a picture also in an SVG, which a thousand cells would make slow to show.
    look: Any = {"cmap": shades, "vmin": limits[0], "vmax": limits[1], "rasterized": True}
    return axes.pcolormesh(borders, edges, cells, **look)


def _steps_name(course: DiagnosedRun) -> str:
    return "step" if course.along else "best weights"


def _some(instants: Sequence[Instant]) -> list[Instant]:
    places = np.linspace(0, len(instants) - 1, min(MOST_ROWS, len(instants))).round().astype(int)
    return [instants[place] for place in places]


def _titled(figure: "Figure", course: DiagnosedRun, what: str, *, rated: bool = True) -> "Figure":
    at = "" if course.quality is None or not rated else f", quality {course.quality:g}"
    title = f"{in_lines(course.label + at)}\n{what}"
    figure.suptitle(title, fontsize=10.5, x=0.01, ha="left", parse_math=False)
    return figure
