"""What a run had spent at each of its evaluations."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.runs import Runs
from lic_exp.tracking import names

UNITS = ("steps", "epochs", "images", "seconds", "macs")
NEEDED_METRICS = (names.VAL_RD_LOSS, names.TRAIN_IMAGES_PER_S, names.TRAIN_LR)


Trajectory = dict[str, NDArray[np.float64]]


def trajectory(runs: Runs, signature: str, metric: str, macs_per_image: float | None = None) -> Trajectory:
    """By evaluation of a run, (n,) each: `value` of the metric, and what was spent until then in each of UNITS.

    seconds: training alone. `train/images_per_s` is the mean speed since the last evaluation (or since a resume), so
    each stretch between two evaluations took its images over the speed logged last in it; a stretch without an entry
    is given the speed before it. Evaluations, waiting between attempts and the start-up are not in it, writing
    checkpoints is. NaN where no speed was logged.
    epochs: steps over the steps of an epoch, as configured or else as the logged epochs have it; NaN without either.
    macs: images times `macs_per_image`; None: what one crop costs the run's codec in the forward pass (as recorded, NaN
        where it was not). That a step costs about three times as much cancels in ratios.
    Raises AnalysisError where the metric was never logged.
    """
    row = runs.facts(signature)
    curve = runs.series(signature, metric)
    if not len(curve["step"]):
        raise AnalysisError(f"run {signature} ({row['state']}) never logged {metric}")
    steps = curve["step"].astype(float)
    speed = runs.series(signature, names.TRAIN_IMAGES_PER_S)
    images = steps * float(row.get("data.batch_size", np.nan))
    macs_per_image = _forward_macs(row) if macs_per_image is None else macs_per_image
    return {
        "value": curve["value"].astype(float),
        "steps": steps,
        "epochs": steps / _steps_per_epoch(row, speed if len(speed["step"]) else curve),
        "images": images,
        "seconds": _training_seconds(steps, images, speed),
        "macs": images * macs_per_image,
    }


def _forward_macs(row: Mapping[Any, Any]) -> float:
    """MACs of the codec's forward pass on a crop; NaN where not recorded, or where stages have their own crops."""
    if "crop_size" in str(row.get("stages", "")):
        return float("nan")
    return float(row["macs_per_pixel"]) * float(row.get("data.crop_size", np.nan)) ** 2


def _training_seconds(steps: NDArray[Any], images: NDArray[Any], speed: Trajectory) -> NDArray[Any]:
    if not len(speed["step"]):
        return np.full(len(steps), np.nan)
    last_in_stretch = np.searchsorted(speed["step"], steps, side="right") - 1
    seconds: NDArray[Any] = np.cumsum(np.diff(images, prepend=0.0) / speed["value"][last_in_stretch.clip(min=0)])
    return seconds


def _steps_per_epoch(row: Mapping[Any, Any], curve: Trajectory) -> float:
    """Step s (from 1) is in epoch (s - 1) // n: each entry bounds n, and the middle of what is left is taken."""
    configured = row.get("data.steps_per_epoch")
    if configured is not None and not math.isnan(configured):
        return float(configured)
    later = curve["epoch"] >= 1
    if not later.any():
        return float("nan")
    step, epoch = curve["step"][later] - 1, curve["epoch"][later]
    most = np.floor((step / epoch).min())
    least = np.floor((step / (epoch + 1)).max()) + 1
    return float((least + most) / 2)
