"""The files of `spectra --out`: figures of each run and of all, and numbers as CSV."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from analysis.diagnoses import DiagnosedRun, Instant
from analysis.out_places import write_out
from analysis.spectral_bands import KINDS
from lic_exp.csv_text import records_text
from lic_exp.plot_style import encoded

SHARES = ("overlap", "energy", "signed", "strength", "error")

WRITTEN = (".png", ".svg")


def write_courses(folder: Path, courses: Sequence[DiagnosedRun]) -> None:
    """Write into a folder what there is of these runs; of several each has a folder of its own below, by signature.

    Of runs of one signature in several folders the second has `-2` behind it, and so on.
    """
    from analysis.spectral_plots import common_figure, figures_of

    written = Counter[str]()
    for course in courses:
        below = signature = course.folder.name
        written[signature] += 1
        if written[signature] > 1:
            below = f"{signature}-{written[signature]}"
        place = folder if len(courses) == 1 else folder / below
        for name, figure in figures_of(course).items():
            for suffix in WRITTEN:
                write_out(place / f"{name}{suffix}", encoded(figure, suffix))
        for name, rows in (("scales", scale_records), ("bands", band_records), ("pairs", pair_records)):
            write_out(place / f"{name}.csv", records_text([row for one in _all(course) for row in rows(one)]))
    if len(courses) > 1 and all(len(course.along) > 1 for course in courses):
        for suffix in WRITTEN:
            write_out(folder / f"in_common{suffix}", encoded(common_figure(courses), suffix))


def scale_records(one: Instant) -> Iterator[dict[str, Any]]:
    """A row per scale, 0 to L, as `analysis.spectral_text.COLUMNS`; blank is what is not known."""
    like = one.alike[0, 1:]
    for scale in range(one.found.scales + 1):
        guess = one.found.foretold[one.rate, scale - 1] if 0 < scale < one.found.scales else np.nan
        yield _moment(one) | {
            "scale": scale,
            "bpp": one.scale_bpp[scale],
            "mse": one.mse[scale],
            "centre": _known(one.centres[scale]),
            "signed": _known(one.signed[scale]),
            "like_image": _known(like[scale]),
            "foretold_by_next": _known(guess),
        }


def band_records(one: Instant) -> Iterator[dict[str, Any]]:
    """A row per scale, kind and band: `analysis.spectral_bands.BandShares`."""
    edges = one.found.about["edges"]
    for scale in range(one.found.scales + 1):
        for kind, name in enumerate(KINDS):
            for band, (low, high) in enumerate(pairwise(edges)):
                shares = {key: _known(getattr(one.shares, key)[scale, kind, band]) for key in SHARES}
                yield _moment(one) | {"scale": scale, "kind": name, "from": low, "to": high} | shares


def pair_records(one: Instant) -> Iterator[dict[str, Any]]:
    """A row per pair of scales, kind and band, with the cosine; and one of all bands, in common."""
    edges = one.found.about["edges"]
    for scale in range(one.found.scales + 1):
        for other in range(scale + 1, one.found.scales + 1):
            pair = _moment(one) | {"scale": scale, "other": other}
            yield pair | {"kind": "all", "from": 0.0, "to": 1.0, "cosine": _known(one.common[scale, other])}
            for kind, name in enumerate(KINDS):
                for band, (low, high) in enumerate(pairwise(edges)):
                    cosine = _known(one.shares.cosine[scale, other, kind, band])
                    yield pair | {"kind": name, "from": low, "to": high, "cosine": cosine}


def _all(course: DiagnosedRun) -> list[Instant]:
    return [*course.along, *([course.best] if course.best else [])]


def _moment(one: Instant) -> dict[str, Any]:
    return {"step": "best" if one.step is None else one.step, "quality": one.quality}


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
