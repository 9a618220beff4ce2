"""Which runs of a table are compared with which: those of one seed, rate by rate."""

from collections.abc import Iterator, Mapping

from analysis.studies import StudyResults
from lic_exp.ablation_spec import Table

SeedPairs = Mapping[int, tuple[list[str], list[str]]]
"""By seed the signatures of the baseline and of the row, one for each rate."""

SeedArms = Mapping[int, tuple[tuple[str, int], tuple[str, int]]]
"""By seed (variant, seed) of the baseline and of the row."""


def seed_pairs(study: StudyResults, arms: SeedArms) -> SeedPairs:
    """The runs of every seed; where both have the same rates, in one order."""
    found = {}
    for seed, (base, test) in arms.items():
        ours, theirs = study.by_rate(*base), study.by_rate(*test)
        order = ours if ours.keys() == theirs.keys() else theirs
        found[seed] = (list(ours.values()), [theirs[rate] for rate in order])
    return found


def unlike_rates(study: StudyResults, arms: SeedArms) -> dict[int, str]:
    """By seed of which one arm was launched at rates that the other was not, at which."""
    found: dict[int, str] = {}
    for seed, ((base, own), (test, other)) in arms.items():
        ours, theirs = study.by_rate(base, own), study.by_rate(test, other)
        if ours and theirs and ours.keys() != theirs.keys():
            names = (base, test) if base != test else (f"{base}, seed {own}", f"{test}, seed {other}")
            lacking = [*_lacking(names[0], names[1], ours, theirs), *_lacking(names[1], names[0], theirs, ours)]
            found[seed] = "; ".join(lacking)
    return found


def left_out_notes(unlike: Mapping[int, str]) -> list[str]:
    """What to say of the seeds that `unlike_rates` has found."""
    seeds: dict[str, list[int]] = {}
    for seed, why in unlike.items():
        seeds.setdefault(why, []).append(seed)
    return [
        f"{'seeds' if of[1:] else 'seed'} {', '.join(map(str, of))} {'are' if of[1:] else 'is'} left out: {why}"
        for why, of in seeds.items()
    ]


def _lacking(having: str, other: str, ours: Mapping[str, str], theirs: Mapping[str, str]) -> Iterator[str]:
    if more := [rate for rate in ours if rate not in theirs]:
        yield f"{having} has a run at {', '.join(more)}, and {other} none"


def own_rates(table: Table, name: str) -> bool:
    """Whether a row's rates, or those of the row that it is compared with, are others than the table's."""
    return bool(table.variants[name].rates) or table.rates_of(name) != table.rates_of(table.partner(name))
