"""What several commands say or print alike."""

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from analysis.errors import AnalysisError
from lic_exp.saying import say

if TYPE_CHECKING:
    from analysis.curve_files import Curve
    from lic_exp.console import PlainConsole

RUN_HELP = "run folder, signature, or the beginning of one"

CURVE_HELP = (
    "a published curve (kodak/vtm_18.0), a results file (.json), a run folder, a folder of runs, or several of these "
    "joined by commas to one curve"
)


def add_runs(parser: argparse.ArgumentParser) -> None:
    """The option `--runs`."""
    parser.add_argument("--runs", default="runs", metavar="FOLDER", help="where run folders are (default: runs)")


def add_runs_or_store(parser: argparse.ArgumentParser) -> None:
    """The same for what needs no more of a run than a tracking store holds."""
    meaning = "where run folders are, or an MLflow store: sqlite:////data/runs/mlflow.db, or that file (default: runs)"
    parser.add_argument("--runs", default="runs", metavar="FOLDER|STORE", help=meaning)


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


def load_curves(names: Sequence[str]) -> "list[Curve]":
    """The curves of a command line; of those with one name it is said how they are told apart. Raises AnalysisError."""
    from analysis.curve_files import told_apart
    from analysis.curves import load_curve

    loaded = [load_curve(name) for name in names]
    curves = told_apart(loaded)
    for what, before, now in zip(names, loaded, curves, strict=True):
        if now.name != before.name:
            say(f"{what}: a curve called {before.name} is there already; this one is {now.name}")
    return curves


def value_text(value: Any) -> str:
    """A config's value or a number in a cell; blank for NaN."""
    if value is None:
        return "null"
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return str(list(value)) if isinstance(value, tuple) else str(value)
