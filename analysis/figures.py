"""Figures by name, for notebooks: what `rd` and `plot` write, as matplotlib's."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from analysis.arms import arms_of
from analysis.curve_files import Curve, told_apart
from analysis.curves import load_curve, load_curves
from analysis.errors import AnalysisError
from analysis.losses import chosen_rate, courses_of, last_losses, loss_figure, rates_of, telling_arms
from analysis.named_runs import begun, named
from analysis.plots import rd_figure, saving_figure
from analysis.run_places import Place, no_store
from analysis.runs import load_runs
from analysis.unlike_runs import told_of, unlike_pairs
from lic_exp.saying import say

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Named = str | Curve
"""What a curve is asked for by, or the curve itself."""


def plot_rd(
    *what: Named,
    metric: str = "psnr",
    anchors: Sequence[str] = (),
    runs: Place = "runs",
    trusted: Collection[str] = (),
) -> "Figure":
    """Rate-distortion curves: of everything that `load_curves` takes, or curves; one line per arm of a sweep.

    anchors: codecs that are measured on the photos of the first run here (`analysis.measure_anchors`); published curves
    are named like the others. In what any two of the curves are unlike is said. Raises AnalysisError.
    """
    curves = _curves(what, runs, trusted)
    if anchors:
        from analysis.measured.beside import anchors_beside

        single = [one for curve in curves for one in (curve, *curve.by_seed.values())]
        curves += anchors_beside(list(anchors), [folder for curve in single for folder in curve.of_runs], metric)
    figure = rd_figure(curves, metric)
    say(*told_of(unlike_pairs(curves), metric))
    return figure


def plot_saving(
    *what: Named, against: Named, metric: str = "psnr", runs: Place = "runs", trusted: Collection[str] = ()
) -> "Figure":
    """The rate that each curve saves at equal quality against one of them, by its label, or any other curve [%].

    Which are left out and why, and in what any is unlike the anchor, is said. Raises AnalysisError, also where no
    BD-rate follows from any of them.
    """
    curves = _curves(what, runs, trusted)
    anchor = next((one for one in curves if against in (one, one.name)), None)
    if anchor is None:
        anchor = against if isinstance(against, Curve) else load_curve(against, runs=runs, trusted=trusted)
    tests = [one for one in curves if one is not anchor]
    figure, notes = saving_figure(anchor, tests, metric)
    say(*notes, *told_of([(anchor, test) for test in tests], metric))
    return figure


def plot_loss(name: str, *, rate: str | None = None, runs: Place = "runs", trusted: Collection[str] = ()) -> "Figure":
    """`val/rd_loss` of a run, or of the arms of a sweep, over steps and over seconds of training, with its target.

    rate: in words, "criterion.lmbda=0.013"; None: the middle one. Raises AnalysisError with the rates there are.
    """
    no_store(runs, "figures of losses over seconds")
    found = named(name, runs)
    arms = arms_of(found, trusted)
    chosen = chosen_rate(rates_of(arms), rate)
    read = load_runs([run.folder for run in begun(found)])
    drawn, said = telling_arms(arms, last_losses(read), chosen)
    (courses,) = courses_of(drawn, read, chosen)
    figure = loss_figure(courses, said)
    say(*courses.ends)
    return figure


def _curves(what: Sequence[Named], runs: Place, trusted: Collection[str]) -> list[Curve]:
    if not what:
        raise AnalysisError("a figure needs a curve: a published name, a file, a run, a sweep")
    found = [[one] if isinstance(one, Curve) else load_curves(one, runs=runs, trusted=trusted) for one in what]
    return told_apart([curve for some in found for curve in some])
