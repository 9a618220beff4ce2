"""An ablation table as numbers: every row against the baseline of the same seed.

Speed-up and BD-rate are taken per seed and summarised over seeds; a row counts the seeds for which all its rates, and
the baseline's, are done. What is missing is missing, and what diverged says so.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.bd import bd_rate
from analysis.curves import load_curve
from analysis.errors import AnalysisError, CurveError
from analysis.lagrangian import rd_change
from analysis.runs import Runs
from analysis.speedup import SpeedUp, speed_up
from analysis.statistics import ClaimStatus, Interval, claim_status, resolvable, t_interval
from analysis.studies import StudyResults
from lic_exp.ablation_spec import Claim

BASELINE, VARIANT, AGAIN, ABSENT = "baseline", "variant", "A/A", "absent"
"""What a row is: the reference, one compared with it, the reference with other seeds, or one that cannot be run."""


RDPoints = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A per-seed quantity: its mean and t interval over seeds, and the values by seed."""

    values: Mapping[int, float]

    @property
    def mean(self) -> float:
        return float(np.mean(list(self.values.values())))

    @property
    def interval(self) -> Interval:
        return t_interval(list(self.values.values()))


@dataclass(frozen=True)
class Row:
    """A row of the table.

    seeds: how many there should be. complete: those that could be compared. launched: trainings that have a folder.
    diverged: {seed: step}. speed_up, before_decay: to the baseline's final level, and to the one before the decay of
    its learning rate. bd_rate, rd_change: against the baseline [%]; anchors: BD-rate against published curves [%].
    bits: {latent: share of the estimated bits in the last validation}, of more than one latent.
    parameters, kmacs: of the codec, as its runs recorded them: [million], [thousand per pixel].
    notes: what a reader should know.
    """

    name: str
    label: str
    role: str
    seeds: int
    complete: tuple[int, ...] = ()
    launched: int = 0
    diverged: Mapping[int, int] = field(default_factory=dict)
    speed_up: SpeedUp | None = None
    before_decay: SpeedUp | None = None
    bd_rate: Estimate | None = None
    rd_change: Estimate | None = None
    anchors: Mapping[str, Estimate] = field(default_factory=dict)
    bits: Mapping[str, float] = field(default_factory=dict)
    parameters: float | None = None
    kmacs: float | None = None
    paper: Claim = field(default_factory=Claim)
    notes: tuple[str, ...] = ()

    def claims(self) -> dict[str, ClaimStatus | None]:
        """Of the paper's claims that this row measured on all its seeds: {"speed_up": ..., "bd_rate": ...}."""
        whole = len(self.complete) == self.seeds
        ratio = self.speed_up.ratios["steps"] if self.speed_up else None
        found: dict[str, ClaimStatus | None] = {"speed_up": None, "bd_rate": None}
        if whole and self.paper.speed_up and ratio is not None:
            # A level that is never reached is no number, but says that the row is slower.
            value, interval = (ratio.value, ratio.interval) if ratio.interval else (np.nan, Interval(-np.inf, np.inf))
            found["speed_up"] = claim_status(value or np.nan, interval, self.paper.speed_up, null=1.0)
        if whole and self.paper.bd_rate and self.bd_rate:
            found["bd_rate"] = claim_status(self.bd_rate.mean, self.bd_rate.interval, self.paper.bd_rate)
        return found


@dataclass(frozen=True)
class Ablation:
    """A study's rows, and the smallest effects that its seeds show with 80 % probability, by quantity [%].

    k: evaluations over which a level is taken.
    """

    study: StudyResults
    rows: tuple[Row, ...]
    resolvable: Mapping[str, float]
    k: int


def ablation(study: StudyResults, *, k: int = 3) -> Ablation:
    """Measure a study. k: evaluations over which a level of `val/rd_loss` is taken."""
    rows = [_row(study, name, k) for name in study.table.variants]
    if study.table.aa_seeds:
        place = list(study.table.variants).index(study.table.baseline) + 1
        rows.insert(place, _again(study, k))
    return Ablation(study, tuple(rows), _resolvable(rows, len(study.table.seeds)), k)


def _row(study: StudyResults, name: str, k: int) -> Row:
    variant, table = study.table.variants[name], study.table
    if variant.overrides is None:
        return Row(name, variant.label, ABSENT, len(table.seeds), paper=variant.paper, notes=(variant.why,))
    partner = table.partner(name)
    role = BASELINE if name == partner else VARIANT
    pairs = {seed: (study.of(partner, seed), study.of(name, seed)) for seed in table.seeds}
    return _compared(study, Row(name, variant.label, role, len(table.seeds), paper=variant.paper), pairs, k)


def _again(study: StudyResults, k: int) -> Row:
    """The baseline against itself: what comes out where there is no effect."""
    table = study.table
    label = f"A/A: {table.variants[table.baseline].label}, other seeds"
    pairs = {
        seed: (study.of(table.baseline, seed), study.of(table.baseline, other))
        for seed, other in zip(table.seeds, table.aa_seeds, strict=True)
    }
    return _compared(study, Row(f"{table.baseline} again", label, AGAIN, len(table.seeds)), pairs, k)


def _compared(study: StudyResults, row: Row, pairs: Mapping[int, tuple[list[str], list[str]]], k: int) -> Row:
    """The row with what its runs say. pairs: by seed the signatures of the baseline and of the row."""
    runs = study.runs
    if runs is None:
        return row
    states = study.states

    def done(signatures: Sequence[str]) -> bool:
        return bool(signatures) and all(states.get(name, {}).get("state") == "done" for name in signatures)

    mine = [name for _, theirs in pairs.values() for name in theirs]
    fallen = {
        seed: min(int(states[name]["step"]) for name in bad)
        for seed, (_, theirs) in pairs.items()
        if (bad := [name for name in theirs if states.get(name, {}).get("state") == "diverged"])
    }
    complete = {seed: pair for seed, pair in pairs.items() if all(map(done, pair))}
    facts: dict[str, Any] = {
        "complete": tuple(complete),
        "launched": sum(name in states for name in mine),
        "diverged": fallen,
        **_complexity(runs, [name for name in mine if name in states]),
        "bits": _bits(study.last, [name for _, theirs in complete.values() for name in theirs]),
    }
    notes: list[str] = []
    own_rates = row.role == VARIANT and bool(study.table.variants[row.name].rates)
    if complete and row.role != BASELINE and not own_rates:
        facts |= _speed(runs, complete, k, notes)
        facts |= _bd_comparison(study, complete, notes)
    if complete:
        facts["anchors"] = _against_anchors(study, complete, notes)
    return Row(**{**vars(row), **facts, "notes": (*row.notes, *dict.fromkeys(notes))})


def _speed(
    runs: Runs, complete: Mapping[int, tuple[list[str], list[str]]], k: int, notes: list[str]
) -> dict[str, SpeedUp]:
    ours = _arm(runs, {name: seed for seed, (base, _) in complete.items() for name in base})
    theirs = _arm(runs, {name: seed for seed, (_, test) in complete.items() for name in test})
    found: dict[str, SpeedUp] = {}
    for key, target in (("speed_up", "final"), ("before_decay", "before-decay")):
        try:
            found[key] = speed_up(ours, theirs, target=target, k=k, sensitivity=False)  # type: ignore[arg-type]
        except AnalysisError as error:
            notes.append(f"no speed-up ({target}): {error}")
    return found


def _arm(runs: Runs, seeds: Mapping[str, int]) -> Runs:
    """The runs with these signatures, under the seeds by which they are paired."""
    arm = runs.where(runs.runs["signature"].isin(list(seeds)))
    return Runs(arm.runs.assign(seed=arm.runs["signature"].map(seeds)), arm.metrics, arm.evaluation)


def _bd_comparison(
    study: StudyResults, complete: Mapping[int, tuple[list[str], list[str]]], notes: list[str]
) -> dict[str, Estimate | None]:
    def estimate(name: str, measure: Callable[[RDPoints, RDPoints], float]) -> Estimate | None:
        values = {}
        for seed, pair in complete.items():
            try:
                values[seed] = measure(*(_points(study, signatures) for signatures in pair))
            except CurveError as error:
                notes.append(f"no {name} at seed {seed}: {error}")
                return None
        return Estimate(values)

    def rate(base: RDPoints, test: RDPoints) -> float:
        found = bd_rate(*base[:2], *test[:2])
        notes.extend(flag for flag in found.flags if not flag.startswith("unequal-points"))
        return float(found)

    def cost(base: RDPoints, test: RDPoints) -> float:
        return float(rd_change(base[0], base[1], test[0], test[1], base[2], test[2]))

    return {"bd_rate": estimate("BD-rate", rate), "rd_change": estimate("R + lmbda D", cost)}


def _points(study: StudyResults, signatures: Sequence[str]) -> RDPoints:
    """bpp, PSNR and lmbda (3, rates) of one seed; raises CurveError where a run was not evaluated."""
    if lacking := [name for name in signatures if name not in study.points]:
        raise CurveError(f"not-evaluated: {', '.join(lacking)}")
    points: RDPoints = np.concatenate([study.points[name] for name in signatures]).T
    return points


def _against_anchors(
    study: StudyResults, complete: Mapping[int, tuple[list[str], list[str]]], notes: list[str]
) -> dict[str, Estimate]:
    found = {}
    for name in study.table.anchors:
        anchor = load_curve(name)
        try:
            points = {seed: _points(study, test) for seed, (_, test) in complete.items()}
            values = {seed: float(bd_rate(anchor.bpp, anchor.quality(), *p[:2])) for seed, p in points.items()}
        except CurveError as error:
            notes.append(f"no BD-rate against {name}: {error}")
        else:
            found[name] = Estimate(values)
    return found


def _complexity(runs: Runs, signatures: Sequence[str]) -> dict[str, float]:
    """`parameters` and `kmacs` of the codec of these runs; {} where none recorded them, or they differ."""
    found = {(facts["parameters"] / 1e6, facts["macs_per_pixel"] / 1e3) for facts in map(runs.facts, signatures)}
    known = [pair for pair in found if not np.isnan(pair).any()]
    return dict(zip(("parameters", "kmacs"), known[0], strict=True)) if len(known) == 1 else {}


def _bits(last: pd.DataFrame | None, signatures: list[str]) -> dict[str, float]:
    """How the estimated bits are shared among the latents, mean over the runs; {} where there is only one latent."""
    if last is None:
        return {}
    final = last.reindex(signatures)
    latents = [str(name) for name in final if str(name).startswith("val/") and str(name).endswith("_bpp")]
    rates = final[latents].dropna(axis="columns", how="all")
    if rates.empty or rates.shape[1] < 2:
        return {}
    shares = rates.div(rates.sum(axis="columns"), axis="index").mean()
    return {str(name).removeprefix("val/").removesuffix("_bpp"): float(share) for name, share in shares.items()}


def _resolvable(rows: Sequence[Row], seeds: int) -> dict[str, float]:
    """From the spread over seeds of every compared row, pooled."""
    found = {}
    for name in ("bd_rate", "rd_change"):
        samples = [list(estimate.values.values()) for row in rows if (estimate := getattr(row, name))]
        if spread := _pooled(samples):
            found[name] = resolvable(spread, seeds, paired=True)
    ratios = [list(_log_ratios(row)) for row in rows]
    if spread := _pooled([logs for logs in ratios if logs]):
        found["speed_up"] = 100 * float(np.expm1(resolvable(spread, seeds, paired=True)))
    return found


def _log_ratios(row: Row) -> Iterator[float]:
    if row.speed_up and row.speed_up.ratios["steps"].value:
        pairs = row.speed_up.pairs
        yield from np.log(pairs["steps"]).groupby(pairs["seed"]).mean()


def _pooled(samples: Sequence[Sequence[float]]) -> float | None:
    """Standard deviation over seeds, pooled over rows with two or more."""
    several = [np.asarray(values) for values in samples if len(values) > 1]
    if not several:
        return None
    squares = sum(float(((values - values.mean()) ** 2).sum()) for values in several)
    return float(np.sqrt(squares / sum(len(values) - 1 for values in several)))
