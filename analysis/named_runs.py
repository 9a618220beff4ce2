"""What a name means to every command: a run, a folder of runs, a sweep, a table, or a label.

Wrong names are told at once, since nothing heavy is imported here. What `python -m lic_exp` takes for a run or a sweep
is taken as well, by the same matching.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from analysis.errors import AnalysisError
from analysis.run_places import Place, could_be_path, find_runs, given_path, is_store, one_of, run_folders
from analysis.sweep_manifests import SweepManifest, all_sweeps, committed_runs, sweep_at
from lic_exp.ablation_spec import FOLDER, of_experiment
from lic_exp.labels import SEED, VARIANT, differing, is_rate, label
from lic_exp.manifests import TableRecord, read_table_record
from lic_exp.naming import AmbiguousNameError, unique_match
from lic_exp.records import RecordError
from lic_exp.saying import say
from lic_exp.tracking.run_folder import SWEEPS, RunFolder, is_run_folder

if TYPE_CHECKING:
    from analysis.runs import Runs

MeaningKind = Literal["run", "runs", "sweep", "table", "label"]

OF = ":"
"""Between a sweep's name and a label of it, where several sweeps have one label: `grid-1a2b3c4d:spectral_reg=none`."""

MOST_NAMED = 10

MANIFEST = re.compile(r"(-[0-9a-f]{8}){1,2}\.json$")
"""What follows a table's name in that of a manifest: the digits of its study, and of the evaluation."""


class UnknownNameError(AnalysisError):
    """A name that means nothing that there is."""


@dataclass(frozen=True)
class NamedRun:
    """A run that a name means, begun or not. evaluation: the name of the one that is meant; None: the run's own.

    images: what the images are called whose evaluation is meant in place of that; "": none are named.
    role: the values that tell it from the others of its sweep or table; None where it was named alone. label: what its
    sweep calls it; "" where it is of none.
    """

    folder: Path
    evaluation: str | None = None
    role: Mapping[str, Any] | None = None
    label: str = ""
    images: str = ""

    @property
    def signature(self) -> str:
        return self.folder.name

    @property
    def has_begun(self) -> bool:
        return RunFolder(self.folder).config.is_file()


@dataclass(frozen=True)
class Meaning:
    """What a name means. title: of the sweep, table or folder, or the label.

    place: of a sweep or a table the folder of runs that it lies in; some of its runs may be in a results folder.
    """

    title: str
    kind: MeaningKind
    runs: tuple[NamedRun, ...] = field(default=())
    place: Path | None = None


def named(name: str, place: Place = "runs") -> Meaning:
    """What a name means, in a folder of runs.

    A path is a run folder, a sweep's folder or a folder of runs. Else it is a signature or the beginning of one, a
    sweep's name or the beginning of one, a table that was launched, or the label of a cell, or of all that differ from
    one another in seed and rate alone (`spectral_reg=none`); `SWEEP:LABEL` is that of one sweep.
    Raises UnknownNameError where it means nothing, AnalysisError where it means several things.
    """
    runs = given_path(place)
    if (found := _by_path(given_path(name, "the name of a run"))) is not None:
        return found
    for find in (_by_signature_or_sweep, _by_table, _by_label):
        if (found := find(name, runs)) is not None:
            return found
    try:
        find_runs([name], runs)
    except AnalysisError as error:
        others = _others(runs)
        raise UnknownNameError(f"{error}{'; ' if others else ''}{others}") from error
    raise AssertionError("a run of this name is found above")


def _by_path(path: Path) -> Meaning | None:
    if not could_be_path(path):
        return None
    path = Path(os.path.abspath(path))  # "." gets its name, symbolic links keep theirs
    if is_run_folder(path):
        return Meaning(path.name, "run", (NamedRun(path),))
    if (path / "manifest.json").is_file() and (path / "cells").is_dir():
        return _of_sweep(sweep_at(path))
    folders = run_folders(path) if path.is_dir() else []
    return Meaning(path.name, "runs", tuple(map(NamedRun, folders))) if folders else None


def several_named(text: str, place: Place = "runs") -> list[Meaning]:
    """What a name means, or each of several with commas between: a label has commas too, and is tried as a whole."""
    return [named(part, place) for part in name_parts(text, lambda part: _is_known(part, place))]


def name_parts(text: str, known: Callable[[str], bool]) -> list[str]:
    """The names of a text with commas between them, of which some may be labels that have commas within."""
    left, found = [part.strip() for part in text.split(",")], list[str]()
    while left:
        values = next((i for i, part in enumerate(left[1:], 1) if "=" not in part), len(left))
        whole = (", ".join(left[:count]) for count in range(values, 1, -1))
        found.append(next(filter(known, whole), left[0]))
        left = left[found[-1].count(",") + 1 :]
    return found


def _is_known(name: str, place: Place) -> bool:
    try:
        named(name, place)
    except UnknownNameError:
        return False
    return True


def load_named(names: Sequence[str], place: Place) -> "Runs":
    """The runs that these names mean, in their order, each once, with the evaluations that are meant.

    place: a folder of runs, or an MLflow store, which has signatures alone. Of a sweep or table those that have begun;
    of the others it is said that they have not. Raises AnalysisError where a name means nothing, several things, or
    nothing that has begun.
    """
    if is_store(place):
        from analysis.runs import load_runs

        there = load_runs(place)
        known = sorted(map(str, there.runs["signature"]))
        return there.of([one_of(name, known, place) for name in names])
    meant: dict[str, NamedRun] = {}
    for name in names:
        for found in several_named(name, place):
            for run in begun(found):
                meant.setdefault(run.signature, run)
    from analysis.runs import load_runs

    read = load_runs([run.folder for run in meant.values()])
    return read.with_evaluations({run.signature: run.evaluation for run in meant.values()})


def begun(found: Meaning) -> list[NamedRun]:
    """Those of its runs that have begun; of the others it is said. Raises AnalysisError where none has."""
    there = [run for run in found.runs if run.has_begun]
    waiting = [run.label or run.signature for run in found.runs if not run.has_begun]
    if not there:
        raise AnalysisError(f"no run of {found.kind} {found.title} has begun")
    if waiting:
        say(f"{found.title}: {len(waiting)} of {len(found.runs)} runs have not begun: {_listed(waiting)}")
    return there


def _of_sweep(sweep: SweepManifest) -> Meaning:
    return Meaning(sweep.name, "sweep", tuple(_cells(sweep, sweep.runs)), sweep.runs)


def _cells(sweep: SweepManifest, runs: Path) -> Iterator[NamedRun]:
    committed = committed_runs(runs)
    for cell in sweep.cells:
        place = committed.get(cell["signature"], runs / cell["signature"])
        yield NamedRun(place, cell.get("evaluation"), dict(cell.get("role") or {}), cell["label"])


def _by_signature_or_sweep(name: str, runs: Path) -> Meaning | None:
    folders = {folder.name: folder for folder in run_folders(runs)}
    sweeps = {path.parent.name: path.parent for path in (runs / SWEEPS).glob("*/manifest.json")}
    tables = set(map(_table_of, (runs / FOLDER).glob("*.json")))
    if name in tables and name not in folders and name not in sweeps:
        return None
    run, sweep = _match(name, folders), _match(name, of_experiment(name, sweeps))
    if run is not None and sweep is not None and (run == name) == (sweep == name):
        raise AnalysisError(f"{name} could be run {run} or sweep {sweep}: give more of it")
    if run is not None and sweep != name:
        return Meaning(run, "run", (NamedRun(folders[run]),))
    return None if sweep is None else _of_sweep(sweep_at(sweeps[sweep]))


def _match(name: str, known: Iterable[str]) -> str | None:
    try:
        return unique_match(name, known)
    except AmbiguousNameError as error:
        raise AnalysisError(f"{error}: give more digits") from error


def _table_of(manifest: Path) -> str:
    """The table's name, of that of a manifest: `table2-e4d24421.json`, and `table2-e4d24421-0ee991f9.json` where it
    is of an evaluation.
    """
    return MANIFEST.sub("", manifest.name)


def _by_table(name: str, runs: Path) -> Meaning | None:
    """The study of a table that was launched last."""
    found: list[TableRecord] = []
    for path in sorted((runs / FOLDER).glob("*.json")):
        if _table_of(path) == name:
            try:
                found.append(read_table_record(path))
            except FileNotFoundError:
                continue
            except RecordError as error:
                raise AnalysisError(f"{error}; launch one of its runs again to renew it") from error
    if not found:
        return None
    latest = max(found, key=lambda record: record["made"])
    rows = [
        ({VARIANT: cell["variant"], SEED: cell["seed"], **cell["rate"]}, cell["signature"], cell.get("evaluation"))
        for cell in latest["cells"]
    ]
    committed = committed_runs(runs)
    cells = (
        NamedRun(committed.get(signature, runs / signature), evaluation, role, label(role))
        for role, signature, evaluation in rows
    )
    return Meaning(name, "table", tuple(cells), runs)


def _by_label(name: str, runs: Path) -> Meaning | None:
    """The cells that have this label, or are of an arm that has it."""
    of, colon, rest = name.partition(OF)
    found: dict[str, tuple[NamedRun, ...]] = {}
    for sweep in all_sweeps(runs):
        wanted = rest if colon and sweep.name.startswith(of) else name
        cells = list(_cells(sweep, runs))
        if chosen := tuple(_labelled(wanted, cells)):
            found[sweep.name] = chosen
    if len({frozenset(run.signature for run in chosen) for chosen in found.values()}) > 1:
        places = " and ".join(f"{sweep}{OF}{name}" for sweep in found)
        raise AnalysisError(f"{name} is a label in {len(found)} sweeps, of other runs in each: name {places}")
    return next((Meaning(name, "label", chosen) for chosen in reversed(found.values())), None)


def _labelled(wanted: str, cells: Sequence[NamedRun]) -> Iterator[NamedRun]:
    if exact := [cell for cell in cells if _spelled(cell.label) == _spelled(wanted)]:
        yield from exact
        return
    arms = differing([arm_role(cell.role or {}) for cell in cells])
    yield from (cell for cell, arm in zip(cells, arms, strict=True) if arm and _spelled(label(arm)) == _spelled(wanted))


def arm_role(role: Mapping[str, Any]) -> dict[str, Any]:
    """What of a role says which curve a run is on: neither its seed nor its rate."""
    return {key: value for key, value in role.items() if key != SEED and not is_rate(key)}


def _spelled(text: str) -> str:
    return re.sub(r",\s+", ",", text.strip())


def _others(runs: Path) -> str:
    """What else could have been named, in words."""
    sweeps = [sweep.name for sweep in all_sweeps(runs)]
    return f"nor a sweep, a table or a label; there are the sweeps {_listed(sweeps)}" if sweeps else ""


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:MOST_NAMED])}{', ...' if names[MOST_NAMED:] else ''}"
