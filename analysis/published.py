"""The published curves that travel with the package, `anchors/DATASET/CODEC.json`: facts with their sources."""

import difflib
from functools import cache
from pathlib import Path

import numpy as np

from analysis.curves import Curve, read_curve
from analysis.errors import AnalysisError
from analysis.interpolation import Floats

FOLDER = Path(__file__).parent / "anchors"

DATA_SETS = {
    "kodak": "Kodak, 24 images",
    "clic_pro_valid": "CLIC professional valid, 41 images",
    "tecnick": "Tecnick, RGB 1200x1200",
    "clic2022_test": "CLIC 2022 test",
}


def anchors(dataset: str | None = None) -> list[str]:
    """Names of the published curves, "DATASET/CODEC", of all data sets or of one. Raises AnalysisError."""
    if dataset is not None and dataset not in DATA_SETS:
        raise AnalysisError(f"no data set {dataset!r}: published are {', '.join(DATA_SETS)}")
    return [name for name in _names() if dataset in (None, name.split("/")[0])]


def has(name: str) -> bool:
    return name in _names()


def path_of(name: str) -> Path:
    return FOLDER / f"{name}.json"


def nearest(name: str) -> list[str]:
    """Published names like `name`, most like first: the codec on other data sets, then other spellings."""
    codec = name.rsplit("/", 1)[-1].removesuffix(".json")
    same = [known for known in _names() if known.split("/")[1] == codec]
    return list(dict.fromkeys([*same, *difflib.get_close_matches(name, _names(), n=4, cutoff=0.5)]))


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
def _names() -> tuple[str, ...]:
    return tuple(sorted(path.relative_to(FOLDER).with_suffix("").as_posix() for path in FOLDER.glob("*/*.json")))


@cache
def _cautioned() -> tuple[Curve, ...]:
    marked = [name for name in _names() if '"caution"' in path_of(name).read_text()]
    return tuple(read_curve(path_of(name), name=name) for name in marked)
