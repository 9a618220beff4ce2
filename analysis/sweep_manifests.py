"""Sweeps by the manifests that they left beside the run folders. Imports nothing heavy, as `analysis.run_places`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.errors import AnalysisError
from analysis.run_places import Place, given_path
from lic_exp.naming import AmbiguousNameError, unique_match
from lic_exp.text import blank_message, is_blank
from lic_exp.tracking.run_folder import SWEEPS


@dataclass(frozen=True)
class SweepManifest:
    """cells: of each `signature`, `label`, `role` (the keys that tell it apart); from schema 2 on `evaluation`."""

    name: str
    runs: Path
    cells: list[Mapping[str, Any]]


def find_sweep(name: str | None = None, runs: Place = "runs") -> SweepManifest:
    """The sweep of this name, or unique beginning of one, in a folder of runs; the one made last for None.

    Raises AnalysisError where there is no such sweep, or several.
    """
    if is_blank(name):
        raise AnalysisError(blank_message("the name of a sweep", "None is the latest"))
    known = {path.parent.name: path for path in sorted((given_path(runs) / SWEEPS).glob("*/manifest.json"))}
    if name is None:
        manifests = {own: _read(path) for own, path in known.items()}
        found = max(manifests, key=lambda own: str(manifests[own].get("made", "")), default=None)
    else:
        found = _named(name, known)
    if found is None:
        raise AnalysisError(f"{runs} has no sweep {name or ''}; it has {', '.join(known) or 'none'}")
    return SweepManifest(found, Path(runs), _read(known[found])["cells"])


def _named(name: str, known: Mapping[str, Path]) -> str | None:
    try:
        return unique_match(name, known)
    except AmbiguousNameError as error:
        raise AnalysisError(str(error)) from error


def _read(path: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise AnalysisError(f"{path} cannot be read: {error}; the sweep's command makes it anew") from error
    return manifest
