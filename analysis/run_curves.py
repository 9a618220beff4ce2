"""Curves of runs: one per arm, that is of runs which differ from one another in seed and rate alone."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from analysis.arms import Arm, arms_of
from analysis.curve_files import (
    MADE_BY,
    NOTES,
    OF_RUNS,
    SEEDED,
    SEEDS,
    SIDE_BY_SIDE,
    STEPS,
    TRAINED,
    Curve,
    join,
    shared_images,
    together,
)
from analysis.errors import AnalysisError
from analysis.named_runs import Meaning
from analysis.run_points import POINT, curve_of_run, evaluation_of
from lic_exp.labels import SEED, is_rate, label, value_text
from lic_exp.tracking.run_folder import RunFolder

MOST_NAMED = 6

QUALITIES = "rate"
"""The list of a variable-rate run's points that says of which of its rates each is."""


def curves_of(found: Meaning, trusted: Collection[str] = ()) -> list[Curve]:
    """The curves of what a name means, one per arm. trusted: keys in which runs of one arm may differ.

    A curve over several seeds is their mean, rate by rate. Raises AnalysisError where nothing has been evaluated.
    """
    arms = arms_of(found, trusted)
    curves = [curve for arm in arms if (curve := _of_arm(arm)) is not None]
    if not curves:
        waiting = "not evaluated yet" if found.kind == "run" else "none of its runs is evaluated yet"
        raise AnalysisError(f"{found.kind} {found.title}: {waiting} ({POINT})")
    silent = [arm.label for arm in arms if arm.label not in {curve.name for curve in curves}]
    if silent:
        note = f"unfinished: nothing is evaluated yet of {_listed(silent)}"
        first = curves[0]
        curves[0] = _with(first, {NOTES: (*first.notes, note)})
    together = (found.kind, found.title, str(found.runs[0].folder.parent))
    return [_with(curve, {SIDE_BY_SIDE: together}) for curve in curves]


def _of_arm(arm: Arm) -> Curve | None:
    """Its curve; None where none of its runs is evaluated."""
    seeds: dict[Any, dict[str, Curve]] = {}
    damaged: list[str] = []
    for cell in arm.cells:
        if evaluation_of(cell) is None:
            continue
        try:
            curve = curve_of_run(cell)
        except AnalysisError as error:
            if len(arm.cells) == 1:
                raise
            damaged.append(f"damaged: {error}")
            continue
        if curve is None:
            continue
        role = cell.role or {}
        own = seeds.setdefault(role.get(SEED), {})
        rate = repr(sorted((key, repr(value)) for key, value in role.items() if is_rate(key)))
        if rate in own:
            raise AnalysisError(
                f"{arm.label}: {own[rate].name} and {curve.name} are runs of one seed and rate: name one"
            )
        own[rate] = curve
    if not seeds:
        return None
    notes = (*damaged, *_missing(arm)) if len(arm.cells) > 1 else ()
    seeds = dict(sorted(seeds.items(), key=lambda one: (str(type(one[0])), one[0])))
    by_seed = {seed: join(list(own.values())) for seed, own in seeds.items()}
    whole = next(iter(by_seed.values())) if len(by_seed) == 1 else _mean(seeds)
    first = next(iter(next(iter(seeds.values())).values()))
    about: dict[str, Any] = {TRAINED: first.about[TRAINED]} if TRAINED in first.about else {}
    if told := tuple(dict.fromkeys([*notes, *_unequal(arm, whole), *whole.notes])):
        about[NOTES] = told
    if len(by_seed) > 1:
        about[SEEDS] = {
            seed: replace(curve, name=f"{arm.label}, {label({SEED: seed})}") for seed, curve in by_seed.items()
        }
    return _with(replace(whole, name=arm.label), about)


def _with(curve: Curve, about: Mapping[str, Any]) -> Curve:
    return replace(curve, about={**curve.about, **about})


def _mean(seeds: Mapping[Any, Mapping[str, Curve]]) -> Curve:
    """Points averaged over the seeds that have them, rate by rate."""
    rates = dict.fromkeys(rate for own in seeds.values() for rate in own)
    means, notes = [], list[str]()
    for rate in rates:
        there = [own[rate] for own in seeds.values() if rate in own]
        notes = notes or together(there, "are of two seeds and have no mean")
        if len({len(curve) for curve in there}) > 1:
            raise AnalysisError(
                f"{' and '.join(c.name for c in there)}, of several seeds, have other numbers of points"
            )
        _check_qualities(there)
        lists = [key for key in there[0].results if all(key in curve.results for curve in there)]
        values = {key: tuple(np.mean([curve.results[key] for curve in there], axis=0).tolist()) for key in lists}
        about = {**there[0].about, **shared_images(there)}
        means.append(Curve(there[0].name, values, f"mean over {len(there)} seeds", about))
    if any(own.keys() != rates.keys() for own in seeds.values()):
        said = ", ".join(f"seed {seed}: {len(own)} of {len(rates)}" for seed, own in seeds.items())
        notes.append(f"unequal-seeds: its points are not means over the same seeds; rates by seed: {said}")
    whole = join(means)
    every = [curve for own in seeds.values() for curve in own.values()]
    makers = {maker.signature: maker for curve in every for maker in curve.made_by}
    notes += [note for curve in every for note in curve.notes]
    about = {key: value for key, value in whole.about.items() if key != OF_RUNS}
    about |= {SEEDED: tuple(seeds), STEPS: tuple(sorted({step for c in every for step in c.about.get(STEPS, ())}))}
    return replace(whole, about=about | {MADE_BY: tuple(makers.values()), NOTES: tuple(notes)})


def _check_qualities(seeds: Sequence[Curve]) -> None:
    """Raise AnalysisError where runs of a range of rates, of several seeds, were evaluated at other qualities."""
    first, *others = seeds
    for other in others:
        if first.results.get(QUALITIES) != other.results.get(QUALITIES):
            ours, theirs = (
                ", ".join(f"{quality:g}" for quality in curve.results.get(QUALITIES, ())) or "none"
                for curve in (first, other)
            )
            raise AnalysisError(
                f"{first.name} and {other.name}, of two seeds, have no mean: other-qualities: their points are of "
                f"qualities {ours} and {theirs}"
            )


def _unequal(arm: Arm, whole: Curve) -> Iterator[str]:
    """In what its runs differ beside seed and rate, and are of one curve all the same."""
    for key in arm.sizes:
        sizes = dict.fromkeys(value_text((cell.role or {}).get(key)) for cell in arm.cells)
        yield f"unequal-sizes: its rates are of models of several sizes: {key} is {_listed(sizes)}"
    steps = whole.about.get(STEPS, ())
    if len(steps) > 1:
        yield f"unequal-lengths: its points are of runs of {_listed(map(str, steps))} steps"


def _missing(arm: Arm) -> Iterator[str]:
    """Which of its runs have no points, and in what state they are."""
    left: dict[str, list[str]] = {}
    for cell in arm.cells:
        if evaluation_of(cell) is None:
            state = RunFolder(cell.folder).status_if_whole().get("state", "waiting")
            left.setdefault("not evaluated" if state == "done" else str(state), []).append(cell.label or cell.signature)
    if left:
        count = sum(map(len, left.values()))
        said = "; ".join(f"{state}: {_listed(names, ' | ')}" for state, names in left.items())
        yield f"unfinished: {count} of {len(arm.cells)} runs of {arm.label} have no points ({said})"


def _listed(names: Iterable[str], between: str = ", ") -> str:
    listed = list(names)
    return between.join(listed[:MOST_NAMED]) + (
        f"{between}and {len(listed) - MOST_NAMED} more" if listed[MOST_NAMED:] else ""
    )
