"""In what evaluations of runs that stand in one table are unlike, as two curves would be: the same names say it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

from analysis.image_points import Images, distinct_sets
from analysis.measured_alike import UNKNOWN_IMAGES, Unlike, images_apart, measured_otherwise, unlike
from lic_exp.evaluation.published import Points
from lic_exp.image_identity import Pictured, identity

if TYPE_CHECKING:
    from analysis.curve_files import Curve
    from analysis.runs import Runs


def unlike_evaluations(
    runs: "Runs", signatures: Iterable[str], *, images: str = "", metric: str | None = None
) -> Iterator[Unlike]:
    """In what evaluations of these runs are unlike, but for their images; of each kind of difference the first.

    images: the set that they are of, "" for the runs' own. metric: the quality that is compared; None: all usual ones.
    """
    kinds: dict[tuple[Any, ...], Points] = {}
    for name in dict.fromkeys(signatures):
        said = _said(runs.facts(name), images)
        kinds.setdefault(said, Points(name, {}, about=_about(said)))
    pairs = combinations(kinds.values(), 2)
    yield from _first_of_each(found for pair in pairs for found in measured_otherwise(*pair, metric))


def unlike_images(by_run: Mapping[str, Images]) -> Iterator[Unlike]:
    """In what the images are unlike on which runs were evaluated, {signature: images}; of each difference the first.

    Told by pixels where both have them on record, whatever the images are called, and else by names and sizes.
    """
    kinds = {images: name for name, images in reversed(list(by_run.items()))}
    yield from _first_of_each(found for pair in combinations(kinds.items(), 2) for found in _images_apart(*pair))


def _images_apart(ours: tuple[Images, str], theirs: tuple[Images, str]) -> Iterator[Unlike]:
    one, other = (Points(name, {}, about={"images": identity_of(images)}) for images, name in (ours, theirs))
    found = list(images_apart(one, other))
    if [unlike.name for unlike in found] == [UNKNOWN_IMAGES] and len(distinct_sets((ours[0], theirs[0]))) > 1:
        found = [Unlike("other-data-set", f"{one.name} and {other.name} are of images of other names or sizes")]
    yield from found


def _first_of_each(differences: Iterable[Unlike]) -> Iterator[Unlike]:
    found: dict[str, Unlike] = {}
    for difference in differences:
        found.setdefault(difference.name, difference)
    yield from found.values()


def unlike_anchor(runs: "Runs", signature: str, images: Images | None, anchor: "Curve") -> Iterator[Unlike]:
    """In what the evaluation of a run is unlike a curve that its row is compared with. images: None where unknown."""
    about = _about(_said(runs.facts(signature)))
    if images is not None:
        about["images"] = identity_of(images)
    yield from unlike(anchor, Points(signature, {}, about=about), "psnr")


def identity_of(images: Images) -> dict[str, Any]:
    """As curves say which images they are of; number and sizes alone where not all of their pixels are on record."""
    said = identity(None, [Pictured(*image) for image in images])
    return said if all(digest for *_, digest in images) else {key: said[key] for key in ("number", "sizes")}


def _said(facts: Mapping[Any, Any], images: str = "") -> tuple[tuple[str, Any], ...]:
    """Of the evaluation that stands for the run's own, or of another; () where it says nothing."""
    every = facts.get("measured_as")
    by_name = dict(every) if isinstance(every, tuple) else {}
    found: tuple[tuple[str, Any], ...] = by_name.get(images or facts.get("evaluation") or "", ())
    return found


def _about(said: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """As curves have it, whose conventions are a mapping of their own."""
    return {key: dict(value) if isinstance(value, tuple) else value for key, value in said}
