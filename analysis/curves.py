"""What a person may mean by a curve: published points, a results file, or the evaluations of runs."""

from collections.abc import Sequence
from pathlib import Path

from analysis.curve_files import MADE_BY, Curve, join, read_curve
from analysis.errors import AnalysisError
from analysis.made_by import made_in
from analysis.published import has, nearest, path_of
from analysis.run_places import given_path
from lic_exp.tracking.run_folder import RunFolder


def load_curve(what: str | Path | Sequence[str | Path]) -> Curve:
    """A published curve by name ("kodak/vtm_18.0"), a results file, a run folder, or a folder of runs.

    A run has the points of its `eval/rd_point.json`, a variable-rate one several. A folder of runs, a sequence, or a
    string with commas between such names is one curve with the points of all its parts. Raises AnalysisError with the
    nearest names.
    """
    if not isinstance(what, str | Path):
        return join([load_curve(part) for part in what])
    if isinstance(what, str) and has(what):
        return read_curve(path_of(what), name=what)
    path = given_path(what, "the name of a curve")
    if path.is_dir():
        return _of_folder(path)
    if path.is_file():
        return read_curve(path)
    if "," in str(what):
        return join([load_curve(part.strip()) for part in str(what).split(",")])
    near = nearest(str(what))
    hint = f"; did you mean {', '.join(near)}?" if near else "; `python -m analysis rd --list` shows the published ones"
    raise AnalysisError(f"{what}: neither a published curve nor a file or folder{hint}")


def _of_folder(folder: Path) -> Curve:
    if (folder / POINT).is_file():
        return _of_run(folder, folder.name)
    folders = sorted(path.parents[1] for path in folder.glob(f"*/{POINT}"))
    if not folders:
        raise AnalysisError(f"{folder}: neither an evaluated run ({POINT}) nor a folder of such runs")
    joined = join([_of_run(path) for path in folders])
    return Curve(folder.name, joined.results, joined.description, joined.about)


POINT = "eval/rd_point.json"
"""The file of a run that has its points."""


def _of_run(folder: Path, name: str | None = None) -> Curve:
    curve = read_curve(folder / POINT, name)
    run = RunFolder(folder)
    about = {**curve.about, MADE_BY: (made_in(run),)} if run.status_file.is_file() else curve.about
    return Curve(curve.name, curve.results, curve.description, about)
