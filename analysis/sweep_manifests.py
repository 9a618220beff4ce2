"""Sweeps by the manifests that they left beside the run folders. Imports nothing heavy, as `analysis.run_places`."""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.errors import AnalysisError
from analysis.run_places import Place, could_be_path, given_path, no_store
from lic_exp.ablation_spec import of_experiment
from lic_exp.manifests import SweepCell, read_sweep
from lic_exp.naming import AmbiguousNameError, unique_match
from lic_exp.records import RecordError
from lic_exp.text import blank_message, is_blank
from lic_exp.tracking.run_folder import SWEEPS, is_run_folder

_log = logging.getLogger("analysis")


@dataclass(frozen=True)
class SweepManifest:
    """cells: of each `signature`, `label`, `role` (the keys that tell it apart); from schema 2 on `evaluation`."""

    name: str
    runs: Path
    cells: Sequence[Mapping[str, Any]]


def find_sweep(name: str | None = None, runs: Place = "runs") -> SweepManifest:
    """The sweep of this folder, name, or unique beginning of one, in a folder of runs; the one made last for None.

    Raises AnalysisError where there is no such sweep, or several.
    """
    no_store(runs, "sweeps")
    if is_blank(name):
        raise AnalysisError(blank_message("the name of a sweep", "None is the latest"))
    if name is not None and could_be_path(name) and (Path(name) / "manifest.json").is_file():
        return sweep_at(Path(name))
    known = {path.parent.name: path for path in sorted((given_path(runs) / SWEEPS).glob("*/manifest.json"))}
    if name is None:
        made = dict(_made(known))
        found = max(made, key=lambda own: made[own], default=None)
    else:
        found = _named(name, of_experiment(name, known))
    if found is None:
        named = f"{runs} has no sweep {name or 'that can be read'}; it has {', '.join(known)}"
        raise AnalysisError(named if known else f"there are no sweeps in {runs}")
    return SweepManifest(found, Path(runs), _cells(known[found]))


def sweep_at(folder: Path) -> SweepManifest:
    """The sweep in this folder. Raises AnalysisError."""
    place = Path(os.path.abspath(folder))
    return SweepManifest(place.name, place.parents[1], _cells(place / "manifest.json"))


def all_sweeps(runs: Path) -> list[SweepManifest]:
    """The sweeps beside these runs whose manifest can be read, the latest made last; of the others a warning."""
    found: list[tuple[str, SweepManifest]] = []
    for path in sorted((runs / SWEEPS).glob("*/manifest.json")):
        try:
            record = read_sweep(path)
        except FileNotFoundError:
            continue
        except RecordError as error:
            _log.warning("passed over: %s", error)
            continue
        found.append((record.get("made", ""), SweepManifest(path.parent.name, runs, record["cells"])))
    return [sweep for _, sweep in sorted(found, key=lambda one: one[0])]


def committed_runs(runs: Path) -> dict[str, Path]:
    """{signature: its folder} of cells of these sweeps that are done in a results folder and have no folder here."""
    found: dict[str, Path] = {}
    for path in sorted((runs / SWEEPS).glob("*/manifest.json")):
        try:
            committed = read_sweep(path).get("committed")
        except (FileNotFoundError, RecordError):  # what is wrong with it is told by who needs it
            continue
        if committed:
            folders = {name: Path(committed["folder"], name) for name in committed["cells"]}
            found |= {
                name: folder
                for name, folder in folders.items()
                if is_run_folder(folder) and not is_run_folder(runs / name)
            }
    return found


def table_of(name: str, runs: Path) -> str | None:
    """The table that a sweep of this folder, name, or beginning of one has cells of; None where it is no such sweep."""
    folders = {path.parent.name: path.parent for path in (runs / SWEEPS).glob("*/manifest.json")}
    try:
        found = unique_match(name, of_experiment(name, folders))
        place = Path(name) if found is None else folders[found]
        record = read_sweep(place / "manifest.json")
    except (AmbiguousNameError, OSError, RecordError):  # what is wrong with it is told by who needs it
        return None
    table = record.get("experiment") if record.get("table") else None
    return None if table and table != name and table.startswith(name) else table  # `table1` is no `table10`


def _named(name: str, known: Mapping[str, Path]) -> str | None:
    try:
        return unique_match(name, known)
    except AmbiguousNameError as error:
        raise AnalysisError(str(error)) from error


def _made(known: Mapping[str, Path]) -> Iterator[tuple[str, str]]:
    """(name, when it was made) of the sweeps whose manifest can be read; of all where none can. Others are named."""
    damaged = {}
    for name, path in known.items():
        try:
            yield name, read_sweep(path).get("made", "")
        except (FileNotFoundError, RecordError) as error:
            damaged[name] = str(error)
    for name, reason in damaged.items():
        if len(damaged) == len(known):
            yield name, ""
        else:
            _log.warning("passed over: %s", reason)


def _cells(path: Path) -> list[SweepCell]:
    try:
        return read_sweep(path)["cells"]
    except (FileNotFoundError, RecordError) as error:
        raise AnalysisError(f"{error}; the sweep's command makes it anew") from error
