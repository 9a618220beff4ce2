"""Rate-distortion curves as data: published points, a user's results file, or the evaluations of runs.

Files are in CompressAI's results format, {"name", "description", "results": {"bpp": [..], "psnr": [..], ...}}; the
published ones say more (data set, conventions, source), which a file may leave out.
"""

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from analysis.errors import AnalysisError, CurveError
from analysis.interpolation import Floats

METRICS = {"psnr": "PSNR [dB]", "ms-ssim-db": "MS-SSIM [dB]", "ms-ssim": "MS-SSIM"}
"""Qualities by name, with their axis labels."""

ALIASES: dict[str, str] = {
    "psnr-rgb": "psnr",
    "psnr_rgb_db": "psnr",
    "ms_ssim": "ms-ssim",
    "ms-ssim-rgb": "ms-ssim",
    "ms_ssim_db": "ms-ssim-db",
}
"""Other keys for the same lists that results files of the field use."""

NOT_A_NUMBER: dict[Any, float] = {None: math.nan, "nan": math.nan, "inf": math.inf, "-inf": -math.inf}
"""How JSON files, which have no such numbers, write them."""


@dataclass(frozen=True)
class Curve:
    """Points of one codec on one set of images.

    results: {"bpp": (n,), "psnr": (n,) [dB], "ms-ssim": (n,) in [0, 1], "ms-ssim-db": (n,), ...}, in the file's order.
    about: what else the file says: dataset, optimized_for, conventions, note, caution, source.
    """

    name: str
    results: Mapping[str, tuple[float, ...]]
    description: str = ""
    about: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.results["bpp"])

    @property
    def bpp(self) -> Floats:
        """Rate (n,) [bits per pixel]."""
        return np.array(self.results["bpp"])

    @property
    def metrics(self) -> list[str]:
        """The qualities that the curve has."""
        return [
            name for name in METRICS if name in self.results or (name == "ms-ssim-db" and "ms-ssim" in self.results)
        ]

    def quality(self, metric: str = "psnr") -> Floats:
        """Quality (n,). MS-SSIM in dB is the file's, or -10 log10(1 - MS-SSIM) of its means over images.

        Raises CurveError where the curve has no such quality.
        """
        if metric not in METRICS:
            raise CurveError(f"no metric {metric!r}: it is one of {', '.join(METRICS)}")
        if metric not in self.metrics:
            raise CurveError(f"{self.name} has no {metric}; it has {', '.join(self.metrics) or 'no quality at all'}")
        if metric in self.results:
            return np.array(self.results[metric])
        raw = np.array(self.results["ms-ssim"])
        with np.errstate(divide="ignore"):
            decibels: Floats = -10 * np.log10(1 - raw)
        return decibels

    def to_compressai(self) -> dict[str, Any]:
        """CompressAI's results format, with what else is known beside its three keys."""
        lists = {key: [_json_number(value) for value in values] for key, values in self.results.items()}
        return {"name": self.name, "description": self.description, **self.about, "results": lists}


def load_curve(what: str | Path | Sequence[str | Path]) -> Curve:
    """A published curve by name ("kodak/vtm_18.0"), a results file, a run folder, or a folder of runs.

    A run has the points of its `eval/rd_point.json`, a variable-rate one several. A folder of runs, a sequence, or a
    string with commas between such names is one curve with the points of all its parts. Raises AnalysisError with the
    nearest names.
    """
    from analysis.published import has, nearest, path_of

    if not isinstance(what, str | Path):
        return join([load_curve(part) for part in what])
    if isinstance(what, str) and has(what):
        return read_curve(path_of(what), name=what)
    path = Path(what)
    if path.is_dir():
        return _of_folder(path)
    if path.is_file():
        return read_curve(path)
    if "," in str(what):
        return join([load_curve(part.strip()) for part in str(what).split(",")])
    near = nearest(str(what))
    hint = f"; did you mean {', '.join(near)}?" if near else "; `python -m analysis rd --list` shows the published ones"
    raise AnalysisError(f"{what}: neither a published curve nor a file or folder{hint}")


def read_curve(path: Path, name: str | None = None) -> Curve:
    """The curve in a results file. Raises AnalysisError that names the file and what is wrong in it."""
    try:
        content = json.loads(path.read_text())
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise AnalysisError(f"{path} is not JSON: {error}") from error
    lists: Any = content.get("results", content) if isinstance(content, dict) else None
    if not isinstance(lists, dict) or not isinstance(lists.get("bpp"), list):
        raise AnalysisError(f'{path} is not in CompressAI\'s results format: it has no "results" with a list "bpp"')
    results: dict[str, tuple[float, ...]] = {
        ALIASES.get(key) or key: _numbers(path, key, value) for key, value in lists.items() if _is_list(value)
    }
    counts = {key: len(values) for key, values in results.items()}
    if len(set(counts.values())) > 1:
        raise AnalysisError(f"{path}: lists of different lengths: " + ", ".join(f"{k} {n}" for k, n in counts.items()))
    if any(value > 1 for value in results.get("ms-ssim", ())):
        raise AnalysisError(f'{path}: "ms-ssim" has values above 1: decibels belong under "ms-ssim-db"')
    known = ("dataset", "optimized_for", "conventions", "note", "caution", "origin", "source")
    about = {key: content[key] for key in known if key in content}
    return Curve(name or str(content.get("name") or path.stem), results, str(content.get("description", "")), about)


def join(curves: Sequence[Curve]) -> Curve:
    """One curve with the points of all, in order of rate, and the lists that all have."""
    if not curves:
        raise AnalysisError("no curve to join")
    shared = [key for key in curves[0].results if all(key in curve.results for curve in curves)]
    rows = [row for curve in curves for row in zip(*(curve.results[key] for key in shared), strict=True)]
    rows.sort(key=lambda row: row[shared.index("bpp")])
    about = {
        key: value for key, value in curves[0].about.items() if all(curve.about.get(key) == value for curve in curves)
    }
    results = dict(zip(shared, zip(*rows, strict=True), strict=True))
    return Curve(curves[0].name, results, curves[0].description, about)


def write_curves(path: Path, curves: Sequence[Curve]) -> None:
    """Write CSV (.csv, any number of curves) or CompressAI's format (.json, one curve; no suffix: a folder of them)."""
    if path.suffix == ".csv":
        _make_parent(path)
        with open(path, "w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(_rows(curves))
    elif path.suffix == ".json" and len(curves) == 1:
        _make_parent(path)
        path.write_text(json.dumps(curves[0].to_compressai(), indent=1) + "\n")
    elif path.suffix == "":
        for curve in curves:
            write_curves(path / (curve.name.replace("/", "_") + ".json"), [curve])
    else:
        raise AnalysisError(
            f"{path}: write .csv, or .json for one curve (CompressAI's format holds one per file), or name a folder "
            "to get one .json per curve"
        )


def _rows(curves: Iterable[Curve]) -> list[list[Any]]:
    rows: list[list[Any]] = [["curve", "dataset", "bpp", *METRICS, "source"]]
    for curve in curves:
        source = curve.about.get("source") or {}
        place = " ".join(str(source[key]) for key in ("repo", "file", "commit") if source.get(key))
        qualities = [curve.quality(m).tolist() if m in curve.metrics else [""] * len(curve) for m in METRICS]
        points = zip(curve.bpp.tolist(), *qualities, strict=True)
        rows += [[curve.name, curve.about.get("dataset", ""), *values, place] for values in points]
    return rows


def _of_folder(folder: Path) -> Curve:
    point = folder / "eval" / "rd_point.json"
    if point.is_file():
        return read_curve(point, name=folder.name)
    points = sorted(folder.glob("*/eval/rd_point.json"))
    if not points:
        raise AnalysisError(f"{folder}: neither an evaluated run (eval/rd_point.json) nor a folder of such runs")
    joined = join([read_curve(path) for path in points])
    return Curve(folder.name, joined.results, joined.description, joined.about)


def _is_list(value: Any) -> bool:
    """A list of plain entries; files keep nested lists (of images) beside them, which are not read."""
    return isinstance(value, list) and not any(isinstance(entry, list | dict) for entry in value)


def _numbers(path: Path, key: str, values: list[Any]) -> tuple[float, ...]:
    try:
        return tuple(float(NOT_A_NUMBER.get(value, value)) for value in values)
    except (TypeError, ValueError) as error:
        raise AnalysisError(f"{path}: {key} has an entry that is no number: {error}") from error


def _json_number(value: float) -> float | str | None:
    return value if math.isfinite(value) else None if math.isnan(value) else repr(value)


def _make_parent(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
