"""Where run folders are, and which one a name means. Imports nothing heavy, so that a wrong name is told at once."""

import errno
import os
from collections.abc import Iterable
from pathlib import Path

from analysis.errors import AnalysisError
from lic_exp.naming import AmbiguousNameError, unique_match
from lic_exp.text import blank_message, is_blank
from lic_exp.tracking.run_folder import is_run_folder

Place = str | Path


def run_folders(runs: Path) -> list[Path]:
    """The run folders in `runs`, by signature."""
    candidates = sorted(path.parent for path in runs.glob("[!.]*/config.yaml"))
    return [folder for folder in candidates if is_run_folder(folder)]


def find_runs(names: Iterable[str], runs: Place = "runs") -> list[Path]:
    """The run folders with these paths, signatures, or unique beginnings of signatures in the folder `runs`.

    Raises AnalysisError where a name means none or several.
    """
    folder = given_path(runs)
    return [_find(str(given_path(name, "the name of a run")), folder) for name in names]


def given_path(place: Place, what: str = "the name of a folder") -> Path:
    """The path. Raises AnalysisError where it is blank text, which would be the working directory."""
    if is_blank(place):
        raise AnalysisError(blank_message(what))
    return Path(place)


def could_be_path(name: str | Path) -> bool:
    """Whether anything on a disk could be called so: a text of many names with commas between may be too long."""
    try:
        os.stat(name)
    except OSError as error:
        return error.errno != errno.ENAMETOOLONG
    except ValueError:  # a zero byte
        return False
    return True


def is_store(place: Place) -> bool:
    """Whether a place is an MLflow store, and no folder: an address (sqlite:////data/runs/mlflow.db) or a .db file."""
    return "://" in str(place) or str(place).endswith(".db")


def no_store(place: Place, instead: str) -> None:
    """Raise AnalysisError for an MLflow store, which lacks what is asked for. instead: where that lies."""
    if is_store(place):
        raise AnalysisError(f"{place}: an MLflow store has no {instead}; name the folder of runs")


def _find(name: str, runs: Path) -> Path:
    if could_be_path(name) and is_run_folder(Path(name)):
        return Path(name)
    known = {folder.name: folder for folder in run_folders(runs)}
    return known[one_of(name, known, runs)]


def one_of(name: str, known: Iterable[str], runs: Place) -> str:
    """The signature that a name means, of those that there are in `runs`. Raises AnalysisError."""
    known = list(known)
    try:
        found = unique_match(name, known)
    except AmbiguousNameError as error:
        raise AnalysisError(f"{error}: give more digits") from error
    if found is None:
        listed = f"it has {', '.join(known[:10])}" if known else "it has none"
        raise AnalysisError(f"there is no run {name} in {runs}, nor a run folder of that path; {listed}")
    return found
