"""What is checked of a run once it is about to train: its images, the disk, and one step of the very model."""

import logging
import shutil

from lic_exp.atomic import write_json
from lic_exp.capabilities import CriterionFacts
from lic_exp.config.errors import ConfigError
from lic_exp.config.schema import Component, DataConfig, RunConfig
from lic_exp.config.signing import data_source
from lic_exp.data.images import list_images
from lic_exp.data.preflight import CACHE, Report, Survey, Without, survey
from lic_exp.data.sources import Folder, ImageSource
from lic_exp.data.unchanged import remembered
from lic_exp.tracking.run_folder import RunFolder
from lic_exp.training.objective import Objective

log = logging.getLogger("lic_exp.runs")

MOST_MESSAGES = 20
FILES_AT_ONCE = 4
"""Checkpoints that lie on the disk at the worst moment: two of steps, the best, and the one being written."""


def checked_source(config: RunConfig, data: DataConfig, run: RunFolder) -> ImageSource:
    """The run's images, after a look at each of them (`data.preflight`).

    "fail" raises ConfigError naming what is unusable or stands on both sides of the split; "skip" leaves it out and
    says how many; "off" does not look. What was found is kept in artifacts/preflight.json. With `evaluation.data`,
    an image that is unusable or was trained on is an error in either case: a result over fewer images would be compared
    with those over all, and what is trained on does not depend on what is evaluated later.
    Within `files_unchanged`, stages that have the same images are looked at together.
    """
    source: ImageSource = data_source(data)
    notes = _passed_over(config, source)
    if data.preflight == "off":
        return source
    report = _survey(config, source, run).report(
        crop_size=data.crop_size,
        val_crop_size=data.val_crop_size or _least_side(config.criterion.component),
    )
    messages = report.messages()
    if messages or notes:
        write_json(run.artifacts / "preflight.json", vars(report) | {"passed_over": notes})
    if not messages:
        return source
    if data.preflight == "fail":
        raise ConfigError([*messages[:MOST_MESSAGES], _advice(len(messages))])
    return _left(source, report)


def _passed_over(config: RunConfig, source: ImageSource) -> list[str]:
    """What was passed over in folders of images, said in the run's log, and once where that is remembered."""
    folder = config.evaluation.data
    notes = source.notes() if isinstance(source, Folder) else []
    notes += list_images(folder).notes if folder and config.evaluation.enabled else []

    def say() -> None:
        for note in notes:
            log.warning("%s", note)

    remembered(("passed over", tuple(notes)), say)
    return notes


def _survey(config: RunConfig, source: ImageSource, run: RunFolder) -> Survey:
    folder = config.evaluation.data
    evaluation = list_images(folder) if folder and config.evaluation.enabled else []
    train = [image for group in source.train() for image in group.images]
    images = (tuple(train), tuple(source.val()), tuple(evaluation))
    (run.root.parent / ".preflight.json").unlink(missing_ok=True)  # what earlier versions kept there
    found: Survey = remembered(("survey", images), lambda: survey(source, evaluation, cache=run.root.parent / CACHE))
    return found


def _least_side(criterion: Component | None) -> int:
    facts = criterion.schema.facts if criterion else None
    return facts.min_crop_size if isinstance(facts, CriterionFacts) else 1


def _advice(count: int) -> str:
    listed = f"{count - MOST_MESSAGES} more are in artifacts/preflight.json. " if count > MOST_MESSAGES else ""
    return f"{listed}Remove these images, or leave them out with data.preflight=skip"


def _left(source: ImageSource, report: Report) -> ImageSource:
    separate = Report(bad_evaluation=report.bad_evaluation, evaluation_duplicates=report.evaluation_duplicates)
    if messages := [f"evaluation.data: {message}" for message in separate.messages()]:
        raise ConfigError([*messages[:MOST_MESSAGES], "data.preflight=skip leaves out no image for evaluation.data"])
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
