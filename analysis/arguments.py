"""What several commands say or print alike."""

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.errors import AnalysisError
from lic_exp.saying import say

if TYPE_CHECKING:
    from analysis.curve_files import Curve
    from lic_exp.console import PlainConsole

RUN_HELP = (
    "run folder, signature or its beginning; or a folder of runs, a sweep (name, its beginning, or folder), a table or "
    "a label: all of its runs"
)

METRIC_HELP = "psnr, ms-ssim-db, psnr-y, ms-ssim-y-db, psnr-hvs-m, or package.module:function (default: psnr)"

CURVE_HELP = (
    "a published curve (kodak/vtm_18.0), a results file (.json), a run (folder, signature or its beginning); a folder "
    "of runs, a sweep, a table or a label, which give a curve for each set of runs that differ in seed and rate alone; "
    "or several of these joined by commas to one curve"
)


def add_runs(parser: argparse.ArgumentParser) -> None:
    """The options `--runs` and `--from`, of which one says where runs are."""
    _add_places(parser, "FOLDER", "where run folders are (default: runs)")


def add_runs_or_store(parser: argparse.ArgumentParser) -> None:
    """The same for what needs no more of a run than a tracking store holds."""
    meaning = "where run folders are, or an MLflow store: sqlite:////data/runs/mlflow.db, or that file (default: runs)"
    _add_places(parser, "FOLDER|STORE", meaning)


def take_results(options: argparse.Namespace) -> None:
    """Have runs read from the results folder that was given, once all of it was compared with what it says of itself.

    Raises AnalysisError where it is none, or not as it was collected.
    """
    if getattr(options, "results", None) is None:
        return
    from lic_exp.records import RecordError
    from lic_exp.tracking.results_folder import check_results

    try:
        check_results(Path(options.results))
    except (RecordError, OSError) as error:
        raise AnalysisError(f"--from: {error}") from error
    options.runs = options.results


def _add_places(parser: argparse.ArgumentParser, metavar: str, meaning: str) -> None:
    places = parser.add_mutually_exclusive_group()
    places.add_argument("--runs", default="runs", metavar=metavar, help=meaning)
    results = "a results folder, which is compared with its digests first (analysis collect makes one)"
    places.add_argument("--from", dest="results", metavar="RESULTS", help=results)


def place_words(options: argparse.Namespace) -> list[str]:
    """What of the command says where runs are: `--from results/table2`; nothing where that is the default."""
    if options.results is not None:
        return ["--from", options.results]
    return [] if options.runs == "runs" else ["--runs", options.runs]


def out_beside(options: argparse.Namespace, folder: str) -> Path:
    """Where a command's files go unless it is told: of a results folder beside the runs, else in `folder`."""
    return Path(folder) if options.results is None else Path(options.results, folder)


def console(columns: int) -> "PlainConsole":
    """Where nobody's terminal sets a width, tables get `columns`: a number that was cut reads like another one."""
    from lic_exp.console import console_for

    return console_for(sys.stdout, columns)


@contextmanager
def named(flag: str) -> Iterator[None]:
    """Within, what is refused is said of this flag: whoever gave it knows no parameter of a function."""
    try:
        yield
    except AnalysisError as error:
        raise AnalysisError(f"{flag}: {error}") from error


def add_curve_options(parser: argparse.ArgumentParser) -> None:
    """The options that say which curves are meant: `--runs` and `--trust`."""
    add_runs(parser)
    parser.add_argument(
        "--trust", nargs="+", default=[], metavar="KEY", help="config keys in which runs of one curve may differ"
    )
    parser.add_argument(
        "--images", metavar="NAME", help="of runs the evaluation on these: kodak of eval/kodak-1a2b3c4d"
    )


def load_named_curves(name: str, options: argparse.Namespace) -> "list[Curve]":
    """The curves of one word of a command line with the options of `add_curve_options`. Raises AnalysisError."""
    from analysis.curves import load_curves

    return load_curves(name, runs=options.runs, trusted=options.trust, images=options.images or "")


def load_curves(names: Sequence[str], options: argparse.Namespace) -> "list[Curve]":
    """The curves of a command line; of those with one name it is said how they are told apart. Raises AnalysisError."""
    from analysis.curve_files import told_apart

    found = [(name, curve) for name in names for curve in load_named_curves(name, options)]
    loaded = [curve for _, curve in found]
    curves = told_apart(loaded)
    for what, before, now in zip((name for name, _ in found), loaded, curves, strict=True):
        if now.name != before.name:
            say(f"same-label: {what}: a curve called {before.name} is there already; this one is {now.name}")
    return curves


def one_of_curves(
    name: str, curves: "Sequence[Curve]", options: argparse.Namespace, *, flag: str = "--baseline"
) -> "tuple[Curve, list[Curve]]":
    """The curve that a flag names, and the others: it is one of these, by its label, or any other curve."""
    anchor = next((curve for curve in curves if curve.name == name), None)
    others = [curve for curve in curves if curve is not anchor]
    if anchor is None:
        try:
            (anchor,) = load_named_curves(name, options)
        except ValueError as error:
            known = " | ".join(curve.name for curve in curves)
            why = f" ({error})" if isinstance(error, AnalysisError) else ", but several"
            raise AnalysisError(f"{flag}={name} is none of these curves: {known}; nor one other{why}") from error
        others = [curve for curve in curves if (curve.name, curve.results) != (anchor.name, anchor.results)]
    if not others:
        raise AnalysisError(f"{flag}={name}: there is nothing else to compare with it")
    return anchor, others


def value_text(value: Any) -> str:
    """A config's value or a number in a cell; blank for NaN."""
    if value is None:
        return "null"
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return str(list(value)) if isinstance(value, tuple) else str(value)
