"""The evaluation of one run: its best weights, real bitstreams, on images of its own choice or others."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console

from lic_exp.atomic import write_json
from lic_exp.comparability import optimized_for
from lic_exp.config.contents import folder_fingerprint
from lic_exp.config.errors import ConfigError
from lic_exp.config.evaluated import separate_images
from lic_exp.config.loading import with_values
from lic_exp.config.schema import RunConfig, StageConfig
from lic_exp.config.signing import asked_evaluation_name, data_source, evaluation_name, separate_fingerprint
from lic_exp.data.images import ImageError, SourceImage, UnreadableError
from lic_exp.data.loading import FolderImages, folder_images
from lic_exp.data.preflight import cache_for, which_are_among
from lic_exp.evaluation.conventions import DATA_SET, OPTIMIZED_FOR, WEIGHTS
from lic_exp.evaluation.evaluator import evaluate
from lic_exp.evaluation.report import Evaluation
from lic_exp.evaluation.unfinished import ReadableImages
from lic_exp.fault_points import reached
from lic_exp.models.base import Codec
from lic_exp.models.weights import load_fitting
from lic_exp.naming import file_name
from lic_exp.ops.ranks import agreed, is_first, said_by_first, world
from lic_exp.runs import build as building
from lic_exp.runs.changed_images import mark_changed, seen_before
from lic_exp.runs.code_hash import evaluated_by
from lic_exp.runs.one_at_a_time import one_at_a_time
from lic_exp.runs.preflight import checked_source
from lic_exp.runs.run import Run
from lic_exp.saying import say
from lic_exp.text import blank_message, is_blank
from lic_exp.tracking.run_folder import EVALUATION_FILE, EVALUATION_KEY
from lic_exp.tracking.tables import TRAINS, VALIDATES
from lic_exp.training.checkpoint import Checkpoints
from lic_exp.training.finite import FiniteWeights
from lic_exp.training.preempted import Preempted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_DECODED = 1000
"""Training images that are looked at to see whether they are evaluated; of more those that were looked at before."""


@one_at_a_time("loads a codec", nested=True, long=False)
def load_codec(run: Run, device: torch.device) -> Codec:
    """The run's codec with its best weights by `val/rd_loss`, in eval mode. Raises DivergedError for spoilt ones."""
    codec = building.build_codec(with_values(run.config, {"model.weights": None})).to(device)
    checkpoints = Checkpoints(run.folder / "checkpoints", run.signature)
    best = checkpoints.load_best()
    load_fitting(codec, best["codec"], checkpoints.best)
    FiniteWeights({"best.pt": codec}).check(best["step"])
    return codec.eval()


@one_at_a_time("evaluates a run", nested=True)
def evaluate_run(
    run: Run,
    *,
    config: RunConfig | None = None,
    data: str | None = None,
    folder: Path | None = None,
    qualities: Sequence[float] | None = None,
    metrics: Sequence[str] | None = None,
    console: Console | None = None,
    stop: Callable[[], str | None] | None = None,
    just_trained: bool = False,
    of: str | None = None,
) -> Evaluation:
    """Real bitstreams of the run's best weights.

    config: one of the same training, whose evaluation is meant; None: the run's own.
    data: folder of images; None takes the config's choice: `evaluation.data`, else the test images of its data, else
        those that validate. The results say of each image whether it validates, and so has chosen the weights.
    metrics: beside bpp, PSNR and MS-SSIM; None takes the config's choice. Raises ConfigError where there is no such.
    folder: where the results go; None is `asked_folder` where data, qualities or metrics are given. Else it is
        `eval`, or `eval/<name>` for another evaluation than the one that is there
        (`lic_exp.config.signing.evaluation_name`).
    qualities: of a variable-rate codec; None takes the config's choice. Raises ConfigError where it has no such.
    stop: asked before every image, at each rate; raises Preempted where it has a reason.
    of: what the results shall say whose they are, where they are asked for beside the run's own.
    just_trained: whether this process trained it; then it is evaluated by the same code, whatever lies there by now.
    """
    config = config or run.config
    further = building.evaluation_metrics(config.evaluation.metrics if metrics is None else metrics)
    made_by = _code(run, just_trained=just_trained)
    device = building.resolve_device(config.trainer.device)
    codec = load_codec(run, device)
    images = evaluation_images(config, data, run)
    before = seen_before(images.sources)
    asked = data is not None or qualities is not None or metrics is not None
    name = evaluation_name(config) if folder is None and not asked else None
    if folder is None:
        folder = run.evaluation_folder(name) if name else asked_folder(run, config, data, qualities, (), metrics)
    if folder.is_relative_to(run.folder) and is_first():
        run.files.make(folder)  # or an error, where the run folder is gone
    readable = ReadableImages(images)
    with building.made_current(device):
        found = evaluate(
            codec,
            _UntilStopped(readable, stop) if stop else readable,
            folder=folder,
            pictures=config.evaluation.pictures,
            device=device,
            progress=console,
            name=config.name or run.signature,
            rates=building.evaluation_rates(
                building.build_criterion(config), codec, config.evaluation.qualities if qualities is None else qualities
            ),
            metrics=further,
            # Several ranks stop together, between two images.
            before_each=partial(_check_stop, stop if world() == 1 else None),
            about=_described(config, data) | {"code": made_by, "of": of},
            beside=said_by_first(_beside(config, data, images, run) if is_first() else []),
        )
    if not is_first():
        return found
    reached("evaluation.written")
    if name:
        _name(folder / EVALUATION_FILE, name)
    return replace(found, images_changed=mark_changed(images.sources, before, folder))


def _code(run: Run, *, just_trained: bool) -> str | None:
    """The hash of the code that evaluates it; None where nobody knows."""
    try:
        status = run.status
    except ConfigError:
        return None
    return (status.get("code") or [None])[-1] if just_trained else evaluated_by(status)


def _name(file: Path, name: str) -> None:
    """Write into the results whose they are; until then they count as none."""
    content = json.loads(file.read_text(encoding="utf-8"))
    write_json(file, content | {EVALUATION_KEY: name})


def asked_folder(
    run: Run,
    config: RunConfig,
    data: str | None,
    qualities: Sequence[float] | None,
    targets: Sequence[tuple[str, float]] = (),
    metrics: Sequence[str] | None = None,
) -> Path:
    """Where an evaluation goes that is asked for beside the run's own: `eval/kodak-1a2b3c4d` and the like.

    The words are for people; the digits are of what the images are and of the rates, so that two sets of images whose
    folders have one name lie apart, and the same evaluation always comes to the same folder.
    """
    words = [file_name(Path(os.path.abspath(os.path.expanduser(data))).name, otherwise="images")] if data else []
    words += ["targets"] if targets else [] if qualities is None else ["chosen_rates"]
    words += [] if metrics is None else ["chosen_metrics"]
    if run.state != "done":
        words.insert(0, "so_far")
    if words == ["so_far"]:
        return run.files.eval / "so_far"
    return run.files.eval / f"{'_'.join(words)}-{asked_evaluation_name(config, data, qualities, targets, metrics)}"


def _described(config: RunConfig, data: str | None) -> dict[str, Any]:
    """Which images these are: their folder, null for the data's own; what is in it, null for those that validate.

    And what else tells this evaluation from others of the same images: the weights, and what they were trained for.
    """
    criterion, source = config.criterion.component, config.data.component
    trained = {
        WEIGHTS: config.trainer.eval_weights,
        OPTIMIZED_FOR: criterion and optimized_for(criterion.schema.code_name),
    }
    chosen = data or config.evaluation.data
    if chosen is None:
        named = {DATA_SET: source and source.schema.code_name}
        return {"data": None, "fingerprint": separate_fingerprint(config)} | named | trained
    folder = os.path.abspath(os.path.expanduser(chosen))
    named = {DATA_SET: Path(folder).name}
    return {"data": folder, "fingerprint": folder_fingerprint(chosen)} | named | trained


def evaluation_images(config: RunConfig, data: str | None, run: Run) -> FolderImages:
    """Those in the folder `data`; of None the config's own choice, as the run was validated on."""
    if is_blank(data):
        raise ConfigError([blank_message("the folder of images", "None is what the run evaluates on")])
    options = config.evaluation
    own = config.data
    if data is not None or options.data is not None:
        images = folder_images(data or str(options.data))
    elif separate := separate_images(config):
        images = FolderImages(separate, crop_size=own.val_crop_size)
    else:
        images = _validation_images(config, run)
    return images[: options.limit] if options.limit is not None and data is None else images


def _validation_images(config: RunConfig, run: Run) -> FolderImages:
    own = config.data
    source = checked_source(config, own, run.files) if own.preflight == "skip" else data_source(own)
    return building.build_validation_images(own, source)


def _validates(config: RunConfig, data: str | None, images: FolderImages, run: Run) -> list[dict[str, bool]]:
    """Of each image, whether the run validates on the same photo; [] where its validation images are not here."""
    if data is None and not separate_images(config):
        return [{VALIDATES: True}] * len(images)
    try:
        chosen = _validation_images(config, run).sources
        if set(chosen) >= set(images.sources):
            return [{VALIDATES: True}] * len(images)
        return [{VALIDATES: among} for among in which_are_among(images.sources, chosen, cache_for(run.folder.parent))]
    except (ConfigError, ImageError):
        return []


def _trains(config: RunConfig, data: str | None, images: FolderImages, run: Run) -> list[dict[str, bool]]:
    """Of each image, whether the run trains on the same photo; [] where its training images are not here."""
    unseen = "off" in [config.data.preflight, *(stage.data.preflight for stage in config.stage_configs)]
    if data is None and config.evaluation.data is None and not unseen:
        return [{TRAINS: False}] * len(images)  # else the training was refused, or the image left out
    try:
        train = list({image: None for stage in config.stage_configs for image in _training_images(stage, run)})
        load = _decoded if len(train) <= MOST_DECODED else _not_now
        found = which_are_among(images.sources, train, cache_for(run.folder.parent), load)
    except (ConfigError, ImageError):
        return []
    if any(found):
        say(f"{sum(found)} of the {len(found)} images are ones that the run was trained on")
    return [{TRAINS: among} for among in found]


def _training_images(stage: StageConfig, run: Run) -> list[SourceImage]:
    skips = stage.data.preflight == "skip"
    source = checked_source(run.config, stage.data, run.files) if skips else data_source(stage.data)
    return [image for group in source.train() for image in group.images]


def _decoded(image: SourceImage) -> "NDArray[np.uint8]":
    return image.load()


def _not_now(image: SourceImage) -> "NDArray[np.uint8]":
    """Of a file that nobody has looked at: decoding hundreds of thousands for this would take hours."""
    raise UnreadableError(f"{image.name} was not looked at")


def _beside(config: RunConfig, data: str | None, images: FolderImages, run: Run) -> list[dict[str, bool]]:
    """What is said of each image beside its numbers."""
    told = (_trains(config, data, images, run), _validates(config, data, images, run))
    return [trains | validates for trains, validates in zip_longest(*told, fillvalue=dict[str, bool]())]


@dataclass(frozen=True)
class _UntilStopped:
    """Images that end in Preempted once a stop was asked for."""

    images: ReadableImages
    stop: Callable[[], str | None]

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[tuple[str, torch.Tensor | ImageError]]:
        for image in self.images:
            _check_stop(self.stop)
            yield image
            reached("evaluation.coded")
        self.stop()  # too late for a reason; but it raises where the results have nowhere to go


def _check_stop(stop: Callable[[], str | None] | None) -> None:
    if stop and (reason := agreed(stop())):
        raise Preempted(f"{reason}: stopped in the evaluation, which starts anew next time")
