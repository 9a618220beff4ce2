"""In what two curves of runs are unlike beside how they were measured: training, length, seeds, choice of weights."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from pathlib import Path

from analysis.config_roles import config_roles
from analysis.curve_files import CHOSEN, SEEDED, SIDE_BY_SIDE, STEPS, TRAINED, Curve
from analysis.measured_alike import SAID, Unlike, images_of, unlike
from analysis.sweep_manifests import all_sweeps
from lic_exp.labels import BETWEEN, SEED, is_rate, value_text
from lic_exp.text import shortened, visible

MOST_NAMED = 4
MOST_TOLD = 10
"""Pairs of curves of which one kind of difference is told."""

LONGEST_VALUE = 60
LENGTHS = ("trainer.max_steps", "trainer.max_epochs")
"""Of which the steps that were trained tell more."""


def unlike_runs(anchor: Curve, test: Curve) -> Iterator[Unlike]:
    """What is to be said of two curves of which one at least is of runs."""
    chosen = [curve for curve in (anchor, test) if curve.about.get(CHOSEN)]
    if len(chosen) == 1:
        (curve,) = chosen
        count = curve.about[CHOSEN]
        yield Unlike("chosen-on-these", f"{count} of {curve.name}'s images validate too, and so chose its weights")
    lengths = [curve.about.get(STEPS) for curve in (anchor, test)]
    if all(lengths) and lengths[0] != lengths[1]:
        yield Unlike("other-length", f"{_trained(anchor)}; {_trained(test)}")
    seeds = [_seeds(curve) for curve in (anchor, test)]
    if all(seeds) and seeds[0] != seeds[1]:
        said = (f"{curve.name}: {', '.join(map(str, own))}" for curve, own in zip((anchor, test), seeds, strict=True))
        yield Unlike("other-seeds", f"of other seeds: {'; '.join(said)}")
    differing = list(_trained_otherwise(anchor, test))
    if differing and not _are_of_one_sweep(anchor, test):
        more = [f"and {len(differing) - MOST_NAMED} more keys"] if differing[MOST_NAMED:] else []
        listed = "; ".join([*differing[:MOST_NAMED], *more])
        yield Unlike("other-training", f"{anchor.name} and {test.name} differ in more than these names say: {listed}")


def unlike_pairs(curves: Sequence[Curve]) -> list[tuple[Curve, Curve]]:
    """Any two of these curves, of which those count as one that say the same of themselves."""
    listed = sorted(curves, key=lambda curve: images_of(curve) is None)
    keys = (*SAID, STEPS, CHOSEN, SEEDED, SIDE_BY_SIDE)
    kinds = {repr([curve.about.get(key) for key in keys] + list(curve.results)): curve for curve in reversed(listed)}
    return list(combinations(reversed(kinds.values()), 2))


def told_of(pairs: Iterable[tuple[Curve, Curve]], metric: str) -> Iterator[str]:
    """In what these pairs are unlike, which are drawn together, a line each; of each kind of difference the first."""
    told: dict[str, dict[Unlike, None]] = {}
    for one, other in pairs:
        for found in (*unlike(one, other, metric), *unlike_runs(one, other)):
            told.setdefault(found.name, {})[found] = None
    for name, differences in told.items():
        yield from map(str, list(differences)[:MOST_TOLD])
        if len(differences) > MOST_TOLD:
            yield f"{name}: and {len(differences) - MOST_TOLD} more pairs"


def _trained_otherwise(anchor: Curve, test: Curve) -> Iterator[str]:
    """What can change a training and differs, but for seed, rate and length, and what either's name tells.

    Curves that one name stands for are arms: what they are called is what differs between them.
    """
    configs = [curve.about.get(TRAINED) for curve in (anchor, test)]
    if not all(configs) or anchor.about.get(SIDE_BY_SIDE) == test.about.get(SIDE_BY_SIDE) is not None:
        return
    ours, theirs = config_roles([config for config in configs if config])
    parts = (part for curve in (anchor, test) for part in curve.name.split(BETWEEN))
    told = {part.partition("=")[0].rpartition(":")[2] for part in parts}  # SWEEP:LABEL
    for key in dict.fromkeys([*ours, *theirs]):
        if ours.get(key) == theirs.get(key) or key == SEED or is_rate(key) or key in LENGTHS or key in told:
            continue
        values = (_value(role[key]) if key in role else "no such key" for role in (ours, theirs))
        yield f"{key} is {' and '.join(values)}"


def _are_of_one_sweep(anchor: Curve, test: Curve) -> bool:
    """Whether a sweep, which may be of a table, has cells of both: it has set them side by side by what differs."""
    runs = [run for curve in (anchor, test) for run in _runs_of(curve)]
    places = {run.parent for run in runs}
    names = {run.name for run in runs}
    if len(places) != 1:
        return False
    return any(names <= {cell["signature"] for cell in sweep.cells} for sweep in all_sweeps(places.pop()))


def _runs_of(curve: Curve) -> list[Path]:
    """The folders of the runs that a curve's points are of."""
    folders = [folder for one in (curve, *curve.by_seed.values()) for folder in one.of_runs]
    return [folder.parent if folder.name == "eval" else folder.parents[1] for folder in folders]


def _value(value: object) -> str:
    return shortened(visible(value_text(value)), LONGEST_VALUE)


def _trained(curve: Curve) -> str:
    return f"{curve.name} was trained for {' and '.join(map(str, curve.about[STEPS]))} steps"


def _seeds(curve: Curve) -> list[object]:
    return list(curve.about.get(SEEDED, ()))
