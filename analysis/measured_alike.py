"""Whether two curves measure the same: the same images, colours, rates and averages, of codecs trained for the same.

Each difference has a name, as the findings of `analysis.bd_checks` have; docs/bd_rate.md lists them.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import PurePath
from typing import Any

from analysis.curve_metrics import RAW_OF, USUAL, qualities_in
from lic_exp.evaluation.published import DATA_SETS, FOLDER, Points
from lic_exp.text import shortened, visible

COMPARED = {
    "rate": ("other-rate", "how bits were counted"),
    "container": ("other-container", "whether the rate holds the bytes of a file around the strings"),
    "rounding": ("other-rounding", "to what pictures were rounded"),
    "averaging": ("other-averaging", "how images were averaged"),
    "weights": ("other-weights", "which weights were evaluated"),
    "pixels": ("other-pixels", "over which pixels the rate is taken"),
}
"""Conventions of any quality: the name of their difference, and what they say."""

SAID = ("images", "dataset", "optimized_for", "conventions")
"""What a curve says of itself by which it is told from others."""

LONGEST = 100

UNKNOWN = (None, "", "not stated", "unknown")

KNOWN_SETS = FOLDER / "image_sets.json"
"""Data sets whose pixels are public knowledge: {name of a published data set: `lic_exp.image_identity.identity`}."""


@dataclass(frozen=True)
class ImageSet:
    """Which images a curve is of, as far as it says so. pixels: {name: digest}; sizes: {"width x height": how many}."""

    name: str
    number: int | None = None
    fingerprint: str | None = None
    sizes: Mapping[str, int] = field(default_factory=dict)
    pixels: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        sizes = list(self.sizes)
        of = f", {' and '.join(sizes)}" if 0 < len(sizes) <= 2 else f" of {len(sizes)} sizes" if sizes else ""
        images = "image" if self.number == 1 else "images"
        return f"{self.name} ({self.number} {images}{of})" if self.number else self.name


@dataclass(frozen=True)
class Unlike:
    """One thing in which two curves are unlike. name: as flags have it; text: both sides of it."""

    name: str
    text: str

    def __str__(self) -> str:
        return f"{self.name}: {self.text}"


def images_of(curve: Points) -> ImageSet | None:
    """Which images a curve is of; None where it says nothing of them."""
    dataset, stated = curve.about.get("dataset"), curve.about.get("images")
    name = _shown(dataset) if isinstance(dataset, str) and dataset else None
    if isinstance(stated, Mapping):
        found = _stated(stated, name)
        return ImageSet(_public_name(found) or found.name, found.number, found.fingerprint, found.sizes, found.pixels)
    if name is None:
        return None
    return _public().get(name.lower()) or ImageSet(name, _counted(name))


def _stated(said: Mapping[str, Any], dataset: str | None) -> ImageSet:
    """What a file says, as far as it is of the right kind."""
    name, number, digits = said.get("name") or dataset, said.get("number"), said.get("fingerprint")
    sizes, pixels = said.get("sizes"), said.get("pixels")
    return ImageSet(
        _shown(name) if isinstance(name, str) and name else "images without a name",
        number if isinstance(number, int) and number > 0 else None,
        digits if isinstance(digits, str) and digits else None,
        {_shown(str(k)): v for k, v in sizes.items() if isinstance(v, int)} if isinstance(sizes, Mapping) else {},
        {str(k): v for k, v in pixels.items() if isinstance(v, str)} if isinstance(pixels, Mapping) else {},
    )


@cache
def _public() -> dict[str, ImageSet]:
    content: dict[str, Any] = json.loads(KNOWN_SETS.read_text(encoding="utf-8"))
    return {name: _stated(said, name) for name, said in content.items()}


def _public_name(found: ImageSet) -> str | None:
    """What a data set is called that is known by its pixels, whatever its folder is called."""
    known = {public.fingerprint: name for name, public in _public().items() if public.fingerprint}
    return known.get(found.fingerprint) if found.fingerprint else None


def _counted(dataset: str) -> int | None:
    """How many images a published data set has by its description."""
    found = re.search(r"(\d+) images", DATA_SETS.get(dataset, ""))
    return int(found[1]) if found else None


def unlike(anchor: Points, test: Points, metric: str | None = None) -> Iterator[Unlike]:
    """In what two curves are unlike, the images first. metric: the quality that is compared; None: all they share."""
    yield from images_apart(anchor, test)
    yield from measured_otherwise(anchor, test, metric)


def measured_otherwise(anchor: Points, test: Points, metric: str | None = None) -> Iterator[Unlike]:
    """The same but for the images: in what they were trained for, and in how rate and quality were taken."""
    goals = [curve.about.get("optimized_for") for curve in (anchor, test)]
    both = [curve.name for curve, goal in zip((anchor, test), goals, strict=True) if goal == "ms-ssim"]
    if metric == "psnr" and both:
        yield Unlike(OBJECTIVE, f"{' and '.join(both)} was optimised for MS-SSIM and is compared in PSNR")
    elif all(goals) and goals[0] != goals[1]:
        yield Unlike(OBJECTIVE, _sides(anchor, f"was optimised for {goals[0]}", test, f"for {goals[1]}"))
    for key, (name, what) in COMPARED.items():
        yield from _convention(anchor, test, key, name, what)
    compared = (
        [metric] if metric else dict.fromkeys([*USUAL, *(key for key in _metrics(anchor) if key in _metrics(test))])
    )
    yield from dict.fromkeys(found for key in compared for found in _quality(anchor, test, key))


OBJECTIVE, UNKNOWN_IMAGES = "other-objective", "unknown-images"
"""Names that others ask for. What is not recorded is no difference, and no likeness either."""


def _metrics(curve: Points) -> list[str]:
    return qualities_in(curve.results)


def _convention(anchor: Points, test: Points, key: str, name: str, what: str) -> Iterator[Unlike]:
    ours, theirs = (_conventions(curve).get(key) for curve in (anchor, test))
    if ours not in UNKNOWN and theirs not in UNKNOWN and ours != theirs:
        yield Unlike(name, f"{what}: {_sides(anchor, str(ours), test, str(theirs))}")


def _conventions(curve: Points) -> Mapping[str, Any]:
    said = curve.about.get("conventions")
    return said if isinstance(said, Mapping) else {}


def _quality(anchor: Points, test: Points, metric: str) -> Iterator[Unlike]:
    """How a quality was measured; of one in dB also whether that of every image, or of the mean."""
    raw = RAW_OF.get(metric)
    if raw is not None:
        kinds = ["in dB at its source" if metric in c.results else f"the dB of its mean {raw}" for c in (anchor, test)]
        if all({raw, metric} & set(c.results) for c in (anchor, test)) and kinds[0] != kinds[1]:
            yield Unlike("other-averaging", f"{metric} is {_sides(anchor, kinds[0], test, kinds[1])}")
        yield from _convention(anchor, test, raw, f"other-{raw}", raw)
    yield from _convention(anchor, test, metric, "other-colours" if metric == "psnr" else f"other-{metric}", metric)


def _sides(anchor: Points, ours: str, test: Points, theirs: str) -> str:
    return f"{anchor.name}: {_shown(ours)}; {test.name}: {_shown(theirs)}"


def _shown(text: str) -> str:
    """What a file says of itself, as a message may hold it."""
    return shortened(visible(text), LONGEST)


def images_apart(anchor: Points, test: Points) -> Iterator[Unlike]:
    """In what the images are unlike that two curves are of, or that it is not known."""
    ours, theirs = images_of(anchor), images_of(test)
    if ours is None or theirs is None:
        silent = [curve.name for curve, images in ((anchor, ours), (test, theirs)) if images is None]
        verb = "does not say" if len(silent) == 1 else "do not say"
        yield Unlike(UNKNOWN_IMAGES, f"{' and '.join(silent)} {verb} of which images it is")
        return
    if ours.fingerprint and theirs.fingerprint:
        if ours.fingerprint != theirs.fingerprint:
            yield _told_apart(ours, theirs)
        return
    if {ours.name, theirs.name} <= set(DATA_SETS) and ours.name != theirs.name:
        yield Unlike("other-data-set", f"anchor {ours.name}, test {theirs.name}")
    elif _are_others(ours, theirs):
        yield Unlike("other-data-set", f"anchor {ours}, test {theirs}")
    elif not (_names_a_set(anchor) and _names_a_set(test)) and (_is_measured(ours) or _is_measured(theirs)):
        yield Unlike(UNKNOWN_IMAGES, f"anchor {ours}, test {theirs}: whether these are the same is not recorded")


def _are_others(ours: ImageSet, theirs: ImageSet) -> bool:
    """Whether numbers or sizes say so; or names, where nothing is known of either but what it is called."""
    if ours.number and theirs.number and ours.number != theirs.number:
        return True
    if ours.sizes and theirs.sizes:
        return ours.sizes != theirs.sizes
    return not _is_measured(ours) and not _is_measured(theirs) and ours.name != theirs.name


def _names_a_set(curve: Points) -> bool:
    """Whether a curve names a published set and says nothing else: what a folder is called proves nothing of itself."""
    found = images_of(curve)
    return found is not None and found.name in DATA_SETS and not isinstance(curve.about.get("images"), Mapping)


def _is_measured(images: ImageSet) -> bool:
    return bool(images.fingerprint or images.sizes)


def _told_apart(ours: ImageSet, theirs: ImageSet) -> Unlike:
    """How two sets of known pixels differ: in number, in what was cut of the same photos, or altogether."""
    mine, others = set(ours.pixels.values()), set(theirs.pixels.values())
    both = f"anchor {ours}, test {theirs}"
    if mine and others and (mine <= others or others <= mine):
        return Unlike("fewer-images", f"{both}, of which {len(mine & others)} are the same")
    if shared := mine & others:
        return Unlike("other-data-set", f"{both}; {len(shared)} images are in both")
    first, second = ({PurePath(name).stem for name in images.pixels} for images in (ours, theirs))
    if first and second and (first <= second or second <= first):
        if ours.sizes != theirs.sizes:
            return Unlike("other-crop", f"{both}: images of the same names, cut or scaled otherwise")
        return Unlike("other-data-set", f"{both}: images of the same names and sizes with other pixels")
    return Unlike("other-data-set", both)
