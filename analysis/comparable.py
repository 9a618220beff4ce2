"""Whether the `val/rd_loss` of two arms of an experiment means the same, and which of their runs belong together."""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from analysis.config_roles import ONLY_SPEED, is_unsigned, neutral
from analysis.errors import AnalysisError
from analysis.image_points import Images, distinct_sets, images_in
from analysis.made_by import Maker, flags
from analysis.runs import Runs
from lic_exp.comparability import ABSENT, kind_of, measured_by
from lic_exp.component_schema import ComponentError, describe
from lic_exp.tracking.tables import VALIDATES

ARMS = ("baseline", "test")
DATA = "data._target_"


class NotComparableError(AnalysisError):
    """The runs measure different things."""


def check_comparable(baseline: Runs, test: Runs, trusted: Collection[str] = (), *, beginnings: bool = True) -> None:
    """Raise NotComparableError where the arms differ in lambda sets, criteria or validation sets, and say in which.

    Judged by the configs, and where the runs evaluated their validation images by the pixels of these, or else by names
    and sizes.
    trusted: config keys not to compare, e.g. ["data.val"] for the same images in another place.
    beginnings: whether a run must hold its own beginning, and not extend another.
    """
    for name, arm in (("baseline", baseline), ("test", test)):
        _check_arm(name, arm, beginnings)
    keys = dict.fromkeys(str(key) for arm in (baseline, test) for key in arm.runs if key not in trusted)
    for key in keys:
        kind = kind_of(key)
        if not kind:
            continue
        ours, theirs = _values(baseline, key), _values(test, key)
        if ours != theirs or (kind == "validation sets" and len(ours) > 1):
            said = f"{key} is {_listed(ours)} in the baseline and {_listed(theirs)} in the test"
            raise NotComparableError(f"the runs have different {kind}: {said}")
    evaluated = [list(_evaluated(arm)) for arm in (baseline, test)]
    sets = distinct_sets(images for arm in evaluated for images in arm)
    if all(evaluated) and len(sets) > 1:
        counts = " and ".join(str(len(images)) for images in sets)
        raise NotComparableError(f"the runs have different validation sets: of {counts} images by their evaluations")


def _check_arm(name: str, arm: Runs, beginnings: bool) -> None:
    if not len(arm):
        raise NotComparableError(f"the {name} has no runs")
    for row in arm.rows():
        if row["state"] in ("unreadable", "newer"):
            raise NotComparableError(f"the {name}'s run {row['signature']} cannot be read: {row['reason']}")
        if beginnings and isinstance(row.get("parent"), str):
            raise NotComparableError(
                f"the {name}'s run {row['signature']} extends {row['parent']} and does not hold its beginning"
            )


def _values(arm: Runs, key: str) -> set[Any]:
    return {_value(row, key) for row in arm.rows()}


def _value(row: Mapping[Any, Any], key: str) -> Any:
    """What a run's config has under a key, or means where it is too old to have it; else ABSENT."""
    value = row.get(key, math.nan)
    return neutral(key, _component(row, key), ABSENT) if _is_absent(value) else _meant(key, value)


def _component(row: Mapping[Any, Any], key: str) -> Any:
    return row.get(f"{key.partition('.')[0]}._target_")


def _meant(key: str, value: Any) -> Any:
    """Of data the name that signatures have for it: two classes of one name train and validate on the same images."""
    if key != DATA or not isinstance(value, str):
        return measured_by(key, value)
    try:
        return describe(value).code_name
    except ComponentError:  # of a package that is not here
        return value


def _listed(values: set[Any]) -> str:
    return ", ".join(sorted(map(str, values)))


def _evaluated(arm: Runs) -> Iterator[Images]:
    """The images of each run that evaluated all of its validation images."""
    runs, rows = arm.runs, arm.evaluation
    if rows.empty or not {"evaluation.data", "evaluation.limit"} <= set(runs):
        return
    whole = runs[runs["evaluation.data"].isna() & runs["evaluation.limit"].isna()]["signature"]
    own = rows[(rows["set"] == "") & rows["signature"].isin(whole)]
    if VALIDATES in own:
        own = own[own[VALIDATES] != False]  # noqa: E712 (also those of which it is not known)
    own = own.sort_values("image", kind="stable").drop_duplicates(["signature", "image"])
    found: dict[str, list[tuple[Any, ...]]] = {}
    for signature, image in zip(own["signature"], images_in(own), strict=True):
        found.setdefault(signature, []).append(image)
    yield from map(tuple, found.values())


def pairs(baseline: Runs, test: Runs) -> tuple[list[dict[str, Any]], list[str]]:
    """`groups` of one run each: [{"seed", "lmbda", "baseline": signature, "test": signature}, ...].

    Raises NotComparableError also where an arm has two runs of one seed and criterion.
    """
    matched, flags = groups(baseline, test)
    for group in matched:
        for arm in ARMS:
            if len(group[arm]) > 1:
                several = " and ".join(group[arm])
                raise NotComparableError(f"{several} are one arm's, of one seed and criterion: name one of them")
    return [group | {arm: group[arm][0] for arm in ARMS} for group in matched], flags


def groups(baseline: Runs, test: Runs) -> tuple[list[dict[str, Any]], list[str]]:
    """Runs of the same seed and criterion: [{"seed", "lmbda", "baseline": [signature, ...], "test": [...]}, ...].

    With them, in words, the seeds left out because one arm lacks them at some rate.
    Raises NotComparableError where no seed is complete.
    """
    criteria = sorted(key for key in map(str, baseline.runs) if key.startswith("criterion.") and kind_of(key))
    arms = {name: _by_seed_and(criteria, arm) for name, arm in zip(ARMS, (baseline, test), strict=True)}
    rates = {rate: None for arm in arms.values() for _, rate in arm}
    seeds = sorted({seed for arm in arms.values() for seed, _ in arm})
    lacking = {seed: [name for name in ARMS if any((seed, rate) not in arms[name] for rate in rates)] for seed in seeds}
    flags = [f"seed {seed} is left out: incomplete in the {' and '.join(of)}" for seed, of in lacking.items() if of]
    matched = [
        {"seed": seed, "lmbda": arms["baseline"][seed, rate][0]["lmbda"]}
        | {name: [row["signature"] for row in arms[name][seed, rate]] for name in ARMS}
        for seed in seeds
        for rate in rates
        if not lacking[seed]
    ]
    if not matched:
        raise NotComparableError(f"no seed is in both arms at every rate: {'; '.join(flags)}")
    return matched, flags


def _by_seed_and(criteria: list[str], arm: Runs) -> dict[tuple[Any, Any], list[dict[Any, Any]]]:
    found: dict[tuple[Any, Any], list[dict[Any, Any]]] = {}
    for row in arm.rows():
        found.setdefault((row["seed"], tuple(_value(row, name) for name in criteria)), []).append(row)
    return found


OF_A_LENGTH = frozenset(
    (
        *("stages", "trainer.max_steps", "trainer.max_epochs", "trainer.validate_every_steps"),
        *ONLY_SPEED,
    )
)
"""What the budgets of one arm may differ in beside unsigned keys: their length, and what changes no training."""

COUNTING = ("scheduler.", "spectral_reg.")
"""Groups some of whose options count steps or epochs, and so may follow the length."""

COUNTS = ("length", "start", "ramp", "overlap", "milestones", "steps", "epochs", "decay_from")
"""Words that those options end in."""


def check_one_arm(arm: str, runs: Runs, signatures: Sequence[str], trusted: Collection[str] = ()) -> None:
    """Raise NotComparableError, with runs and reason, where budgets of one seed and criterion are of different arms."""
    rows = [runs.facts(signature) for signature in signatures]
    for key in map(str, runs.runs):
        if key in trusted or not _tells_arms_apart(key) or _follows_length(key, rows):
            continue
        if all(is_unsigned(key, _component(row, key)) for row in rows):
            continue
        values = {row["signature"]: _value(row, key) for row in rows}
        if len(set(values.values())) > 1:
            said = ", ".join(f"{value} in {name}" for name, value in values.items())
            raise NotComparableError(
                f"the {arm}'s runs are no budgets of one arm, which differ in their length alone: {key} is {said}; "
                f"name the runs of one value, or trust the key"
            )


def _tells_arms_apart(key: str) -> bool:
    group = key.partition(".")[0]
    if key == "data":  # a label: its _target_ says more
        return False
    if group not in ("model", "spectral_reg", "optimizer", "scheduler", "data", "trainer", "init_from"):
        return False
    return key not in OF_A_LENGTH


def _follows_length(key: str, rows: Iterable[Mapping[Any, Any]]) -> bool:
    """Whether an option counts steps or epochs. Where a decay begins does so unless it is a share of every length."""
    if not (key.startswith(COUNTING) and key.endswith(COUNTS)):
        return False
    return key != "scheduler.decay_from" or any(row.get("scheduler.unit") != "share" for row in rows)


def _is_absent(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def check_done(runs: Runs) -> None:
    """Raise AnalysisError naming a run that has no final level."""
    for row in runs.rows():
        if row["state"] != "done":
            raise AnalysisError(f"run {row['signature']} is {row['state']}, not done: it has no final level")


def makers(*arms: Runs) -> list[Maker]:
    """Which code made the runs that have begun, each run once."""
    return makers_of(row for arm in arms for row in arm.rows())


def makers_of(listed: Iterable[Mapping[Any, Any]]) -> list[Maker]:
    """The same of rows of `Runs.runs`."""
    rows = {row["signature"]: row for row in listed if row["state"] != "created"}
    return [Maker(name, row["code"], row["code_hashes"], dict(row["code_parts"])) for name, row in rows.items()]


def code_flags(*arms: Runs) -> list[str]:
    """What is to be said where runs are not known to be of the code that there is now."""
    return flags(makers(*arms))


def elsewhere_flags(*arms: Runs) -> list[str]:
    """Of which runs the training went on otherwise than it began, and how."""
    rows = [row for arm in arms for row in arm.rows() if row.get("elsewhere")]
    return list(dict.fromkeys(f"run {row['signature']}: {row['elsewhere']}" for row in rows))


def same_codec(baseline: Runs, test: Runs) -> bool:
    """Whether a pixel costs both arms the same, because the model is."""
    keys = sorted({str(key) for arm in (baseline, test) for key in arm.runs if str(key).startswith("model.")})
    made = {tuple(str(row.get(key, math.nan)) for key in keys) for arm in (baseline, test) for row in arm.rows()}
    return bool(keys) and len(made) == 1
