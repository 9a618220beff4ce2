"""The runs that a command names, be they folders or in an MLflow store. A wrong name is told at once."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from analysis.run_places import Place, find_runs, is_store, one_of

if TYPE_CHECKING:
    from analysis.runs import Runs


def load_named(names: Sequence[str], place: Place) -> "Runs":
    """The runs with these paths, signatures, or unique beginnings of signatures, in their order.

    place: a folder of runs or an MLflow store. Raises AnalysisError where a name means none or several.
    """
    if not is_store(place):
        folders = find_runs(names, place)
        from analysis.runs import load_runs

        return load_runs(folders)
    from analysis.runs import load_runs

    there = load_runs(place)
    known = sorted(map(str, there.runs["signature"]))
    return there.of([one_of(name, known, place) for name in names])
