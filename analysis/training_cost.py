"""What a run had spent at each of its evaluations, stage by stage."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.runs import Runs, load_runs
from lic_exp.capabilities import CriterionFacts
from lic_exp.component_schema import ComponentError, describe
from lic_exp.tracking import names
from lic_exp.tracking.run_folder import is_run_folder

UNITS = ("steps", "epochs", "images", "seconds", "macs")
PIXELS = "pixels"
"""What MACs are proportional to where the codec is the same."""

PASSES = 3
"""What a step costs, in forward passes: one, and a backward pass that costs as much as two."""

NEEDED_METRICS = (names.VAL_RD_LOSS, names.TRAIN_IMAGES_PER_S, names.TRAIN_LR, names.TRAIN_PIXEL_SHARE)


Trajectory = dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class TrainedStage:
    """Steps (first, end] of a run, and what each of them was made with.

    end: infinite in the last stage, since nothing is trained after it.
    batch_size, crop_size: images per step, the side of their crops [pixels]; NaN where not known.
    steps_per_epoch: as configured; None where it follows from the images, which only the log tells.
    """

    first: float
    end: float
    batch_size: float
    crop_size: float
    steps_per_epoch: float | None

    @property
    def pixels(self) -> float:
        """Of a step."""
        return self.batch_size * self.crop_size**2

    def steps(self, until: NDArray[Any]) -> NDArray[np.float64]:
        """How many of its steps were made by then; until: steps of the run, (n,)."""
        return np.clip(until - self.first, 0.0, self.end - self.first)


def trajectory(runs: Runs, signature: str, metric: str, macs_per_image: float | None = None) -> Trajectory:
    """By evaluation of a run, (n,) each: `value` of the metric, what was spent until then in each of UNITS, and PIXELS.

    Of a run with stages each step costs what its own stage made of it: batch, crops, epochs and speed are a stage's.
    `trainer.accumulate` splits a batch and changes no count.

    seconds: training alone. `train/images_per_s` is the mean speed since the entry before (in runs of earlier versions
        since the last validation), or since a stage began, or a resume, so each stretch between two of them took its
        images over the speed logged last in it; a stretch without an entry is given the speed before it in its stage,
        or else the next one there. Validations, waiting between attempts and the start-up are not in it, writing
        checkpoints is. NaN from a stage on in which no speed was logged, and of a run that extends another which is
        neither among `runs` nor in the folder beside its own.
    epochs: steps over the steps of an epoch, as configured or else as the logged epochs have it; NaN without either.
    macs: images times `macs_per_image`, of whatever stage; None: what one crop costs the run's codec in the forward
        pass (as recorded per pixel, NaN where it was not). That a step costs about three times as much, for a backward
        pass is two, cancels in ratios; where a criterion looks at each batch again (`CriterionFacts.second_look`) it
        costs four times as much, and 4/3 count here and in PIXELS. Of crops that were shown smaller to the codec,
        `train/pixel_share` of them, that share counts in both.
    Raises AnalysisError where the metric was never logged.
    """
    asked = (trajectory, signature, metric, macs_per_image)
    extends = isinstance(runs.facts(signature).get("parent"), str)
    known = runs.remembered if extends else runs.of_each
    if asked not in known:
        known[asked] = _trajectory(runs, signature, metric, macs_per_image)
    return dict(known[asked])


def _trajectory(runs: Runs, signature: str, metric: str, macs_per_image: float | None) -> Trajectory:
    row = runs.facts(signature)
    curve = runs.series(signature, metric)
    if not len(curve["step"]):
        raise AnalysisError(f"run {signature} ({row['state']}) never logged {metric}")
    steps = curve["step"].astype(float)
    stages = trained_stages(row)
    speed = runs.series(signature, names.TRAIN_IMAGES_PER_S)
    images = _accumulated(stages, [stage.batch_size for stage in stages], steps)
    pixels = _accumulated(stages, [stage.pixels for stage in stages], steps)
    computed = _share_computed(runs, signature, stages, steps) * _passes(row) / PASSES
    epochs = _epoch_lengths(stages, speed if len(speed["step"]) else curve)
    return {
        "value": curve["value"].astype(float),
        "steps": steps,
        "epochs": _accumulated(stages, [1 / length for length in epochs], steps),
        "images": images,
        "seconds": _training_seconds(runs, signature, steps),
        "macs": computed
        * (pixels * float(row["macs_per_pixel"]) if macs_per_image is None else images * macs_per_image),
        PIXELS: computed * pixels,
    }


def _passes(row: Mapping[Any, Any]) -> int:
    """What a step of a run costs, in forward passes. A criterion whose source is not here counts as any other."""
    try:
        facts = describe(str(row.get("criterion._target_"))).facts
    except ComponentError:
        return PASSES
    return PASSES + (isinstance(facts, CriterionFacts) and facts.second_look)


def trained_stages(row: Mapping[Any, Any]) -> list[TrainedStage]:
    """The stages of a run, at least one. row: of `Runs.runs`. Raises AnalysisError where they are none."""
    listed = row.get("stages")
    try:
        return list(_stages(row, [dict(stage) for stage in listed] if isinstance(listed, tuple) else []))
    except (KeyError, TypeError, ValueError) as error:
        raise AnalysisError(f"run {row['signature']}: the stages of its config are none: {listed}") from error


def _stages(row: Mapping[Any, Any], given: Sequence[Mapping[str, Any]]) -> Iterator[TrainedStage]:
    own = {key: row.get(f"data.{key}") for key in ("batch_size", "crop_size", "steps_per_epoch")}
    first = 0.0
    for place, stage in enumerate(given or [{}]):
        end = math.inf if place >= len(given) - 1 else first + float(stage["steps"])
        # Another source has all of its own options, and only those.
        chosen = dict(stage.get("data") or ())
        data = chosen if "_target_" in chosen else own | chosen
        batch, crop, epoch = (_number(data.get(key)) for key in own)
        yield TrainedStage(first, end, batch, crop, None if math.isnan(epoch) else epoch)
        first = end


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _accumulated(
    stages: Sequence[TrainedStage], costs: Sequence[float], until: NDArray[np.float64]
) -> NDArray[np.float64]:
    """What was spent by these steps (n,), where a step of each stage costs so much. NaN counts where it was spent."""
    total = np.zeros(len(until))
    for stage, cost in zip(stages, costs, strict=True):
        made = stage.steps(until)
        total += np.where(made > 0, made * cost, 0.0)
    return total


def _share_computed(
    runs: Runs, signature: str, stages: Sequence[TrainedStage], until: NDArray[np.float64]
) -> NDArray[np.float64]:
    """What part of the pixels loaded by these steps (n,) was computed with; 1 where no entry says otherwise."""
    share = runs.series(signature, names.TRAIN_PIXEL_SHARE)
    if not len(share["step"]):
        return np.ones(len(until))
    told = dict(zip(share["step"].tolist(), share["value"].tolist(), strict=True))
    logged = runs.series(signature, names.TRAIN_LR)["step"].tolist()
    knots = np.array(sorted({0.0, *map(float, logged), *told}))
    loaded, wanted = (_accumulated(stages, [stage.pixels for stage in stages], steps) for steps in (knots, until))
    computed = loaded * np.array([told.get(step, 1.0) for step in knots])
    return np.divide(np.interp(until, knots, computed), wanted, out=np.ones(len(until)), where=wanted > 0)


def _training_seconds(runs: Runs, signature: str, until: NDArray[np.float64]) -> NDArray[np.float64]:
    row = runs.facts(signature)
    begun, before = _spent_by_parent(runs, row)
    speed = runs.series(signature, names.TRAIN_IMAGES_PER_S)
    logged = speed["step"].astype(float)
    validated = runs.series(signature, names.VAL_RD_LOSS)["step"].astype(float)
    by_interval = float(row.get("interval_speeds_from", math.nan))
    if math.isnan(by_interval):
        by_interval = math.inf
    zeroed = np.concatenate([validated[validated <= by_interval], logged[logged > by_interval], [by_interval]])
    stages = trained_stages(row)
    seconds = np.full(len(until), before)
    for stage in stages:
        # The loop's clock was set to zero at each of these steps.
        last = min(stage.end, max(until.max(), stage.first))
        zeros = np.unique(np.concatenate([[max(stage.first, begun)], zeroed, [last]]))
        zeros = zeros[(zeros >= max(stage.first, begun)) & (zeros <= last)]
        if len(zeros) < 2:
            continue
        per_step = stage.batch_size / _speeds(zeros, stage, speed)
        spent = np.concatenate([[0.0], np.cumsum(np.diff(zeros) * per_step)])
        seconds += np.where(until > zeros[0], np.interp(until, zeros, spent), 0.0)
    return seconds


def _speeds(zeros: NDArray[np.float64], stage: TrainedStage, speed: Trajectory) -> NDArray[np.float64]:
    """Of each stretch of a stage between two of these steps (n,) its speed [images/s], (n - 1,)."""
    inside = (speed["step"] > stage.first) & (speed["step"] <= stage.end)
    if not inside.any():
        return np.full(len(zeros) - 1, np.nan)
    last_in_stretch = np.searchsorted(speed["step"][inside], zeros[1:], side="right") - 1
    found: NDArray[np.float64] = speed["value"][inside][last_in_stretch.clip(min=0)]
    return found


def _spent_by_parent(runs: Runs, row: Mapping[Any, Any]) -> tuple[float, float]:
    """(steps, seconds) of the run that this one extends; the seconds are NaN where nobody knows of it."""
    parent = row.get("parent")
    if not isinstance(parent, str):
        return 0.0, 0.0
    known = runs if parent in set(runs.runs["signature"]) else _beside(runs, str(row["folder"]), parent)
    if known is None:
        return 0.0, math.nan
    branch = _number(row.get("parent_step"))
    end = float(known.facts(parent)["step"]) if math.isnan(branch) else branch
    return end, float(_training_seconds(known, parent, np.array([end]))[0])


def _beside(runs: Runs, folder: str, parent: str) -> Runs | None:
    """The run `parent` alone, read from the folder beside this one of a run; None where none that can be read is there.

    It is asked what it cost, and never becomes one of `runs`: a trunk is no budget of its branches' arm.
    """
    place = Path(folder).with_name(parent) if Path(parent).name == parent else None
    asked = (_beside, place)
    if asked not in runs.of_each:
        found = load_runs(place, metrics=NEEDED_METRICS) if place is not None and is_run_folder(place) else None
        readable = found is not None and found.facts(parent)["state"] not in ("unreadable", "newer")
        runs.of_each[asked] = found if readable else None
    beside: Runs | None = runs.of_each[asked]
    return beside


def _epoch_lengths(stages: Sequence[TrainedStage], curve: Trajectory) -> list[float]:
    """The steps of an epoch in each stage; NaN where neither the config nor the log tells."""
    lengths: list[float] = []
    first_epoch = 0.0
    for stage in stages:
        inside = (curve["step"] > stage.first) & (curve["step"] <= stage.end)
        steps, epochs = curve["step"][inside] - stage.first, curve["epoch"][inside]
        length = stage.steps_per_epoch
        if length is None:
            known = not math.isnan(first_epoch) and bool((epochs >= first_epoch).all())
            # Every stage begins an epoch: where the former ones do not tell which, the first logged is it.
            length = _epoch_length(steps, epochs - (first_epoch if known else epochs.min(initial=math.inf)))
        lengths.append(length)
        first_epoch += math.nan if math.isnan(length) or math.isinf(stage.end) else _begun(stage, length)
    return lengths


def epochs_in_all(runs: Runs, signature: str) -> float:
    """How many epochs a run's training begins, to its last step as planned; NaN where its record does not tell."""
    row = runs.facts(signature)
    stages = trained_stages(row)
    lengths = _epoch_lengths(stages, runs.series(signature, names.TRAIN_LR))
    last = replace(stages[-1], end=float(row["max_steps"]))
    counted = zip([*stages[:-1], last], lengths, strict=True)
    return sum(math.nan if math.isnan(length * stage.end) else _begun(stage, length) for stage, length in counted)


def _begun(stage: TrainedStage, steps_per_epoch: float) -> int:
    """How many epochs a stage begins, the last of which may be a part."""
    return math.ceil((stage.end - stage.first) / steps_per_epoch)


def _epoch_length(steps: NDArray[Any], epochs: NDArray[Any]) -> float:
    """Step s (from 1) is in epoch (s - 1) // n: each entry bounds n, and the middle of what is left is taken."""
    later = epochs >= 1
    if not later.any():
        return math.nan
    step, epoch = steps[later] - 1, epochs[later]
    most = np.floor((step / epoch).min())
    least = np.floor((step / (epoch + 1)).max()) + 1
    return float((least + most) / 2)
