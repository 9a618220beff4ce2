"""What makes two values of `val/rd_loss` measures of different things. Imports no torch."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from lic_exp.flat import leaves

TRAINING_DATA = frozenset(
    f"data.{key}"
    for key in (
        *("batch_size", "crop_size", "flip", "num_workers", "steps_per_epoch", "cache_mb", "store_mb"),
        *("train", "train_weights", "train_images"),
    )
)
"""Options of the data that leave the validation images as they are; any other is taken to change them."""

TRAINING_CRITERION = frozenset(("criterion.share_lr", "criterion.share_decay"))
"""Options of criteria that change what is minimised, and nothing of what validation measures."""

MEASURES_AS = {
    "lic_exp.training.balanced.BalancedMSE": "lic_exp.training.criterion.MSE",
    "lic_exp.training.balanced.Balanced": "lic_exp.training.variable_rate.VariableRate",
}
"""Criteria that minimise something else than others, and measure the same."""

ABSENT = "(no such option)"


CRITERIA = {"mse": "mse", "variable_rate": "mse", "balanced_mse": "mse", "balanced": "mse", "ms_ssim": "ms-ssim"}


def optimized_for(criterion: str) -> str:
    """For what a criterion trains, by the name that signatures have for it: "mse", "ms-ssim", or that name itself."""
    return CRITERIA.get(criterion, criterion)


def kind_of(key: str) -> str:
    """What is another where runs differ in this config key, in words; "" where they still can be compared."""
    if "." in key and "lmbda" in key.rpartition(".")[2]:
        return "lambda sets"
    if key.startswith("criterion."):
        return "" if key in TRAINING_CRITERION else "criteria"
    return "validation sets" if key.startswith("data.") and key not in TRAINING_DATA else ""


def measured_by(key: str, value: Any) -> Any:
    """The value of a config key as far as it decides what `val/rd_loss` measures."""
    return MEASURES_AS.get(value, value) if key == "criterion._target_" else value


def unlike(configs: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """{key: its values in JSON's spelling} of what makes the losses of these configs, plain ones, incomparable."""
    flat = [dict(leaves(config)) for config in configs]
    keys = dict.fromkeys(key for one in flat for key in one if kind_of(key))
    found = {key: list(dict.fromkeys(_text(measured_by(key, one.get(key, ABSENT))) for one in flat)) for key in keys}
    return {key: values for key, values in found.items() if len(values) > 1}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def ranking_faults(what: str, configs: Iterable[Mapping[str, Any]]) -> list[str]:
    """Why `what` must not rank these configs by `val/rd_loss`: a message per key; none where it may."""
    return [
        f"{key}: {what} by val/rd_loss, which measures something else at each of {shown(values)}"
        f"{LOWER if kind_of(key) == 'lambda sets' else ''}: {ADVICE}"
        for key, values in unlike(configs).items()
    ]


LOWER = ", and is lower for a lower lmbda whatever was trained"
ADVICE = "give this key one value, and do the same once more for another"
MOST_SHOWN = 5


def shown(values: list[str]) -> str:
    """Values in words, the first of many."""
    more = f" and {len(values) - MOST_SHOWN} more" if len(values) > MOST_SHOWN else ""
    return f"{', '.join(values[:MOST_SHOWN])}{more}"
