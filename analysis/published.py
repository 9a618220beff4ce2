"""The published curves that travel with the package, `anchors/DATASET/CODEC.json`: facts with their sources."""

import difflib
from functools import cache
from pathlib import Path

import numpy as np

from analysis.curve_files import Curve, read_curve
from analysis.errors import AnalysisError
from analysis.interpolation import Floats
from lic_exp.evaluation.published import FOLDER, PointsError, names, names_of


def anchors(dataset: str | None = None) -> list[str]:
    """Names of the published curves, "DATASET/CODEC", of all data sets or of one. Raises AnalysisError."""
    try:
        return list(names()) if dataset is None else names_of(dataset)
    except PointsError as error:
        raise AnalysisError(str(error)) from error


def has(name: str) -> bool:
    return name in names()


def path_of(name: str) -> Path:
    return FOLDER / f"{name}.json"


def nearest(name: str) -> list[str]:
    """Published names like `name`, most like first: the codec on other data sets, then other spellings."""
    codec = name.rsplit("/", 1)[-1].removesuffix(".json")
    same = [known for known in names() if known.split("/")[1] == codec]
    return list(dict.fromkeys([*same, *difflib.get_close_matches(name, names(), n=4, cutoff=0.5)]))


def caution_about(rate: Floats, psnr: Floats) -> str | None:
    """What is known against these points (n,) as an anchor, where all are those of a curve that says so of itself."""
    # As near as points stay that were rounded to three and to two decimals.
    for curve in _cautioned():
        near_rate = np.isclose(rate[:, None], curve.bpp, rtol=5e-3, atol=0)
        near_quality = np.isclose(psnr[:, None], curve.quality("psnr"), rtol=0, atol=6e-3)
        if (near_rate & near_quality).any(1).all():
            return f"these are the points of {curve.name}: {curve.about['caution']}"
    return None


@cache
def _cautioned() -> tuple[Curve, ...]:
    marked = [name for name in names() if '"caution"' in path_of(name).read_text()]
    return tuple(read_curve(path_of(name), name=name) for name in marked)
