"""What a person may mean by a curve: published points, a results file, or evaluations of runs, sweeps and tables."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from analysis.arms import common_title
from analysis.curve_files import Curve, join, read_curve
from analysis.errors import AnalysisError
from analysis.named_runs import Meaning, NamedRun, UnknownNameError, name_parts, named
from analysis.published import has, nearest, path_of
from analysis.run_curves import curves_of
from analysis.run_places import Place, could_be_path, given_path, run_folders
from analysis.run_points import EVALUATED, curve_of_run
from lic_exp.tracking.run_folder import is_run_folder


def load_curve(
    what: str | Path | Sequence[str | Path],
    *,
    runs: Place = "runs",
    trusted: Collection[str] = (),
    images: str = "",
) -> Curve:
    """A published curve by name ("kodak/vtm_18.0"), a results file, or the curve of runs, as `load_curves` finds them.

    A sequence, or a string with commas between such names, is one curve with the points of all its parts. Raises
    AnalysisError with the nearest names, and where it would be several curves, or runs or points that are unlike.
    """
    if not isinstance(what, str | Path):
        return _joined([str(given_path(part, "the name of a curve")) for part in what], runs, trusted, images)
    curves = load_curves(what, runs=runs, trusted=trusted, images=images)
    if len(curves) > 1:
        names = " | ".join(curve.name for curve in curves)
        raise AnalysisError(f"{what} holds unlike runs, which are of {len(curves)} curves and not of one: {names}")
    return curves[0]


def load_curves(
    what: str | Path, *, runs: Place = "runs", trusted: Collection[str] = (), images: str = ""
) -> list[Curve]:
    """The curves of a name: one of a published name, a results file or a run; of a folder of runs, a sweep, a table
    or a label (`analysis.named_runs.named`, in the folder `runs`) one for each set of runs that differ in seed and
    rate alone, the mean over seeds.

    A run has the points of its `eval/rd_point.json`, a variable-rate one several. trusted: config keys in which runs
    of one curve may differ. images: what the images are called whose evaluation is meant of each run, where that is not
    its own: "kodak" of `eval/kodak-1a2b3c4d`. Raises AnalysisError.
    """
    if isinstance(what, str) and has(what):
        return [read_curve(path_of(what), name=what)]
    path = given_path(what, "the name of a curve")
    there = could_be_path(path)
    if there and path.is_file():
        return [read_curve(path)]
    if there and path.is_dir() and (found := _of_results(path)) is not None:
        return [found]
    try:
        return curves_of(_on(named(str(what), runs), images), trusted)
    except UnknownNameError as error:
        if "," in str(what):
            return [_joined(name_parts(str(what), lambda part: bool(_runs_of(part, runs))), runs, trusted, images)]
        near = nearest(str(what))
        hint = (
            f"; did you mean {', '.join(near)}?"
            if near
            else "; `python -m analysis rd --list` shows the published ones"
        )
        raise AnalysisError(f"{what}: neither a published curve nor a file or folder{hint} ({error})") from error


def _of_results(folder: Path) -> Curve | None:
    """The points in a folder that is no run's as the platform makes them, but holds such files; None where it does not.

    Raises AnalysisError where it holds neither these nor runs.
    """
    if is_run_folder(folder) or run_folders(folder) or (folder / "manifest.json").is_file():
        return None
    if (folder / EVALUATED).is_file():
        return curve_of_run(NamedRun(folder))
    folders = sorted(path.parents[1] for path in folder.glob(f"*/{EVALUATED}"))
    if not folders:
        raise AnalysisError(f"{folder}: neither an evaluated run ({EVALUATED}) nor a folder of such runs")
    joined = join([curve for one in folders if (curve := curve_of_run(NamedRun(one))) is not None])
    return replace(joined, name=folder.name)


def _joined(parts: Sequence[str], runs: Place, trusted: Collection[str], images: str) -> Curve:
    """One curve of several names. Of runs it is looked at whether they differ in more than seed and rate."""
    meant = [_runs_of(part, runs) for part in parts]
    if all(meant):
        together = tuple(run for some in meant for run in some)
        if len(parts) > 1:  # what tells the cells of one sweep apart says nothing of those of another
            together = tuple(replace(run, role=None) for run in together)
        return load_one(_on(Meaning(common_title(together), "runs", together), images), trusted)
    return join([load_curve(part, runs=runs, trusted=trusted, images=images) for part in parts])


def _on(found: Meaning, images: str) -> Meaning:
    """The same runs, evaluated on images of this name."""
    return replace(found, runs=tuple(replace(run, images=images) for run in found.runs))


def load_one(found: Meaning, trusted: Collection[str] = ()) -> Curve:
    """The curve of these runs. Raises AnalysisError where they are unlike."""
    curves = curves_of(found, trusted)
    if len(curves) > 1:
        names = " | ".join(curve.name for curve in curves)
        raise AnalysisError(
            f"{found.title}: these runs are unlike, and of {len(curves)} curves: {names}; name them apart, or trust "
            "the key in which runs of one curve may differ"
        )
    return curves[0]


def _runs_of(part: str, runs: Place) -> tuple[NamedRun, ...]:
    """The runs that a name means; none where it is no name of runs."""
    if has(part) or (could_be_path(part) and Path(part).is_file()):
        return ()
    try:
        return named(part, runs).runs
    except UnknownNameError:
        return ()
