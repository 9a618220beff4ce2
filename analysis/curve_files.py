"""Rate-distortion curves as data, and the files that hold them.

Files are in CompressAI's results format, {"name", "description", "results": {"bpp": [..], "psnr": [..], ...}}; the
published ones say more (data set, conventions, source), which a file may leave out.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from analysis.curve_metrics import METRICS, OF_A_FUNCTION, RAW_OF, USUAL, qualities_in
from analysis.errors import AnalysisError, CurveError
from analysis.interpolation import Floats
from analysis.made_by import Maker, flags
from analysis.measured_alike import SAID, UNKNOWN_IMAGES, images_of, unlike
from analysis.out_places import write_out
from lic_exp.csv_text import csv_text
from lic_exp.evaluation.published import Points, PointsError, read_points
from lic_exp.json_text import json_text
from lic_exp.naming import UniqueNames, file_name

MADE_BY, NOTES, SEEDS, OF_RUNS = "made_by", "notes", "by_seed", "of_runs"
"""Keys of `Curve.about` for what `Curve.made_by`, `notes`, `by_seed` and `of_runs` say: of runs, not of files."""

STEPS, CHOSEN, SEEDED = "steps", "chosen", "seeds"
"""Of runs too: how many steps each had, (n, ...) in rising order; how many of the images validated; of which seeds."""

BITS_OF_A_PIXEL = 24
"""Above which a rate is hardly one per pixel: files of video codecs have kilobits per second under the same keys."""

KEPT, MOST_KEPT = (STEPS, CHOSEN, SEEDED), 1000
"""Those of them that files have too, lists of no more than so many."""

NAMES = "names"
"""Key of `about["images"]` where no pixels are known: what the images are called."""

TRAINED, SIDE_BY_SIDE = "trained", "side_by_side"
"""Of runs: the config of the first of them, and what named all of them at once, whose labels tell them apart."""

OF_A_RUN = (MADE_BY, NOTES, SEEDS, OF_RUNS, STEPS, CHOSEN, SEEDED, TRAINED, SIDE_BY_SIDE)


class Curve(Points):
    """Points of one codec on one set of images, with what tables and comparisons ask of them."""

    @property
    def bpp(self) -> Floats:
        """Rate (n,) [bits per pixel]."""
        return np.array(self.results["bpp"])

    @property
    def made_by(self) -> list[Maker]:
        """Which code made the runs that its points are of; [] of points from a file."""
        return list(self.about.get(MADE_BY, ()))

    @property
    def notes(self) -> list[str]:
        """What is to be known of the curve alone, "name: text": runs that are missing, decoders that disagree."""
        return list(self.about.get(NOTES, ()))

    def said(self, note: str) -> str:
        """A note beside other curves: it says of which it is."""
        return note if self.name in note else f"{note} ({self.name})"

    @property
    def by_seed(self) -> "dict[int, Curve]":
        """{seed: its curve} of a curve that is the mean over seeds; {} of any other."""
        return dict(self.about.get(SEEDS, {}))

    @property
    def of_runs(self) -> "list[Path]":
        """The folders of evaluations that its points are of, one per training and seed; [] of points from a file."""
        return list(self.about.get(OF_RUNS, ()))

    @property
    def metrics(self) -> list[str]:
        """The qualities that the curve has."""
        return qualities_in(self.results)

    def quality(self, metric: str = "psnr") -> Floats:
        """Quality (n,). MS-SSIM in dB, of RGB or Y, is the file's, or -10 log10(1 - MS-SSIM) of its means over images.

        Raises CurveError where the curve has no such quality.
        """
        if metric not in METRICS and OF_A_FUNCTION not in metric:
            raise CurveError(f"no metric {metric!r}: it is one of {', '.join(METRICS)}, or package.module:function")
        if metric not in self.metrics:
            raise CurveError(f"{self.name} has no {metric}; it has {', '.join(self.metrics) or 'no quality at all'}")
        if metric in self.results:
            return np.array(self.results[metric])
        raw = np.array(self.results[RAW_OF[metric]])
        with np.errstate(divide="ignore"):
            decibels: Floats = -10 * np.log10(1 - raw)
        return decibels

    def to_compressai(self) -> dict[str, Any]:
        """CompressAI's results format, with what else is known beside its three keys."""
        lists = {key: [_json_number(value) for value in values] for key, values in self.results.items()}
        about = {key: value for key, value in self.about.items() if key not in OF_A_RUN or key in KEPT}
        told = [f"when this was written, {text}" for text in [*flags(self.made_by), *self.notes]]
        if told:
            about["caution"] = "; ".join([about["caution"], *told] if "caution" in about else told)
        return {"name": self.name, "description": self.description, **about, "results": lists}


def read_curve(path: Path, name: str | None = None) -> Curve:
    """The curve in a results file. Raises AnalysisError that names the file and what is wrong in it."""
    try:
        points = read_points(path, name)
    except PointsError as error:
        raise AnalysisError(str(error)) from error
    about = {key: value for key, value in points.about.items() if key not in KEPT}
    about |= {key: kept for key in KEPT if (kept := _kept(key, points.about.get(key)))}
    highest = max(filter(math.isfinite, points.results["bpp"]), default=0.0)
    if highest > BITS_OF_A_PIXEL:
        said = f"its rates go up to {highest:g}, and a pixel of 8-bit RGB has {BITS_OF_A_PIXEL} bits"
        about[NOTES] = (f"not-per-pixel: {points.name}: {said}: are they bits per pixel?",)
    return Curve(points.name, points.results, points.description, about)


def _kept(key: str, value: Any) -> Any:
    """What a file says under one of KEPT, as curves of runs have it; None where it is no such thing."""
    numbers = [value] if key == CHOSEN else value
    if not isinstance(numbers, list) or not all(type(number) is int and 0 <= number < 2**63 for number in numbers):
        return None
    return value if key == CHOSEN else tuple(numbers[:MOST_KEPT])


def join(curves: Sequence[Curve]) -> Curve:
    """One curve with the points of all, in order of rate, and the lists that all have.

    Raises AnalysisError where they are of different images or conventions: that is no curve.
    """
    if not curves:
        raise AnalysisError("no curve to join")
    first = curves[0]
    notes = [note for curve in curves for note in curve.notes]
    notes += [text for text in together(curves, "are not of one curve") if text not in notes]
    shared = [key for key in first.results if all(key in curve.results for curve in curves)]
    left = [metric for metric in METRICS if any(metric in curve.metrics for curve in curves) and metric not in shared]
    notes += [f"left-out: {', '.join(left)}, which not all of its points have"] if "ms-ssim" in left else []
    rows = [row for curve in curves for row in zip(*(curve.results[key] for key in shared), strict=True)]
    rows.sort(key=lambda row: row[shared.index("bpp")])
    about = {key: value for key, value in first.about.items() if all(curve.about.get(key) == value for curve in curves)}
    about = {key: value for key, value in about.items() if key not in OF_A_RUN}
    if all("images" in curve.about for curve in curves):  # the same ones, whatever each calls them
        about |= shared_images(curves)
    made_by = {made.signature: made for curve in curves for made in curve.made_by}
    about |= {MADE_BY: tuple(made_by.values())} if made_by else {}
    about |= {NOTES: tuple(dict.fromkeys(notes))} if notes else {}
    if all(curve.of_runs for curve in curves):
        about |= {OF_RUNS: tuple(folder for curve in curves for folder in curve.of_runs)}
    about |= {key: told for key in (STEPS, CHOSEN, SEEDED) if (told := _of_all(key, curves))}
    results = dict(zip(shared, zip(*rows, strict=True), strict=True))
    return Curve(first.name, results, first.description, about)


def together(curves: Sequence[Curve], refusal: str) -> list[str]:
    """What is not known of these curves, whose points become those of one; each name of a thing once.

    refusal: what two unlike ones are not. Raises AnalysisError with it where they differ in what is known.
    """
    notes: dict[str, str] = {}
    kinds = {repr([curve.about.get(key) for key in SAID] + list(curve.results)): curve for curve in curves}
    pairs = list(combinations(kinds.values(), 2))
    if not pairs and curves[1:] and (images := images_of(curves[0])) and images.sizes and not images.fingerprint:
        pairs = [(curves[0], curves[1])]  # as like as the rest
    for one, other in pairs:
        for found in unlike(one, other):
            if found.name != UNKNOWN_IMAGES:
                raise AnalysisError(f"{one.name} and {other.name} {refusal}: {found}")
            if images_of(one) or images_of(other):
                notes.setdefault(found.name, str(found))
    return list(notes.values())


def shared_images(curves: Sequence[Curve]) -> dict[str, Any]:
    """{"images": which ones}, as the first says, but for names that others do not have; {} where it does not say."""
    said = curves[0].about.get("images")
    if isinstance(said, dict) and any(curve.about.get("images") != said for curve in curves):
        return {"images": {key: value for key, value in said.items() if key != NAMES}}
    return {} if said is None else {"images": said}


def _of_all(key: str, curves: Sequence[Curve]) -> Any:
    """What several runs say under one of these keys, together."""
    said = [curve.about[key] for curve in curves if curve.about.get(key)]
    return max(said, default=0) if key == CHOSEN else tuple(sorted({one for some in said for one in some}, key=repr))


def told_apart(curves: Sequence[Curve]) -> list[Curve]:
    """The curves, of those with one name all but the first numbered: in a table or a file they would be one curve."""
    names = UniqueNames(str, ignoring_case=False)
    return [replace(curve, name=names.of(curve.name)) for curve in curves]


def write_curves(path: Path, curves: Sequence[Curve]) -> None:
    """Write CSV (.csv, any number of curves) or CompressAI's format (.json, one curve; no suffix: a folder of them).

    Curves of one name are `told_apart`, and so are the files of names that differ in what no file's name may have.
    """
    if path.suffix == ".csv":
        write_out(path, csv_text(_rows(told_apart(curves))))
    elif path.suffix == ".json" and len(curves) == 1:
        write_out(path, json_text(curves[0].to_compressai(), indent=1) + "\n")
    elif path.suffix == "":
        files = UniqueNames(lambda name: file_name(name, 150, otherwise="curve"))
        for curve in told_apart(curves):
            write_curves(path / f"{files.of(curve.name)}.json", [curve])
    else:
        raise AnalysisError(
            f"--out={path}: write .csv, or .json for one curve (CompressAI's format holds one per file), or name a "
            "folder to get one .json per curve"
        )


def columns_of(curves: Sequence[Curve]) -> list[str]:
    """The qualities that a table of these curves has columns for: the usual ones, and what else one of them has."""
    return list(dict.fromkeys([*USUAL, *(metric for curve in curves for metric in curve.metrics)]))


def _rows(curves: Iterable[Curve]) -> list[list[Any]]:
    curves = list(curves)
    metrics = columns_of(curves)
    told = [key for key in KEPT if any(curve.about.get(key) for curve in curves)]
    rows: list[list[Any]] = [["curve", "dataset", "bpp", *metrics, *told, "source"]]
    for curve in curves:
        stated = curve.about.get("source")
        source = stated if isinstance(stated, dict) else {}
        place = " ".join(str(source[key]) for key in ("repo", "file", "commit", "version") if source.get(key))
        place = "; ".join(filter(None, [place, *flags(curve.made_by), *curve.notes]))
        qualities = [curve.quality(m).tolist() if m in curve.metrics else [""] * len(curve) for m in metrics]
        points = zip(curve.bpp.tolist(), *qualities, strict=True)
        runs = [_listed(curve.about.get(key, "")) for key in told]
        rows += [[curve.name, _dataset(curve), *values, *runs, place] for values in points]
    return rows


def _dataset(curve: Curve) -> str:
    """What its images are called, of points from a file or of runs; "" where nothing says which they are."""
    found = images_of(curve)
    return str(curve.about.get("dataset") or (found.name if found else ""))


def _listed(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def _json_number(value: float) -> float | str | None:
    return value if math.isfinite(value) else None if math.isnan(value) else repr(value)
