"""An ablation table as numbers: every row against the baseline of the same seed.

Speed-up and BD-rate are taken per seed and summarised over seeds; a row counts the seeds for which all its rates, and
the baseline's, are done. What is missing is missing, and what diverged says so.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from analysis.bd import bd_rate
from analysis.comparable import check_comparable, code_flags, makers_of
from analysis.contrasts import Contrast, judged
from analysis.curve_files import Curve
from analysis.curves import load_curve
from analysis.errors import AnalysisError, CurveError
from analysis.made_by import row_notes
from analysis.quality import points_of, quality
from analysis.rows import ABSENT, AGAIN, BASELINE, VARIANT, Estimate, Row
from analysis.runs import Runs
from analysis.speed import speed, speed_of_equals
from analysis.speedup import SpeedUp, speed_up
from analysis.statistics import resolvable
from analysis.studies import StudyResults
from analysis.study_pairs import SeedArms, SeedPairs, left_out_notes, own_rates, seed_pairs, unlike_rates
from analysis.unlike_evaluations import unlike_anchor, unlike_evaluations

Verdicts = dict[str, dict[str, str]]
"""By row what is concluded of its claims: {"speed_up": ..., "bd_rate": ...}."""


@dataclass(frozen=True)
class Ablation:
    """A study's rows, and the smallest effects that its seeds show with 80 % probability, by quantity [%].

    verdicts: on the claims of rows that were measured on all their seeds. k: evaluations that make the final level.
    """

    study: StudyResults
    rows: tuple[Row, ...]
    verdicts: Verdicts
    resolvable: Mapping[str, float]
    k: int


def ablation(study: StudyResults, *, k: int = 3) -> Ablation:
    """Measure a study. k: evaluations of `val/rd_loss` that make the final level."""
    equals = _again(study, k) if study.table.aa_seeds else None
    rows = [_row(study, name, equals, k) for name in study.table.variants]
    if equals is not None:
        rows.insert(list(study.table.variants).index(study.table.baseline) + 1, equals)
    return Ablation(study, tuple(rows), _verdicts(study, rows), _resolvable(rows, len(study.table.seeds)), k)


def _row(study: StudyResults, name: str, equals: Row | None, k: int) -> Row:
    variant, table = study.table.variants[name], study.table
    if variant.overrides is None:
        return Row(name, variant.label, ABSENT, len(table.seeds), paper=variant.paper, notes=(variant.why,))
    partner = table.partner(name)
    role = BASELINE if name == partner else VARIANT
    against = "" if partner in (name, table.baseline) else table.variants[partner].label
    apart = table.root(name) != table.baseline
    row = Row(name, variant.label, role, len(table.seeds), against, apart, variant.longer, paper=variant.paper)
    arms = {seed: ((partner, seed), (name, seed)) for seed in table.seeds}
    return _compared(study, row, arms, None if apart else equals, k)


def _again(study: StudyResults, k: int) -> Row:
    """The baseline against itself: what comes out where there is no effect."""
    table = study.table
    label = f"A/A: {table.variants[table.baseline].label}, other seeds"
    arms = {
        seed: ((table.baseline, seed), (table.baseline, other))
        for seed, other in zip(table.seeds, table.aa_seeds, strict=True)
    }
    return _compared(study, Row(f"{table.baseline} again", label, AGAIN, len(table.seeds)), arms, None, k)


def _compared(study: StudyResults, row: Row, arms: SeedArms, equals: Row | None, k: int) -> Row:
    """The row with what its runs say. equals: the A/A row, where it has the row's spread as well."""
    runs = study.runs
    if runs is None:
        return row
    states = study.states
    pairs = seed_pairs(study, arms)

    def done(signatures: Sequence[str]) -> bool:
        return bool(signatures) and all(states.get(name, {}).get("state") == "done" for name in signatures)

    mine = [name for _, theirs in pairs.values() for name in theirs]
    there = [name for name in mine if name in states]
    fallen = {
        seed: min(int(states[name]["step"]) for name in bad)
        for seed, (_, theirs) in pairs.items()
        if (bad := [name for name in theirs if states.get(name, {}).get("state") == "diverged"])
    }
    alone = row.role == VARIANT and own_rates(study.table, row.name)
    unlike = {} if alone else unlike_rates(study, arms)
    complete = {seed: pair for seed, pair in pairs.items() if all(map(done, pair)) and seed not in unlike}
    facts: dict[str, Any] = {
        "complete": tuple(complete),
        "launched": sum(name in states for name in mine),
        "diverged": fallen,
        **_complexity(runs, there),
        "bits": _bits(study.last, [name for _, theirs in complete.values() for name in theirs]),
    }
    others = [name for base, _ in pairs.values() for name in base if name in states]
    ours, theirs = (makers_of(map(runs.facts, names)) for names in (there, others))
    notes = [*left_out_notes(unlike), *row_notes(ours, theirs if row.role != BASELINE else [])]
    if complete and row.role != BASELINE and not alone:
        both = _arms(runs, complete)
        facts |= _speed(runs, both, row, complete, equals, notes)
        if row.longer == 1:
            facts |= _at_end(both, k, notes) | quality(study, complete, equals, notes)
        else:
            notes.append(f"{row.longer:g} times as long as the others: its quality is not compared")
    elif complete and alone:
        notes.append("its rates are not those of what it is against: it is compared with anchors alone")
    if complete:
        compared = [arm for pair in complete.values() for arm in (pair[1:] if alone else pair)]
        measured = [name for arm in compared for name in arm]
        notes += map(str, unlike_evaluations(runs, measured, metric="psnr"))
        facts["anchors"] = _against_anchors(study, complete, notes)
    return Row(**{**vars(row), **facts, "notes": (*row.notes, *dict.fromkeys(notes))})


def _speed(
    runs: Runs, arms: tuple[Runs, Runs], row: Row, complete: SeedPairs, equals: Row | None, notes: list[str]
) -> dict[str, Any]:
    by_seed = {seed: list(zip(*pair, strict=True)) for seed, pair in complete.items()}
    try:
        check_comparable(*arms)
        if row.role == AGAIN:
            found = speed_of_equals(runs, by_seed)
        else:
            found = speed(runs, by_seed, equals.speed.between_equals if equals and equals.speed else {})
    except AnalysisError as error:
        notes.append(f"no speed-up: {error}")
        return {}
    notes.extend(found.notes)
    return {"speed": found}


def _at_end(arms: tuple[Runs, Runs], k: int, notes: list[str]) -> dict[str, SpeedUp]:
    try:
        found = speed_up(*arms, k=k, sensitivity=False)
    except AnalysisError as error:
        notes.append(f"no speed-up to the final level: {error}")
        return {}
    told = code_flags(*arms)  # which the table says of all its runs
    notes.extend(flag for flag in found.flags if flag not in told)
    return {"at_end": found}


def _verdicts(study: StudyResults, rows: Sequence[Row]) -> Verdicts:
    """On every claim that was measured on all seeds of its row."""
    contrasts: dict[tuple[str, str], Contrast] = {}
    for row in rows:
        if row.role != VARIANT or not row.whole:
            continue
        is_primary = row.name == study.table.primary
        steps = row.speed.estimate("steps") if row.speed else None
        if row.paper.speed_up is not None and row.speed and steps:
            size, again = _size(row.paper.speed_up, np.log), len(row.speed.again.get("steps", ()))
            contrasts[row.name, "speed_up"] = Contrast(steps, size, again, is_primary)
        if row.paper.bd_rate is not None and row.bd_rate:
            size = _size(row.paper.bd_rate, float)
            primary = is_primary and row.paper.judged == "bd_rate"
            contrasts[row.name, "bd_rate"] = Contrast(row.bd_rate.found, size, len(row.bd_rate.again), primary)
    said: Verdicts = {}
    for (name, quantity), text in zip(contrasts, judged(list(contrasts.values())), strict=True):
        said.setdefault(name, {})[quantity] = text
    return said


def _size(claim: float | Literal["less", "more"], scale: Callable[[float], Any]) -> float:
    """A claim as a difference from no effect; infinite where only its direction is claimed."""
    return {"less": -np.inf, "more": np.inf}[claim] if isinstance(claim, str) else float(scale(claim))


def _arms(runs: Runs, complete: SeedPairs) -> tuple[Runs, Runs]:
    """The baseline's runs and the row's."""
    ours = _arm(runs, {name: seed for seed, (base, _) in complete.items() for name in base})
    return ours, _arm(runs, {name: seed for seed, (_, test) in complete.items() for name in test})


def _arm(runs: Runs, seeds: Mapping[str, int]) -> Runs:
    """The runs with these signatures, under the seeds by which they are paired; of the same the same object."""
    asked = (_arm, tuple(seeds.items()))
    if asked not in runs.remembered:
        runs.remembered[asked] = runs.with_seeds(seeds)
    found: Runs = runs.remembered[asked]
    return found


def _against_anchors(study: StudyResults, complete: SeedPairs, notes: list[str]) -> dict[str, Estimate]:
    found = {}
    for name in study.table.anchors:
        anchor = load_curve(name)
        try:
            points = {seed: points_of(study, test) for seed, (_, test) in complete.items()}
            values = {seed: float(bd_rate(anchor.bpp, anchor.quality(), *p[:2])) for seed, p in points.items()}
        except CurveError as error:
            notes.append(f"no BD-rate against {name}: {error}")
        else:
            found[name] = Estimate(values)
            notes += _unlike_anchor(study, complete, anchor)
    return found


def _unlike_anchor(study: StudyResults, complete: SeedPairs, anchor: Curve) -> Iterator[str]:
    """In what the row's runs are unlike published points, each kind of difference once."""
    assert study.runs is not None
    told = set()
    for signature in (name for _, test in complete.values() for name in test):
        images = study.by_image[signature].images if signature in study.by_image else None
        for found in unlike_anchor(study.runs, signature, images, anchor):
            if found.name not in told:
                told.add(found.name)
                yield f"against {anchor.name}: {found}"


def _complexity(runs: Runs, signatures: Sequence[str]) -> dict[str, float]:
    """`parameters` and `kmacs` of the codec of these runs; {} where none recorded them, or they differ."""
    found = {(facts["parameters"] / 1e6, facts["macs_per_pixel"] / 1e3) for facts in map(runs.facts, signatures)}
    known = [pair for pair in found if not np.isnan(pair).any()]
    return dict(zip(("parameters", "kmacs"), known[0], strict=True)) if len(known) == 1 else {}


def _bits(last: pd.DataFrame | None, signatures: list[str]) -> dict[str, float]:
    """How the estimated bits are shared among the latents, mean over the runs; {} where there is only one latent."""
    if last is None:
        return {}
    rates = last.reindex(signatures).dropna(axis="columns", how="all")
    if rates.empty or rates.shape[1] < 2:
        return {}
    shares = rates.div(rates.sum(axis="columns"), axis="index").mean()
    return {str(name).removeprefix("val/").removesuffix("_bpp"): float(share) for name, share in shares.items()}


def _resolvable(rows: Sequence[Row], seeds: int) -> dict[str, float]:
    """From the spread over seeds of every row that is compared with the table's baseline, pooled."""
    found = {}
    rows = [row for row in rows if not row.apart]
    for name in ("bd_rate", "rd_change"):
        samples = [list(estimate.values.values()) for row in rows if (estimate := getattr(row, name))]
        if spread := _pooled(samples):
            found[name] = resolvable(spread, seeds, paired=True)
    ratios = [row.speed.exact("steps") for row in rows if row.speed]
    if spread := _pooled(ratios):
        found["speed_up"] = 100 * float(np.expm1(resolvable(spread, seeds, paired=True)))
    return found


def _pooled(samples: Sequence[Sequence[float]]) -> float | None:
    """Standard deviation over seeds, pooled over rows with two or more."""
    several = [np.asarray(values) for values in samples if len(values) > 1]
    if not several:
        return None
    squares = sum(float(((values - values.mean()) ** 2).sum()) for values in several)
    return float(np.sqrt(squares / sum(len(values) - 1 for values in several)))
