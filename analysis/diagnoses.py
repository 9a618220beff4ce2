"""The diagnoses of a run, and what they say of its scales over training."""

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path

import numpy as np

from analysis.errors import AnalysisError
from analysis.spectral_bands import BandShares, Numbers, band_shares, brought, centroid, in_common
from lic_exp.evaluation.diagnosis_files import Diagnosis, diagnoses_of, read_diagnosis
from lic_exp.records import RecordError
from lic_exp.saying import say
from lic_exp.tracking.run_folder import RunFolder

SETTLED = 0.1
"""A number has settled where it stays within this part of its last value."""


@dataclass(frozen=True)
class Instant:
    """A diagnosis at one of its rates. step: None of the best weights."""

    step: int | None
    found: Diagnosis
    rate: int

    @cached_property
    def shares(self) -> BandShares:
        """Band by band."""
        return band_shares(self.found, self.rate)

    @cached_property
    def alike(self) -> Numbers:
        """(2 + L, 2 + L), what image and scales have in common (`analysis.spectral_bands.in_common`)."""
        return in_common(self.found.products[self.rate])

    @property
    def common(self) -> Numbers:
        """(1 + L, 1 + L), what every two scales have in common."""
        return self.alike[1:, 1:]

    @property
    def signed(self) -> Numbers:
        """(1 + L,), the part of the image that each scale brings (`analysis.spectral_bands.brought`)."""
        return brought(self.found.products[self.rate])

    @property
    def in_common(self) -> float:
        """Its mean over the pairs of scales from 1 on that both contribute; NaN where there is none."""
        known = [value for pair in pairs(self.found.scales) if not np.isnan(value := self.common[pair])]
        return float(np.mean(known)) if known else float("nan")

    @property
    def quality(self) -> float | None:
        """Of a variable-rate codec."""
        qualities = self.found.about["qualities"]
        return qualities[self.rate] if qualities else None

    @property
    def bpp(self) -> dict[str, float]:
        """Bits per pixel of all that is sent, the mean over images."""
        return dict(zip(self.found.about["sent"], self.found.bpp[self.rate].mean(0).tolist(), strict=True))

    @property
    def scale_bpp(self) -> list[float]:
        """(1 + L,), side information first, 0 where there is none."""
        each = list(self.bpp.values())
        side = len(each) - self.found.scales
        return [sum(each[:side]), *each[side:]]

    @property
    def mse(self) -> Numbers:
        """(1 + L,), of the decodes from 0 to L scales, the mean over images."""
        found: Numbers = self.found.mse[self.rate].mean(0)
        return found

    @property
    def centres(self) -> Numbers:
        """(1 + L,), where the energy of each scale lies, in rho / sqrt 2; NaN of one that contributes nothing."""
        found = centroid(self.shares, np.array(self.found.about["edges"]))
        return np.where(np.isnan(self.common.diagonal()), np.nan, found)


@dataclass(frozen=True)
class DiagnosedRun:
    """A run's diagnoses at one rate. along: of its training, in order of steps. best: of its best weights."""

    label: str
    folder: Path
    along: tuple[Instant, ...]
    best: Instant | None

    @property
    def instants(self) -> tuple[Instant, ...]:
        """What is drawn: those along the training, or that of the best weights where there are none."""
        return self.along or ((self.best,) if self.best else ())

    @property
    def last(self) -> Instant:
        """The best weights', or else the last one."""
        return self.best or self.along[-1]

    @property
    def quality(self) -> float | None:
        """Of a variable-rate codec."""
        return self.last.quality


def pairs(scales: int) -> list[tuple[int, int]]:
    """(l, m) of all scales from 1 to L, l < m."""
    return list(combinations(range(1, scales + 1), 2))


def course_of(folder: Path, label: str, *, quality: float | None = None, images: str = "") -> DiagnosedRun | None:
    """What is kept with a run; None where nothing is.

    quality: None is the middle one. images: what the images are called that the best weights were diagnosed on, ""
    where they are the run's own. A damaged file is passed over, and said. Raises AnalysisError for a quality or images
    that there are none of, and for diagnoses that are not of the same images.
    """
    run = RunFolder(folder)
    found = {step: one for step, path in diagnoses_of(run) if (one := _read(path)) is not None}
    best = _best(run, images)
    if not found and best is None:
        return None
    along = tuple(Instant(step, one, _rate(one, quality, label)) for step, one in found.items())
    if len({tuple(map(tuple, one.about["images"])) for one in found.values()}) > 1:
        raise AnalysisError(f"{label}: its diagnoses are not of the same images: the run went on with others")
    of_best = None if best is None else Instant(None, best, _rate(best, quality, label))
    return DiagnosedRun(label, folder, along, of_best)


def made_course(folder: Path, label: str, *, quality: float | None = None, images: str = "") -> DiagnosedRun:
    """The same; where nothing is kept, the best weights are diagnosed first, by a process of its own.

    Raises AnalysisError also where that is refused.
    """
    if (found := course_of(folder, label, quality=quality, images=images)) is not None:
        return found
    command = ["-m", "lic_exp", "diagnose", str(folder)]
    say(f"{label} has no diagnosis yet: python {' '.join(command)} makes one of its best weights")
    if subprocess.run([sys.executable, *command], stdout=subprocess.DEVNULL, check=False).returncode:
        raise AnalysisError(f"{label} could not be diagnosed, as is said above")
    made = course_of(folder, label, quality=quality)
    assert made is not None
    return made


def unlike(courses: Sequence[DiagnosedRun]) -> list[str]:
    """In what runs differ that are shown side by side, beside their training: images, rates, and how many scales.

    Each is said once of two runs, of their last diagnoses or else of those along their trainings.
    """
    first, *others = courses
    said = []
    for other in others:
        found: dict[str, str] = {}
        for where, a, b in _compared(first, other):
            for what, differ in _differences(a, b).items():
                if differ:
                    found.setdefault(what, f"{differ}{where}")
        said += [f"{what}: {first.label} and {other.label} are not diagnosed alike: {it}" for what, it in found.items()]
    return said


def _compared(one: DiagnosedRun, other: DiagnosedRun) -> Iterator[tuple[str, Instant, Instant]]:
    """What is shown side by side of two runs: their last diagnoses, and those along both trainings at one step."""
    yield "", one.last, other.last
    there = {found.step: found for found in other.along}
    for found in one.along:
        if found.step in there:
            yield " along their trainings", found, there[found.step]


def _differences(a: Instant, b: Instant) -> Mapping[str, str]:
    digests = [sorted(image[3] for image in found.found.about["images"]) for found in (a, b)]
    scales = [found.found.scales for found in (a, b)]
    return {
        "other-images": "not the same images" if digests[0] != digests[1] else "",
        "other-rate": f"quality {a.quality} and {b.quality}" if a.quality != b.quality else "",
        "other-scales": f"{scales[0]} and {scales[1]} scales" if scales[0] != scales[1] else "",
    }


def settled_from(values: Mapping[int, float]) -> int | None:
    """The first step from which on values {step: number} stay within `SETTLED` of the last; None of NaN."""
    steps = sorted(values)
    last = values[steps[-1]]
    since = None
    for step in reversed(steps):
        if not abs(values[step] - last) <= SETTLED * abs(last):
            break
        since = step
    return since


def below_from(values: Mapping[int, float], others: Mapping[int, float]) -> int | None:
    """The first step from which on values {step: number} are below others at all steps of both; None: of none."""
    since = None
    for step in sorted(values.keys() & others.keys(), reverse=True):
        if not values[step] < others[step]:
            break
        since = step
    return since


def common_by_step(course: DiagnosedRun) -> dict[int, float]:
    """{step: `Instant.in_common`} along a training."""
    return {one.step: one.in_common for one in course.along if one.step is not None}


def _read(path: Path) -> Diagnosis | None:
    try:
        return read_diagnosis(path)
    except (RecordError, FileNotFoundError) as error:
        say(f"{error}: passed over")
        return None


def _best(run: RunFolder, images: str) -> Diagnosis | None:
    if not images:
        path = run.diagnosis / "best.npz"
        return _read(path) if path.is_file() else None
    there = {path.stem.removeprefix("best_"): path for path in sorted(run.diagnosis.glob("best_*.npz"))}
    named = [path for name, path in there.items() if images in (name, name.rpartition("-")[0])]
    if len(named) == 1:
        return _read(named[0])
    known = " | ".join(there) or "none but the run's own"
    if named:
        raise AnalysisError(f"{run.signature} has several diagnoses on images called {images}: name one of {known}")
    command = f"python -m lic_exp diagnose {run.root} --data FOLDER"
    raise AnalysisError(f"{run.signature} has no diagnosis on images called {images}; there is {known}. {command}")


def _rate(found: Diagnosis, quality: float | None, label: str) -> int:
    qualities = found.about["qualities"]
    if quality is None:
        return len(found.bpp) // 2
    if quality not in qualities:
        known = f"diagnosed at {', '.join(f'{one:g}' for one in qualities)}" if qualities else "of one rate"
        raise AnalysisError(f"there is no quality {quality:g}: {label} is {known}")
    return qualities.index(quality)
