"""Rate-distortion points in files of CompressAI's results format, and those that were published of other codecs.

The published ones travel with the package `analysis`, `anchors/DATASET/CODEC.json`: facts with their sources. They say
more than the format (data set, conventions, source), which a file may leave out. Imports no torch and no numpy.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from lic_exp.file_kinds import HEAD_BYTES, no_text
from lic_exp.places import PACKAGE
from lic_exp.records import RecordError, read_file
from lic_exp.text import shortened, visible

FOLDER = PACKAGE.parent / "analysis" / "anchors"

DATA_SETS = {
    "kodak": "Kodak, 24 images",
    "clic_pro_valid": "CLIC professional valid, 41 images",
    "tecnick": "Tecnick, RGB 1200x1200",
    "clic2022_test": "CLIC 2022 test",
}

SPELLINGS: dict[str, tuple[str, ...]] = {
    "bpp": ("bpp", "bit-rate", "bitrate", "bits-per-pixel"),
    "psnr": ("psnr", "psnr-db", "psnr-rgb", "psnr-rgb-db"),
    "ms-ssim": ("ms-ssim", "ms-ssim-rgb"),
    "ms-ssim-db": ("ms-ssim-db", "ms-ssim-rgb-db"),
    "psnr-y": ("psnr-y", "psnr-y-db"),
    "ms-ssim-y": ("ms-ssim-y",),
    "ms-ssim-y-db": ("ms-ssim-y-db",),
    "psnr-hvs-m": ("psnr-hvs-m", "psnr-hvsm", "psnr-hvs-m-db"),
}
"""What is measured, and the keys that results files of the field have for it, in either case, with _ or -."""

MEASURES = {spelling: measure for measure, spellings in SPELLINGS.items() for spelling in spellings}

MOST_BYTES = 64 * 2**20

SENSIBLE = (1e-9, 1e9)
"""Within which a rate or a quality is, but for 0, whatever its sign: what is beyond overflows where it is fitted."""

LONGEST_NAME = 100
"""Of a curve, in characters; a table or a plot has room for no more."""

MOST_POINTS = 10_000
"""A curve has one point per rate; so many are a list of something else, which no table could show."""

NOT_A_NUMBER: dict[Any, float] = {None: math.nan, "nan": math.nan, "inf": math.inf, "-inf": -math.inf}
"""How JSON files, which have no such numbers, write them."""

OF_RUNS = ("steps", "chosen", "seeds")
"""What `python -m analysis rd` writes of runs beside that: how long, on which seeds, how many images validated."""

KNOWN = ("dataset", "images", "optimized_for", "conventions", "note", "caution", "origin", "source", *OF_RUNS)
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
    """The points in a results file. Raises PointsError that names the file and what is wrong in it.

    Lists that are no measure are kept where they are numbers, one per point, and passed over where they are not.
    """
    content = _content(path)
    lists: Any = content.get("results", content) if isinstance(content, dict) else None
    by_measure: dict[str, dict[str, tuple[float, ...]]] = {}
    others: dict[str, list[Any]] = {}
    for key, value in lists.items() if isinstance(lists, dict) else ():
        measure = MEASURES.get(key.strip().lower().replace("_", "-"))
        if measure is not None and _is_list(value):
            by_measure.setdefault(measure, {})[key] = _numbers(path, key, value)
        elif _is_list(value):
            others[key] = value
    if "bpp" not in by_measure:
        raise PointsError(f'{path} is not in CompressAI\'s results format: it has no "results" with a list "bpp"')
    results = {measure: _one_of(path, measure, spelled) for measure, spelled in by_measure.items()}
    counts = {key: len(values) for key, values in results.items()}
    if len(set(counts.values())) > 1:
        raise PointsError(f"{path}: lists of different lengths: " + ", ".join(f"{k} {n}" for k, n in counts.items()))
    if not 0 < counts["bpp"] <= MOST_POINTS:
        raise PointsError(f"{path} has {counts['bpp'] or 'no'} points; a curve has one per rate, {MOST_POINTS} at most")
    for key, values in results.items():
        if odd := [v for v in values if v and math.isfinite(v) and not SENSIBLE[0] <= abs(v) <= SENSIBLE[1]]:
            raise PointsError(f"{path}: {key} has the value {odd[0]:g}, which is none that was measured")
    for raw in ("ms-ssim", "ms-ssim-y"):
        if any(value > 1 for value in results.get(raw, ())):
            raise PointsError(f'{path}: "{raw}" has values above 1: decibels belong under "{raw}-db"')
    results |= dict(_other_numbers(others, counts["bpp"]))
    about = {key: content[key] for key in KNOWN if key in content}
    if not isinstance(about.get("images", {}), dict):  # other people's lists of them
        del about["images"]
    given = content.get("name")
    name = name or (given if isinstance(given, str) and given.strip() else path.stem)
    return Points(shortened(visible(name), LONGEST_NAME), results, str(content.get("description", "")), about)


def _content(path: Path) -> Any:
    data = b""
    try:
        data = read_file(path, MOST_BYTES)
        return json.loads(data.decode("utf-8-sig"), object_pairs_hook=_unique)
    except OSError as error:
        raise PointsError(f"{path} cannot be read: {error.strerror}") from error
    except RecordError as error:
        raise PointsError(str(error)) from error
    except RecursionError as error:
        raise PointsError(f"{path} is nested too deep to be a results file") from error
    except _TwiceError as error:
        raise PointsError(f"{path}: {error}") from error
    except ValueError as error:  # also of a number with thousands of digits
        words = no_text(data[:HEAD_BYTES]) or f"is not JSON: {str(error).partition(';')[0]}"
        raise PointsError(f"{path} {words}") from error


class _TwiceError(ValueError):
    """A key that stands twice in one object, which JSON's readers answer with the last."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found and found[key] != value:
            raise _TwiceError(f"{json.dumps(key)} stands there twice, with other values: leave one out")
        found[key] = value
    return found


def _one_of(path: Path, measure: str, spelled: Mapping[str, tuple[float, ...]]) -> tuple[float, ...]:
    """The list of a measure that may stand there under several spellings. Raises PointsError where they differ."""
    (first, values), *more = spelled.items()
    for key, others in more:
        if repr(others) != repr(values):  # so that a list with NaN is itself
            both = f"{json.dumps(first)} and {json.dumps(key)}"
            raise PointsError(f"{path}: {both} both are {measure}, with other numbers: leave one out")
    return values


def _other_numbers(lists: Mapping[str, list[Any]], count: int) -> Iterator[tuple[str, tuple[float, ...]]]:
    """Those of the lists that are numbers, one per point."""
    for key, values in lists.items():
        try:
            numbers = tuple(map(_number, values))
        except (TypeError, ValueError, OverflowError):
            continue
        if len(numbers) == count:
            yield key, numbers


def _is_list(value: Any) -> bool:
    """A list of plain entries; files keep nested lists (of images) beside them, which are not read."""
    return isinstance(value, list) and not any(isinstance(entry, list | dict) for entry in value)


def _numbers(path: Path, key: str, values: list[Any]) -> tuple[float, ...]:
    try:
        return tuple(map(_number, values))
    except OverflowError as error:
        raise PointsError(f"{path}: {key} has an entry of more than 300 digits") from error
    except (TypeError, ValueError) as error:
        raise PointsError(f"{path}: {key} has an entry that is no number: {shortened(str(error), 80)}") from error


def _number(value: Any) -> float:
    """Raises TypeError, ValueError or OverflowError where it is none."""
    if isinstance(value, bool):
        raise TypeError(f"it is {json.dumps(value)}")
    return float(NOT_A_NUMBER.get(value, value))
