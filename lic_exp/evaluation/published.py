"""Rate-distortion points in files of CompressAI's results format, and those that were published of other codecs.

The published ones travel with the package `analysis`, `anchors/DATASET/CODEC.json`: facts with their sources. They say
more than the format (data set, conventions, source), which a file may leave out. Imports no torch and no numpy.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from lic_exp.places import PACKAGE

FOLDER = PACKAGE.parent / "analysis" / "anchors"

DATA_SETS = {
    "kodak": "Kodak, 24 images",
    "clic_pro_valid": "CLIC professional valid, 41 images",
    "tecnick": "Tecnick, RGB 1200x1200",
    "clic2022_test": "CLIC 2022 test",
}

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

KNOWN = ("dataset", "optimized_for", "conventions", "note", "caution", "origin", "source")
"""What else a file may say of its points."""


class PointsError(ValueError):
    """A file that holds no points, or a data set of which none are published; the message says what is wrong."""


@dataclass(frozen=True)
class Points:
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


@cache
def names() -> tuple[str, ...]:
    """Of all published points, "DATASET/CODEC"."""
    return tuple(sorted(path.relative_to(FOLDER).with_suffix("").as_posix() for path in FOLDER.glob("*/*.json")))


def names_of(dataset: str) -> list[str]:
    """Of the points published on one data set. Raises PointsError where there is no such."""
    if dataset not in DATA_SETS:
        raise PointsError(f"no data set {dataset!r}: published are {', '.join(DATA_SETS)}")
    return [name for name in names() if name.split("/")[0] == dataset]


def published(name: str) -> Points:
    """The published points of this name."""
    return read_points(FOLDER / f"{name}.json", name)


def read_points(path: Path, name: str | None = None) -> Points:
    """The points in a results file. Raises PointsError that names the file and what is wrong in it."""
    try:
        content = json.loads(path.read_text())
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise PointsError(f"{path} is not JSON: {error}") from error
    lists: Any = content.get("results", content) if isinstance(content, dict) else None
    if not isinstance(lists, dict) or not isinstance(lists.get("bpp"), list):
        raise PointsError(f'{path} is not in CompressAI\'s results format: it has no "results" with a list "bpp"')
    results: dict[str, tuple[float, ...]] = {
        ALIASES.get(key) or key: _numbers(path, key, value) for key, value in lists.items() if _is_list(value)
    }
    counts = {key: len(values) for key, values in results.items()}
    if len(set(counts.values())) > 1:
        raise PointsError(f"{path}: lists of different lengths: " + ", ".join(f"{k} {n}" for k, n in counts.items()))
    if any(value > 1 for value in results.get("ms-ssim", ())):
        raise PointsError(f'{path}: "ms-ssim" has values above 1: decibels belong under "ms-ssim-db"')
    about = {key: content[key] for key in KNOWN if key in content}
    return Points(name or str(content.get("name") or path.stem), results, str(content.get("description", "")), about)


def _is_list(value: Any) -> bool:
    """A list of plain entries; files keep nested lists (of images) beside them, which are not read."""
    return isinstance(value, list) and not any(isinstance(entry, list | dict) for entry in value)


def _numbers(path: Path, key: str, values: list[Any]) -> tuple[float, ...]:
    try:
        return tuple(float(NOT_A_NUMBER.get(value, value)) for value in values)
    except (TypeError, ValueError) as error:
        raise PointsError(f"{path}: {key} has an entry that is no number: {error}") from error
