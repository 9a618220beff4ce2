"""The evaluation of one run: its best weights, real bitstreams, on images of its own choice or others."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from lic_exp.data.loading import FolderImages, folder_images
from lic_exp.evaluation.evaluator import evaluate
from lic_exp.evaluation.report import Evaluation
from lic_exp.launching import build as building
from lic_exp.launching.identity import data_source
from lic_exp.launching.run import Run
from lic_exp.launching.signals import StopRequest
from lic_exp.models.base import Codec
from lic_exp.training.checkpoint import Checkpoints, load_checkpoint
from lic_exp.training.trainer import Preempted

Config = Mapping[str, Any]


def load_codec(run: Run, device: torch.device) -> Codec:
    """The run's codec with its best weights by `val/rd_loss`, in eval mode."""
    codec = building.build_codec(_without_weights(run.config)).to(device)
    best = Checkpoints(run.folder / "checkpoints", run.signature).best
    codec.load_state_dict(load_checkpoint(best)["codec"])
    return codec.eval()


def evaluate_run(
    run: Run,
    *,
    data: str | None = None,
    folder: Path | None = None,
    qualities: Sequence[float] | None = None,
    console: Console | None = None,
    stop: StopRequest | None = None,
) -> Evaluation:
    """Real bitstreams of the run's best weights.

    data: folder of images; None takes the run's own choice (`evaluation.data`, else its validation photos).
    folder: where the results go; None is the run's `eval`, or `eval/<name of data>` when data is given.
    qualities: of a variable-rate codec; None takes the run's own choice. Raises ConfigError where it has no such.
    stop: asked before every image; raises Preempted where it has a reason.
    """
    config = run.config
    device = building.resolve_device(config["trainer"]["device"])
    codec = load_codec(run, device)
    images = evaluation_images(config, data)
    if qualities is None:
        qualities = config["evaluation"].get("qualities")  # runs made before there was this key have none
    if folder is None:
        folder = run.folder / "eval" / Path(data).resolve().name if data else run.folder / "eval"
    return evaluate(
        codec,
        _UntilStopped(images, stop) if stop else images,
        folder=folder,
        pictures=config["evaluation"]["pictures"],
        device=device,
        progress=console,
        name=config["name"] or run.signature,
        rates=building.evaluation_rates(building.component(config, "criterion"), codec, qualities),
    )


def evaluation_images(config: Config, data: str | None) -> FolderImages:
    """Those in the folder `data`; of None the config's own choice."""
    options = config["evaluation"]
    chosen = data or options["data"]
    images: FolderImages = (
        folder_images(chosen) if chosen else building.build_validation_images(config, data_source(config))
    )
    return images[: options["limit"]] if options["limit"] is not None and data is None else images


@dataclass(frozen=True)
class _UntilStopped:
    """Images that end in Preempted once a stop was asked for."""

    images: FolderImages
    stop: StopRequest

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[tuple[str, torch.Tensor]]:
        for image in self.images:
            if self.stop():
                raise Preempted(f"{self.stop()}: stopped in the evaluation, which starts anew next time")
            yield image


def _without_weights(config: Config) -> dict[str, Any]:
    return {**config, "model": {**config["model"], "weights": None}}
