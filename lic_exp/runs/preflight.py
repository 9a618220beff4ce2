"""What is checked of a run once it is about to train: its images, the disk, and one step of the very model."""

import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lic_exp.atomic import write_json
from lic_exp.capabilities import CriterionFacts
from lic_exp.config.errors import ConfigError
from lic_exp.config.evaluated import separate_images
from lic_exp.config.nodes import Component
from lic_exp.config.reach import end_of
from lic_exp.config.schema import DataConfig, RunConfig
from lic_exp.config.signing import data_source, separate_key
from lic_exp.data.images import list_images, say_once
from lic_exp.data.pixel_store import PixelStore, store_of
from lic_exp.data.preflight import Report, Survey, Without, cache_for, survey, which_are_among
from lic_exp.data.sources import Folder, ImageSource
from lic_exp.data.unchanged import remembered
from lic_exp.runs.extension import begun_after
from lic_exp.runs.listing import bytes_in
from lic_exp.runs.numerics import gone_on_from
from lic_exp.text import visible
from lic_exp.tracking.run_folder import RunFolder, passing_checkpoints, step_checkpoints, step_of
from lic_exp.training.checkpoint import Checkpoints
from lic_exp.training.objective import Objective
from lic_exp.user_cache import cache_folder

log = logging.getLogger("lic_exp.runs")

MOST_MESSAGES = 20
PASSING = 2
"""Step checkpoints that a run has besides those that are kept."""

FILES_AT_ONCE = PASSING + 2
"""Checkpoints that lie on the disk at the worst moment: two of steps, the best, and the one being written."""

MOST_NAMES = 3
"""Images that are named where others are only counted."""


@dataclass
class Findings:
    """What was found of a run's images, by key.

    at_once: whether it is written whatever comes of it. Else it is once the run has a folder, and who is refused has
    none.
    """

    at_once: bool = False
    found: dict[str, Any] = field(default_factory=dict)

    def keep(self, run: RunFolder) -> None:
        """Write artifacts/preflight.json, where there is anything to be told."""
        if self.found:
            write_json(run.artifacts / "preflight.json", self.found)


def checked_source(config: RunConfig, data: DataConfig, run: RunFolder) -> ImageSource:
    """As `looked_at`, and what was found is kept in artifacts/preflight.json. For a run whose folder is there."""
    findings = Findings(at_once=True)
    try:
        return looked_at(config, data, run, findings)
    finally:
        try:
            findings.keep(run)
        except OSError as error:  # an evaluation may read from where it cannot write
            log.warning("artifacts/preflight.json is not written: %s", error)


def looked_at(config: RunConfig, data: DataConfig, run: RunFolder, findings: Findings) -> ImageSource:
    """The run's images, after a look at each of them (`data.preflight`); its folder need not be there yet.

    "fail" raises ConfigError naming what is unusable or stands on both sides of the split; "skip" leaves it out and
    says how many; "off" does not look. What was found is put into `findings`. Of images that are evaluated and do not
    validate, one that is unusable or was trained on is an error in either case: a result over fewer images would be
    compared with those over all, and what is trained on does not depend on what is evaluated later.
    Within `files_unchanged`, stages that have the same images are looked at together.
    """
    source: ImageSource = data_source(data)
    notes = _passed_over(config, source)
    if data.preflight == "off":
        return source
    report = _survey(config, source, run, store_of(data.store_mb)).report(
        crop_size=data.crop_size,
        val_crop_size=data.val_crop_size or _least_side(config.criterion.component),
        evaluation_crop_size=(config.evaluation.data is None and config.data.val_crop_size) or 1,
    )
    _warn_of_choice(config, source, run)
    messages = report.messages()
    if messages or notes:
        findings.found = vars(report) | {"passed_over": notes}
    if not messages:
        return source
    if data.preflight == "fail":
        raise ConfigError([*messages[:MOST_MESSAGES], f"{_rest(run, messages, findings)}{REMOVE}"])
    return _left(config, source, report, run, findings)


def _warn_of_choice(config: RunConfig, source: ImageSource, run: RunFolder) -> None:
    """Say how many images of `evaluation.data` validate as well: their results are of weights that they have chosen."""
    folder = config.evaluation.data
    if folder is None or not config.evaluation.enabled:
        return
    images, chosen = separate_images(config), source.val()

    def warn() -> None:
        shared = which_are_among(images, chosen, cache_for(run.root.parent))
        if any(shared):
            names = [image.name for image, among in zip(images, shared, strict=True) if among]
            text = f"{len(names)} of the {len(images)} images validate too, and so choose the weights that they judge"
            log.warning("evaluation.data=%s: %s (%s)", folder, text, _some(names))

    remembered(("chosen", tuple(images), tuple(chosen)), warn)


def _passed_over(config: RunConfig, source: ImageSource) -> list[str]:
    """What was passed over in folders of images. For the run's log: whoever listed them has said it on the terminal."""
    folder = config.evaluation.data
    notes = source.notes() if isinstance(source, Folder) else []
    notes += list_images(folder).notes if folder and config.evaluation.enabled else []

    def say() -> None:
        for note in notes:
            log.info("%s", note)

    remembered(("passed over", tuple(notes)), say)
    return notes


def _survey(config: RunConfig, source: ImageSource, run: RunFolder, store: PixelStore) -> Survey:
    evaluation = separate_images(config) if config.evaluation.enabled else []
    train = [image for group in source.train() for image in group.images]
    images = (tuple(train), tuple(source.val()), tuple(evaluation))
    runs = run.root.parent
    with suppress(OSError):  # what earlier versions kept there
        (runs / ".preflight.json").unlink(missing_ok=True)

    def look() -> Survey:
        found = survey(source, evaluation, cache=cache_for(runs), load=lambda image: store.load(image)[0])
        say_once(store.take_notes())
        return found

    found: Survey = remembered(("survey", images), look)
    return found


def _least_side(criterion: Component | None) -> int:
    facts = criterion.schema.facts if criterion else None
    return facts.min_crop_size if isinstance(facts, CriterionFacts) else 1


REMOVE = "Remove these images, or leave them out with data.preflight=skip"


def _rest(run: RunFolder, messages: list[str], findings: Findings) -> str:
    """Where the messages are that are too many for the terminal: a refused run has no folder to keep them in."""
    more = len(messages) - MOST_MESSAGES
    if more <= 0:
        return ""
    if findings.at_once:
        return f"{more} more are in artifacts/preflight.json. "
    try:
        file = cache_folder() / "refused" / f"{run.signature}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, messages)
    except (OSError, RuntimeError):  # no home, or no room
        return f"And {more} more. "
    return f"{more} more are in {file}. "


def _left(config: RunConfig, source: ImageSource, report: Report, run: RunFolder, findings: Findings) -> ImageSource:
    separate = Report(bad_evaluation=report.bad_evaluation, evaluation_duplicates=report.evaluation_duplicates)
    key = separate_key(config)
    if messages := [f"{key}: {message}" for message in separate.messages()]:
        advice = f"{_rest(run, messages, findings)}data.preflight=skip leaves out no image that is only evaluated"
        raise ConfigError([*messages[:MOST_MESSAGES], advice])
    train, val = report.bad_train.keys() | report.duplicates.keys(), report.bad_val.keys()
    left = Without(source, train, val)
    for side, some in (("training", left.train()), ("validation", left.val())):
        if not some:
            raise ConfigError([f"data.preflight=skip leaves no {side} image: {report.messages()[0]}"])
    count = f"left out {len(train)} training and {len(val)} validation images"
    text = f"{count}: artifacts/preflight.json ({_some([*sorted(train), *sorted(val)])})"
    remembered(("left out", text), lambda: log.warning("%s", text))
    return left


def _some(names: Sequence[str]) -> str:
    """The first of them."""
    more = [f"and {len(names) - MOST_NAMES} more"] if len(names) > MOST_NAMES else []
    return ", ".join([*map(visible, names[:MOST_NAMES]), *more])


def check_place(run: RunFolder) -> None:
    """Raise ConfigError where the run's folder cannot be made or written to, before anything is made."""
    place = next(path for path in _upwards(run.root) if os.path.lexists(path))
    if not place.is_dir():
        reason = "Not a directory" if place.exists() else "a link that leads nowhere"
    elif not os.access(place, os.W_OK | os.X_OK):
        reason = "it cannot be written to"
    else:
        return
    raise ConfigError([f"paths.runs: {run.root} cannot be made or written to: {place}: {reason}"])


def _upwards(path: Path) -> Iterator[Path]:
    """A path, its folder, and so on up to the root."""
    yield from (path := path.absolute(), *path.parents)


def check_disk(config: RunConfig, run: RunFolder, objective: Objective) -> None:
    """Raise ConfigError where the checkpoints that the run has yet to write will not fit on the disk beside the others.

    Where it goes on, from its own or its parent's, one is as large as the largest of those. Where it begins, it is
    taken to hold the weights, two moments of each, and their average where there is one: an optimizer with more state
    than Adam (SOAP) is told to fit where it may not.
    """
    origin = gone_on_from(config, run)
    size = max((bytes_in(path) for path in step_checkpoints(origin.checkpoints)), default=0) if origin else 0
    if not size:
        weights = sum(tensor.numel() * tensor.element_size() for tensor in objective.state_dict().values())
        size = weights * (3 if config.trainer.ema_decay is None else 4)
    needed = _files_to_come(config, run, origin) * size
    free = shutil.disk_usage(next(path for path in _upwards(run.root) if path.exists())).free
    if free < needed:
        raise ConfigError(
            [f"{run.root}: its checkpoints need {needed / 1e6:.0f} MB and the disk has {free / 1e6:.0f} MB left"]
        )


def _files_to_come(config: RunConfig, run: RunFolder, origin: RunFolder | None) -> int:
    """How many checkpoints more than now lie on the disk at the worst moment. origin: whose steps it goes on from."""
    every, begun, there = config.trainer.keep_every_steps, 0, 0
    if origin is run:
        own = step_checkpoints(run.checkpoints)
        begun = step_of(own[-1])
        # What passes makes room for what comes; what stays does not.
        there = len(passing_checkpoints(own[-PASSING:], every)) + Checkpoints(run.checkpoints, "").best.exists()
    elif origin is not None and every:
        begun = begun_after(config, origin)
    kept = end_of(config).step // every - begun // every if every else 0
    return FILES_AT_ONCE - there + max(kept, 0)
