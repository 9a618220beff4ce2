"""One run from its validated config to its final state: folder, training, evaluation, status."""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import yaml
from rich.console import Console

from lic_exp.data.loading import folder_images
from lic_exp.evaluation.evaluator import evaluate
from lic_exp.evaluation.report import Evaluation
from lic_exp.launching import build as building
from lic_exp.launching.environment import record_environment
from lic_exp.launching.identity import data_source
from lic_exp.launching.run import Run
from lic_exp.launching.schema import SCHEMA_VERSION
from lic_exp.models.base import Codec
from lic_exp.tracking import names
from lic_exp.tracking.base import MetricsWriter, Tracker
from lic_exp.tracking.mlflow_store import record_file
from lic_exp.tracking.run_folder import RunFolder, write_atomically
from lic_exp.training.checkpoint import Checkpoints, load_checkpoint
from lic_exp.training.display import Display
from lic_exp.training.trainer import Limits, NonFiniteError, Trainer
from lic_exp.training.validation import Validation

Config = Mapping[str, Any]
log = logging.getLogger("lic_exp.launching")

HEARTBEAT_EVERY_S = 10.0

SHOWN = {
    names.TRAIN_LOSS: ("loss", ".4f"),
    names.TRAIN_BPP_LOSS: ("bpp", ".3f"),
    names.TRAIN_PSNR: ("PSNR", ".2f"),
    names.VAL_RD_LOSS: ("val rd_loss", ".4f"),
}


class RunReporter:
    """Sends the loop's numbers to the run folder, the tracker and the display, and keeps the heartbeat going."""

    def __init__(self, run: RunFolder, writer: MetricsWriter, tracker: Tracker | None, display: Display) -> None:
        self.run = run
        self.writer = writer
        self.tracker = tracker
        self.display = display
        self._beat = 0.0

    def log(self, metrics: dict[str, float], *, step: int, epoch: int) -> None:
        self.writer.write(metrics, step=step, epoch=epoch)
        self.display.log(metrics)
        if self.tracker:
            self.tracker.poke()

    def advance(self, step: int) -> None:
        self.display.advance(step)
        if time.monotonic() - self._beat > HEARTBEAT_EVERY_S:
            self._beat = time.monotonic()
            self.run.update_status(step=step)


def execute(config: Config, run: RunFolder, arguments: list[str], console: Console) -> Run:
    """Train and evaluate `config` in the folder `run`. Whatever happens, status.json says it; errors are re-raised."""
    torch.set_num_threads(config["trainer"]["threads"] or torch.get_num_threads())
    prepare(config, run, arguments)
    with _log_file(run):
        tracker = building.build_tracker(config, run)
        state, reason = "failed", "interrupted"
        try:
            if tracker:
                tracker.start()
            train(config, run, tracker, console)
            if config["evaluation"]["enabled"]:
                evaluate_run(Run(run.root), console=console)
            state, reason = "done", ""
        except NonFiniteError as error:
            state, reason = "diverged", str(error)
            raise
        except BaseException as error:
            log.exception("the run failed")
            reason = f"{type(error).__name__}: {error}"
            raise
        finally:
            run.update_status(state=state, reason=reason, finished=time.time())
            if tracker:
                tracker.finish(state)
    return Run(run.root)


def prepare(config: Config, run: RunFolder, arguments: list[str]) -> None:
    """Make the run folder with all that is known before training."""
    run.create()
    write_atomically(run.config, yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True))
    attempt = run.status().get("attempt", 0) + 1
    # A run that did not finish starts again from its first step; its metrics would otherwise be logged twice.
    run.metrics_file.unlink(missing_ok=True)
    record_file(run).unlink(missing_ok=True)
    run.update_status(
        state="running",
        attempt=attempt,
        reason="",
        step=0,
        started=time.time(),
        finished=None,
        name=config["name"],
        schema_version=SCHEMA_VERSION,
    )
    record_environment(run, arguments)


def train(config: Config, run: RunFolder, tracker: Tracker | None, console: Console) -> None:
    """Build everything, train to the last step, and leave checkpoints, metrics and the regularizer's pictures."""
    built = building.build(config)
    run.update_status(device=_device_name(built.device), max_steps=built.max_steps)
    images = building.build_validation_images(config, built.source)
    codec = built.objective.codec
    validation = Validation(built.objective.criterion, images, built.device)
    for regularizer in built.objective.spectral_regularizers():
        regularizer.write_pictures(images[0][1][0], run.artifacts)
    limits = Limits(
        max_steps=built.max_steps,
        **{key: config["trainer"][key] for key in Limits.__dataclass_fields__ if key != "max_steps"},
    )
    with MetricsWriter(run) as writer, Display(built.max_steps, SHOWN, console) as display:
        trainer = Trainer(
            built.objective,
            built.optimizers,
            built.schedule,
            built.loader,
            lambda: validation(codec),
            names.VAL_RD_LOSS,
            Checkpoints(run.checkpoints),
            RunReporter(run, writer, tracker, display),
            limits,
            config["trainer"]["clip_max_norm"],
            built.device,
        )
        trainer.fit()
    run.update_status(step=trainer.step, best=trainer.best)


def load_codec(run: Run, device: torch.device) -> Codec:
    """The run's codec with its best weights by `val/rd_loss`, in eval mode."""
    codec = building.build_codec(_without_weights(run.config)).to(device)
    codec.load_state_dict(load_checkpoint(Checkpoints(run.folder / "checkpoints").best)["codec"])
    return codec.eval()


def evaluate_run(
    run: Run, *, data: str | None = None, folder: Path | None = None, console: Console | None = None
) -> Evaluation:
    """Real bitstreams of the run's best weights.

    data: folder of images; None takes the run's own choice (`evaluation.data`, else its validation photos).
    folder: where the results go; None is the run's `eval`, or `eval/<name of data>` when data is given.
    """
    config = run.config
    options = config["evaluation"]
    device = building.resolve_device(config["trainer"]["device"])
    chosen = data or options["data"]
    images = folder_images(chosen) if chosen else building.build_validation_images(config, data_source(config))
    if options["limit"] is not None and data is None:
        images = images[: options["limit"]]
    if folder is None:
        folder = run.folder / "eval" / Path(data).resolve().name if data else run.folder / "eval"
    return evaluate(
        load_codec(run, device),
        images,
        folder=folder,
        pictures=options["pictures"],
        device=device,
        progress=console,
        name=config["name"] or run.signature,
    )


def _without_weights(config: Config) -> dict[str, Any]:
    return {**config, "model": {**config["model"], "weights": None}}


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


@contextmanager
def _log_file(run: RunFolder) -> Iterator[None]:
    """Sends the platform's log records to run.log while inside."""
    logger, handler = logging.getLogger("lic_exp"), logging.FileHandler(run.log, delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()
