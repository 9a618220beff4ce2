"""Losses, rate savings, and trainings as figures.

loss: of the arms of a sweep or table, over steps and seconds, with the spread of seeds and the level of speed-ups.
saving: the rate that each curve saves against `--against`, over quality. training: one run's losses, tau, and bits by
latent. norms: one run's gradient norms, its skipped steps, and where it diverged. (Rate-distortion curves: `rd`.)
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.arguments import CURVE_HELP, METRIC_HELP, add_curve_options, named
from analysis.errors import AnalysisError
from lic_exp.saying import show

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = {"loss": ("rate", "trust"), "saving": ("against", "metric", "trust", "images"), "training": (), "norms": ()}
"""What can be drawn, and which options each takes beside --out and --runs."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", choices=KINDS, metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("names", nargs="+", metavar="NAME", help=f"of saving: {CURVE_HELP}; of the others runs alone")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help=".png, .pdf or .svg")
    parser.add_argument("--against", metavar="CURVE", help="of saving: a label, or any other curve")
    parser.add_argument("--metric", help=f"of saving: {METRIC_HELP}")
    parser.add_argument("--rate", metavar="KEY=VALUE", help="of loss: which rate is drawn (default: the middle one)")
    add_curve_options(parser)


def run(options: argparse.Namespace) -> int:
    from analysis.plots import check_suffix, write_figure

    check_suffix(options.out)
    _check_options(options)
    figure = _saving(options) if options.kind == "saving" else _of_runs(options)
    write_figure(options.out, figure)
    show(f"written: {options.out}")
    return 0


def _check_options(options: argparse.Namespace) -> None:
    """Raises AnalysisError where an option is given that says nothing to this kind of figure."""
    own = KINDS[options.kind]
    others = dict.fromkeys(option for taken in KINDS.values() for option in taken if option not in own)
    given = [f"--{option}" for option in others if getattr(options, option) not in (None, [])]
    if given:
        takes = ", ".join(f"--{option}" for option in (*own, "runs", "out"))
        raise AnalysisError(f"{options.kind} does not take {', '.join(given)}; it takes {takes}")


def _saving(options: argparse.Namespace) -> "Figure":
    from analysis.arguments import load_curves, one_of_curves
    from analysis.plots import saving_figure
    from analysis.unlike_runs import told_of
    from lic_exp.saying import say

    if options.against is None:
        raise AnalysisError("saving needs --against: the curve that the others are compared with")
    metric = options.metric or "psnr"
    anchor, tests = one_of_curves(options.against, load_curves(options.names, options), options, flag="--against")
    with named("--metric"):
        for curve in (anchor, *tests):
            curve.quality(metric)
    figure, notes = saving_figure(anchor, tests, metric)
    say(*notes, *told_of([(anchor, test) for test in tests], metric))
    return figure


def _of_runs(options: argparse.Namespace) -> "Figure":
    if len(options.names) > 1:
        raise AnalysisError(f"{options.kind} is drawn of one name; {' '.join(options.names)} are {len(options.names)}")
    (name,) = options.names
    if options.kind == "loss":
        from analysis.figures import plot_loss

        return plot_loss(name, rate=options.rate, runs=options.runs, trusted=options.trust)
    from analysis.named_runs import begun
    from analysis.named_runs import named as meant
    from lic_exp.runs.run import Run

    there = begun(meant(name, options.runs))
    if len(there) > 1:
        raise AnalysisError(f"{options.kind} is drawn of one run; {name} means {len(there)}: name one of them")
    try:
        return Run(there[0].folder).plot(options.kind)
    except ValueError as error:
        raise AnalysisError(f"{name}: {error}") from error
