"""What is checked of a run once it is about to train: its images, the disk, and one step of the very model."""

import json
import logging
import shutil
from collections.abc import Mapping
from typing import Any

from lic_exp.atomic import write_atomically
from lic_exp.catalogue import Component
from lic_exp.data.images import list_images
from lic_exp.data.preflight import Report, Without, examine
from lic_exp.data.sources import ImageSource
from lic_exp.facts import CriterionFacts
from lic_exp.launching.errors import ConfigError
from lic_exp.launching.identity import data_source
from lic_exp.launching.validation import component_of
from lic_exp.tracking.run_folder import RunFolder
from lic_exp.training.objective import Objective

log = logging.getLogger("lic_exp.launching")

Config = Mapping[str, Any]

MOST_MESSAGES = 20
FILES_AT_ONCE = 4
"""Checkpoints that lie on the disk at the worst moment: two of steps, the best, and the one being written."""


def checked_source(config: Config, run: RunFolder) -> ImageSource:
    """The run's images, after a look at each of them (`data.preflight`).

    "fail" raises ConfigError naming what is unusable or stands on both sides of the split; "skip" leaves it out and
    says how many; "off" does not look. What was found is kept in artifacts/preflight.json. An unusable image of
    `evaluation.data` is an error in either case: a result over fewer images would be compared with those over all.
    """
    source: ImageSource = data_source(config)
    mode = config["data"]["preflight"]
    if mode == "off":
        return source
    evaluation = config["evaluation"]["data"]
    report = examine(
        source,
        list_images(evaluation) if evaluation else [],
        crop_size=config["data"]["crop_size"],
        val_crop_size=config["data"]["val_crop_size"] or _least_side(component_of(config, "criterion")),
        cache=run.root.parent / ".preflight.json",
    )
    messages = report.messages()
    if not messages:
        return source
    write_atomically(run.artifacts / "preflight.json", json.dumps(vars(report), indent=1) + "\n")
    if mode == "fail":
        raise ConfigError([*messages[:MOST_MESSAGES], _advice(len(messages))])
    return _left(source, report)


def _least_side(criterion: Component | None) -> int:
    facts = criterion.facts if criterion else None
    return facts.min_crop_size if isinstance(facts, CriterionFacts) else 1


def _advice(count: int) -> str:
    listed = f"{count - MOST_MESSAGES} more are in artifacts/preflight.json. " if count > MOST_MESSAGES else ""
    return f"{listed}Remove these images, or leave them out with data.preflight=skip"


def _left(source: ImageSource, report: Report) -> ImageSource:
    if report.bad_evaluation:
        raise ConfigError([f"evaluation.data: {reason}" for reason in report.bad_evaluation.values()])
    train, val = report.bad_train.keys() | report.duplicates.keys(), report.bad_val.keys()
    left = Without(source, train, val)
    log.warning("left out %d training and %d validation images: artifacts/preflight.json", len(train), len(val))
    for side, some in (("training", left.train()), ("validation", left.val())):
        if not some:
            raise ConfigError([f"data.preflight=skip leaves no {side} image: {report.messages()[0]}"])
    return left


def check_disk(run: RunFolder, objective: Objective, *, averaged: bool) -> None:
    """Raise ConfigError where the run's checkpoints will not fit on the disk.

    A checkpoint holds the weights, two moments of each, and their average where there is one.
    """
    weights = sum(tensor.numel() * tensor.element_size() for tensor in objective.state_dict().values())
    needed = FILES_AT_ONCE * weights * (4 if averaged else 3)
    free = shutil.disk_usage(run.root).free
    if free < needed:
        raise ConfigError(
            [f"{run.root}: its checkpoints need {needed / 1e6:.0f} MB and the disk has {free / 1e6:.0f} MB left"]
        )
