"""Losses of arms over steps and over seconds of training, as a figure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.arms import Arm
from analysis.errors import AnalysisError
from analysis.interpolation import Floats
from analysis.named_runs import NamedRun
from analysis.runs import Runs
from analysis.smoothing import smoothed
from analysis.speed import descent
from analysis.training_cost import Trajectory, trajectory
from analysis.undecayed import PLACE
from lic_exp.labels import SEED, is_rate, label, value_text
from lic_exp.plot_style import (
    BAND,
    NEUTRAL,
    in_style,
    legend_below,
    legend_name,
    looks,
    name_axes,
    new_figure,
)
from lic_exp.runs.plots import MARKED_POINTS, spans_decades
from lic_exp.tracking import names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

UNITS = {"steps": "step", "seconds": "training [s]"}
"""What losses are drawn over, and what that axis is called."""

AT_ONCE = 200
"""Places at which a mean over seeds is drawn, at most."""

MOST_ARMS = 24
"""Arms that are drawn together: of more nobody tells one from another."""

FALLEN = ("diverged", "failed")


@dataclass(frozen=True)
class Courses:
    """`val/rd_loss` of the runs of one rate.

    rate: in words, "" where the runs have no other. arms: {label: the courses of its seeds}; fallen: of those of its
    runs that diverged or failed, which are in no mean. target: the loss whose costs a speed-up compares, None where
    it is not known; target_is: that in words. ends: which seed ends where, of arms whose seeds end at different steps.
    """

    rate: str
    arms: Mapping[str, Sequence[Trajectory]]
    fallen: Mapping[str, Sequence[Trajectory]]
    target: float | None = None
    target_is: str = ""
    ends: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not any([*self.arms.values(), *self.fallen.values()])


def courses_of(arms: Sequence[Arm], runs: Runs, only: str | None = None) -> list[Courses]:
    """The courses of these arms, a rate each, in the order of the rates. runs: those of them that have begun.

    The target is the first arm's. only: the rate, in words, that is wanted.
    """
    by_rate: dict[str, list[tuple[str, NamedRun]]] = {}
    for arm in arms:
        for cell in arm.cells:
            by_rate.setdefault(rate_of(cell), []).append((arm.label, cell))
    return [_of_rate(rate, arms, cells, runs) for rate, cells in by_rate.items() if only in (None, rate)]


def rate_of(cell: NamedRun) -> str:
    """The rate of a cell, as labels have it; "" where it says none."""
    return label({key: value for key, value in (cell.role or {}).items() if is_rate(key)})


def rates_of(arms: Iterable[Arm]) -> list[str]:
    """The rates of these arms in words, each once."""
    return list(dict.fromkeys(rate_of(cell) for arm in arms for cell in arm.cells))


def chosen_rate(rates: Sequence[str], wanted: str | None) -> str:
    """The rate that is meant; the middle one where none is named. Raises AnalysisError where there is no such."""
    if wanted is None:
        return rates[len(rates) // 2]
    if wanted not in rates:
        raise AnalysisError(f"there is no rate {wanted}; there is {' | '.join(filter(None, rates)) or 'one alone'}")
    return wanted


def last_losses(runs: Runs) -> dict[str, float]:
    """{signature: its last `val/rd_loss`, or NaN}"""
    return {str(name): value for name, value in runs.final([names.VAL_RD_LOSS])[names.VAL_RD_LOSS].items()}


def telling_arms(
    arms: Sequence[Arm], losses: Mapping[str, float], rate: str | None = None
) -> tuple[tuple[Arm, ...], str]:
    """The arms that are drawn, and what is to be said where those are not all: the first, and those of least loss.

    losses: of runs, the last. rate: at which, in words; None: the middle one.
    """
    if len(arms) <= MOST_ARMS:
        return tuple(arms), ""
    at = chosen_rate(rates_of(arms), rate)

    def loss(arm: Arm) -> float:
        own = [losses.get(cell.signature, math.nan) for cell in arm.cells if rate_of(cell) == at]
        known = [value for value in own if math.isfinite(value)]
        return sum(known) / len(known) if known else math.inf

    best = {id(arm) for arm in sorted(arms[1:], key=loss)[: MOST_ARMS - 1]}
    chosen = tuple(arm for arm in arms if arm is arms[0] or id(arm) in best)
    place = f" at {at}" if at else ""
    return chosen, f"of {len(arms)} arms {MOST_ARMS} are drawn: the first, and those of the lowest last loss{place}"


def _of_rate(rate: str, arms: Sequence[Arm], cells: Sequence[tuple[str, NamedRun]], runs: Runs) -> Courses:
    states = {row["signature"]: row["state"] for row in runs.rows()}
    whole: dict[str, list[Trajectory]] = {arm.label: [] for arm in arms}
    fallen: dict[str, list[Trajectory]] = {arm.label: [] for arm in arms}
    ends: dict[str, dict[str, float]] = {arm.label: {} for arm in arms}
    for of, cell in cells:
        if cell.signature in states:
            with suppress(AnalysisError):  # nothing was validated yet
                course = trajectory(runs, cell.signature, names.VAL_RD_LOSS)
                if states[cell.signature] in FALLEN:
                    fallen[of].append(course)
                    continue
                whole[of].append(course)
                ends[of][value_text((cell.role or {}).get(SEED, cell.signature))] = float(course["steps"][-1])
    first = [cell.signature for of, cell in cells if of == arms[0].label and states.get(cell.signature) == "done"]
    said = tuple(text for of, own in ends.items() for text in _ends(of, own))
    return Courses(rate, whole, fallen, *_target(first, runs), said)


def _target(signatures: Sequence[str], runs: Runs) -> tuple[float | None, str]:
    """The level whose costs tables compare: a baseline's smoothed loss late in its undecayed stretch, over seeds."""
    levels = []
    for signature in signatures:
        with suppress(AnalysisError):
            found = descent(runs, signature).undecayed
            curve = smoothed(found.costs, found.losses)
            levels.append(np.interp(np.log(PLACE * found.end), np.log(found.costs), curve))
    if not levels:
        return None, ""
    return float(np.exp(np.mean(levels))), f"target: the first arm's loss at {PLACE:g} of its undecayed training"


@in_style
def loss_figure(courses: Courses, said: str = "", *, width: float = 7.5) -> "Figure":
    """The mean over seeds of each arm, between its lowest and highest seed; above over steps, below over seconds.

    Where one seed alone has got further than all others, the rest of it is a thin line.
    A run that fell is a thin line that ends in a cross. said: what stands above it beside the rate. Raises
    AnalysisError where nothing was validated yet.
    """
    if courses.is_empty:
        raise AnalysisError(f"nothing has logged {names.VAL_RD_LOSS} yet")
    title_of = "; ".join(filter(None, [courses.rate, said]))
    figure = new_figure(width, 6.4 + 0.12 * len(courses.arms))
    panels: list[Axes] = list(figure.subplots(2, 1, sharey=True))
    for axes, (unit, title) in zip(panels, UNITS.items(), strict=True):
        values = list(_draw(axes, courses, unit))
        if courses.target is not None:
            axes.axhline(courses.target, color=NEUTRAL, linestyle="--", linewidth=1, label=courses.target_is)
        name_axes(axes, title, names.VAL_RD_LOSS, title_of if axes is panels[0] else "")
        axes.set_xlim(left=0)
        if spans_decades(values):
            axes.set_yscale("log")
    legend_below(figure, panels)
    return figure


def _draw(axes: "Axes", courses: Courses, unit: str) -> Iterable[float]:
    """Draw one panel; the values that are in it."""
    for (name, seeds), look in zip(courses.arms.items(), looks(len(courses.arms)), strict=True):
        known = [seed for seed in seeds if np.isfinite(seed[unit]).all()]
        if (found := over_seeds(known, unit)) is not None:
            at, mean, low, high = found
            options = look.options if len(at) <= MARKED_POINTS else look.unmarked
            axes.plot(at, mean, label=legend_name(name), **options)
            if len(known) > 1:
                axes.fill_between(at, low, high, color=look.colour, alpha=BAND, linewidth=0)
            for seed in known if len(known) > 1 else ():
                alone = seed[unit] >= at[-1]
                if alone.sum() > 1 and seed["steps"][-1] > max(one["steps"][-1] for one in known if one is not seed):
                    axes.plot(seed[unit][alone], seed["value"][alone], color=look.colour, linewidth=0.7)
            yield from mean
        for number, seed in enumerate(courses.fallen[name]):
            if np.isfinite(seed[unit]).all():
                label_it = "" if number else legend_name(f"{name}: fell")
                axes.plot(seed[unit], seed["value"], color=look.colour, linewidth=0.7, linestyle=":", label=label_it)
                axes.plot(seed[unit][-1:], seed["value"][-1:], color=look.colour, marker="x", markersize=7)


def over_seeds(seeds: Sequence[Trajectory], unit: str) -> tuple[Floats, Floats, Floats, Floats] | None:
    """Places (n,) that two seeds at least have passed, and mean, lowest and highest loss there; None of no seed.

    Each place is of the seeds that have got so far: one that has only begun hides no other. Those who have got furthest
    in steps are in all of it. Between evaluations each is a straight line. Where no two share places it is the course
    of the one that has got furthest.
    """
    if not seeds:
        return None
    furthest = sorted((seed["steps"][-1] for seed in seeds), reverse=True)
    ahead = [seed for seed in seeds if seed["steps"][-1] >= furthest[:2][-1]]
    low, high = max(seed[unit][0] for seed in ahead), min(seed[unit][-1] for seed in ahead)
    if low >= high:
        seeds = [max(seeds, key=lambda seed: float(seed["steps"][-1]))]
        low, high = seeds[0][unit][0], seeds[0][unit][-1]
    inner = np.unique([place for seed in seeds for place in seed[unit] if low <= place <= high])
    places = inner if len(inner) <= AT_ONCE else np.linspace(low, high, AT_ONCE)
    outside = [(places < seed[unit][0]) | (places > seed[unit][-1]) for seed in seeds]
    courses = [np.interp(places, seed[unit], seed["value"]) for seed in seeds]
    values: np.ma.MaskedArray[Any, Any] = np.ma.MaskedArray(courses, mask=outside)
    return places, *(np.asarray(of(axis=0).filled(np.nan)) for of in (values.mean, values.min, values.max))


def _ends(label_of: str, ends: Mapping[str, float]) -> Iterable[str]:
    """What is to be said of an arm whose seeds have not all got equally far. ends: {seed: its last step}."""
    if len(set(ends.values())) > 1:
        said = ", ".join(f"seed {seed} ends at step {step:g}" for seed, step in ends.items())
        yield f"{label_of}: {said}; the mean is over those that have got so far"


def shown_seeds(arms: Iterable[Arm]) -> int:
    """How many seeds the arms have, at most."""
    return max((len({repr((cell.role or {}).get(SEED)) for cell in arm.cells}) for arm in arms), default=0)


def series_of_run(runs: Runs, signature: str, wanted: Iterable[str] | None = None) -> dict[str, Any]:
    """{metric: its steps and values} of a run, as `lic_exp.runs.plots` draws them. wanted: only these."""
    logged = runs.metrics["metric"][runs.metrics["signature"] == signature].unique() if wanted is None else wanted
    found = {str(name): runs.series(signature, str(name)) for name in logged}
    return {name: (one["step"], one["value"]) for name, one in found.items() if len(one["step"])}
