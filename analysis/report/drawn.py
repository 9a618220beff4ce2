"""The parts of a report that are figures."""

from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import TYPE_CHECKING

from analysis.errors import AnalysisError, CurveError
from analysis.losses import (
    MOST_ARMS,
    chosen_rate,
    courses_of,
    loss_figure,
    rates_of,
    series_of_run,
    telling_arms,
)
from analysis.plots import rd_figure, saving_figure
from analysis.report.parts import PageFigure, Part
from analysis.report.subject import Subject
from analysis.report.svg import inline
from lic_exp.runs.plots import FigureKind, run_figure
from lic_exp.tracking.run_folder import RunFolder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 4.8
"""Of a figure [inches]: its text is as large as that of the page on a narrow screen."""

MOST_RUNS = 4
"""Runs whose own figures are drawn."""


class Drawings:
    """Figures as SVGs of one page."""

    def __init__(self) -> None:
        self._numbers = count()

    def figure(self, title: str, figure: "Figure", notes: Sequence[str] = (), *, is_plate: bool = False) -> PageFigure:
        return PageFigure(title, inline(figure, next(self._numbers)), tuple(notes), is_plate)


def curves(subject: Subject, drawings: Drawings) -> Part:
    """Quality over rate, and the rate saved against the first curve beside the arms, or against the first arm."""
    arms, left = telling_arms(subject.arms, subject.losses)
    names = {arm.label for arm in arms}
    drawn = [*(curve for curve in subject.curves if not left or curve.name in names), *subject.beside]
    if not drawn:
        return Part("Curves")
    lines = (left,) if left else ()
    figures = [drawings.figure("Quality over rate", rd_figure(drawn, subject.metric, width=WIDTH))]
    others = [curve for curve in subject.beside if len(curve) > 1]
    anchor = next(iter((*others, *subject.curves)), None)  # of single points beside runs without a curve there is none
    if anchor is not None and len(drawn) > 1:
        try:
            tests = [curve for curve in drawn if curve is not anchor]
            figure, notes = saving_figure(anchor, tests, subject.metric, width=WIDTH, beside=drawn)
            figures.append(drawings.figure("Rate saved, over quality", figure, notes))
        except CurveError:
            pass  # the table of BD-rates says why there is no number
    return Part("Curves", lines, figures=tuple(figures))


def training(subject: Subject, drawings: Drawings) -> Part:
    """Losses over steps and seconds at the middle rate, and trainings of single runs."""
    figures = []
    arms, said = telling_arms(subject.arms, subject.losses)
    rates = rates_of(arms)
    try:
        (courses,) = courses_of(arms, subject.runs, chosen_rate(rates, None))
        left = [rate for rate in rates if rate != courses.rate and rate]
        notes = [f"the rates that are not drawn: {', '.join(left[:MOST_ARMS])}"] if left else []
        notes += courses.ends
        figures.append(drawings.figure("Validation loss", loss_figure(courses, width=WIDTH), notes))
    except AnalysisError as error:
        return Part("Training", (str(error),))
    for arm in arms[:MOST_RUNS]:
        cell = next((cell for cell in arm.cells if cell.signature in subject.rows), None)
        if cell is not None:
            figures += _of_run(subject, cell.signature, cell.label or arm.label, "training", drawings)
    return Part("Training", (said,) if said else (), figures=tuple(figures))


def norms(subject: Subject, drawings: Drawings) -> list[PageFigure]:
    """Of the first runs that diverged: losses and gradient norms."""
    fallen = [name for name, row in subject.rows.items() if row["state"] == "diverged"]
    labels = {cell.signature: cell.label for arm in subject.arms for cell in arm.cells}
    found: list[PageFigure] = []
    for name in fallen[:MOST_RUNS]:
        found += _of_run(subject, name, labels.get(name) or name, "norms", drawings)
    return found


def _of_run(subject: Subject, signature: str, label: str, kind: FigureKind, drawings: Drawings) -> Iterator[PageFigure]:
    titles: dict[FigureKind, Callable[[str], str]] = {
        "training": lambda name: f"Training of {name}",
        "norms": lambda name: f"Norms of {name}",
    }
    skipped = RunFolder(subject.rows[signature]["folder"]).status_if_whole().get("skipped") or ()
    try:
        figure = run_figure(series_of_run(subject.runs, signature), kind=kind, skipped=skipped, width=WIDTH)
    except ValueError:
        return  # it has logged nothing yet, which the list of runs says
    yield drawings.figure(titles[kind](label), figure)
