"""One run from its validated config to its final state: folder, training, evaluation, status."""

import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from rich.console import Console

from lic_exp.atomic import write_atomically
from lic_exp.data.loading import FolderImages, folder_images
from lic_exp.divergence import DivergedError
from lic_exp.evaluation.evaluator import evaluate
from lic_exp.evaluation.rates import MSE_UNIT
from lic_exp.evaluation.report import Evaluation
from lic_exp.launching import build as building
from lic_exp.launching.code import code_hash
from lic_exp.launching.complexity import record_complexity
from lic_exp.launching.environment import record_environment
from lic_exp.launching.errors import ConfigError
from lic_exp.launching.identity import data_source, shape
from lic_exp.launching.lock import run_lock
from lic_exp.launching.preflight import check_disk, checked_source
from lic_exp.launching.run import Run
from lic_exp.launching.schema import SCHEMA_VERSION
from lic_exp.launching.signals import StopRequest
from lic_exp.models.base import Codec
from lic_exp.tracking import names
from lic_exp.tracking.base import MetricsWriter, Tracker, forget
from lic_exp.tracking.run_folder import RunFolder
from lic_exp.training.checkpoint import Checkpoints, load_checkpoint
from lic_exp.training.display import Display
from lic_exp.training.objective import Objective
from lic_exp.training.stepper import StepOptions
from lic_exp.training.trainer import Options, Preempted, Trainer
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
    """Sends the loop's numbers to the run folder, the trackers and the display.

    pulse: what the next heartbeat says, kept up to date here.
    """

    def __init__(self, writer: MetricsWriter, tracker: Tracker | None, display: Display, pulse: dict[str, Any]) -> None:
        self.writer = writer
        self.tracker = tracker
        self.display = display
        self.pulse = pulse

    def log(self, metrics: dict[str, float], *, step: int, epoch: int) -> None:
        self.writer.write(metrics, step=step, epoch=epoch)
        self.display.log(metrics)
        if self.tracker:
            self.tracker.poke()

    def advance(self, step: int) -> None:
        self.pulse["step"] = step
        self.display.advance(step)

    def position(self) -> int:
        return self.writer.position()

    def rewind(self, position: int) -> None:
        self.writer.rewind(position)


def execute(config: Config, run: RunFolder, arguments: list[str], console: Console, *, sweep: str | None = None) -> Run:
    """Train and evaluate `config` in the folder `run`, from its newest checkpoint where there is one.

    sweep: the name of the sweep that this is a cell of.

    Whatever happens, status.json says it; errors are re-raised. Raises RunBusyError where another process has the run,
    and Preempted where a signal asked to stop.
    """
    torch.set_num_threads(config["trainer"]["threads"] or torch.get_num_threads())
    with run_lock(run), StopRequest() as stop, _log_file(run):
        prepare(config, run, arguments, sweep)
        tracker = building.build_tracker(config, run)
        state, reason = "failed", ""
        log.info("attempt %d begins", run.status()["attempt"])
        try:
            if tracker:
                tracker.start()
            with _heartbeat(run) as pulse:
                train(config, run, tracker, console, stop, pulse)
                if config["evaluation"]["enabled"]:
                    evaluate_run(Run(run.root), console=console, stop=stop)
            state = "done"
        except Preempted as error:
            state, reason = "preempted", str(error)
            raise
        except DivergedError as error:
            state, reason = "diverged", str(error)
            raise
        except BaseException as error:
            log.exception("the run failed")
            reason = f"{type(error).__name__}: {error}"
            raise
        finally:
            try:
                run.update_status(state=state, reason=reason, finished=time.time())
                log.info("the attempt ends: %s", f"{state}, {reason}" if reason else state)
            finally:  # also where the disk is full
                if tracker:
                    tracker.finish(state)
    return Run(run.root)


def prepare(config: Config, run: RunFolder, arguments: list[str], sweep: str | None) -> None:
    """Make the run folder ready for an attempt.

    Raises ConfigError where `trainer.resume=must` has nothing to resume.
    """
    run.create()
    checkpoints = Checkpoints(run.checkpoints, run.signature)
    resume = config["trainer"]["resume"]
    if resume == "must" and not checkpoints.steps():
        raise ConfigError([f"trainer.resume=must: run {run.signature} has no checkpoint to go on from"])
    anew = resume == "never" or not checkpoints.steps()
    if anew:
        # Starting over: what an earlier attempt logged would otherwise stand there twice.
        checkpoints.clear()
        run.metrics_file.unlink(missing_ok=True)
        forget(run)
    write_atomically(run.config, yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True))
    before = run.status()
    # Of a run that goes on by other code than it was begun with, both are kept.
    made_by = [] if anew else before.get("code", [])
    run.update_status(
        state="running",
        attempt=before.get("attempt", 0) + 1,
        sweep=sweep or before.get("sweep"),
        code=list(dict.fromkeys([*made_by, code_hash(tuple(config["plugins"]))])),
        shape=shape(config),
        reason="",
        started=time.time(),
        finished=None,
        name=config["name"],
        parent=config["parent"],
        schema_version=SCHEMA_VERSION,
    )
    record_environment(run, arguments)


def train(
    config: Config,
    run: RunFolder,
    tracker: Tracker | None,
    console: Console,
    stop: StopRequest,
    pulse: dict[str, Any],
) -> None:
    """Build everything, train to the last step, and leave checkpoints, metrics and the regularizer's pictures."""
    device = building.resolve_device(config["trainer"]["device"])
    objective = building.build_objective(_with_first_weights(config, run), device)
    record_rates(config, run, objective)
    check_disk(run, objective, averaged=config["trainer"]["ema_decay"] is not None)
    record_complexity(objective.codec, run)
    stages = building.build_stages(config, objective, lambda stage: checked_source(stage, run), device)
    max_steps = sum(stage.steps for stage in stages)
    run.update_status(device=_device_name(device), max_steps=max_steps)
    images = building.build_validation_images(config, checked_source(config, run))
    for regularizer in objective.spectral_regularizers():
        regularizer.write_pictures(images[0][1][0], run.artifacts)
    with MetricsWriter(run) as writer, Display(max_steps, SHOWN, console) as display:
        reporter = RunReporter(writer, tracker, display, pulse)
        trainer = Trainer(
            objective,
            stages,
            Validation(objective.criterion, images, device),
            names.VAL_RD_LOSS,
            Checkpoints(run.checkpoints, run.signature),
            reporter,
            building.options_of(StepOptions, config["trainer"]),
            building.options_of(Options, config["trainer"]),
            device,
            stop,
        )
        if config["trainer"]["try_step"]:
            trainer.rehearse()
        begin(trainer, config, run, console)
        try:
            trainer.fit()
        finally:
            run.update_status(step=trainer.step, best=trainer.best, skipped=sorted(trainer.skipped))


def record_rates(config: Config, run: RunFolder, objective: Objective) -> None:
    """Write a variable-rate run's validation rates to artifacts/validation_rates.csv, with their metrics' names.

    Raises ConfigError, before anything is trained, where `evaluation.qualities` are not the codec's.
    """
    criterion, codec = objective.criterion, objective.codec
    building.evaluation_rates(criterion, codec, config["evaluation"]["qualities"])
    rates = building.evaluation_rates(criterion, codec, None)
    if rates is None:
        return
    lines = ["quality,lmbda,lmbda_of_mse_in_0_1,metric"]
    lines += [
        f"{rate.quality:g},{rate.lmbda:.9g},{MSE_UNIT * rate.lmbda:.9g},"
        f"{names.at_quality(names.VAL_RD_LOSS, rate.quality)}"
        for rate in rates
    ]
    write_atomically(run.artifacts / "validation_rates.csv", "\n".join(lines) + "\n")


def begin(trainer: Trainer, config: Config, run: RunFolder, console: Console) -> None:
    """Put the trainer where the run stands: at its newest checkpoint, at its parent's last step, or at the start."""
    if trainer.resume():
        text = f"going on from step {trainer.step} of {trainer.max_steps}"
    elif config["parent"] is not None:
        parent = RunFolder(run.root.parent / config["parent"])
        trainer.extend(Checkpoints(parent.checkpoints, parent.signature))
        text = f"extending run {parent.signature} from step {trainer.step} to {trainer.max_steps}"
    else:
        return
    log.info(text)
    console.print(text, highlight=False, soft_wrap=True)


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


def _with_first_weights(config: Config, run: RunFolder) -> Config:
    """The config with the weights that `init_from` names, those of the run beside this one."""
    if config["init_from"] is None:
        return config
    best = run.root.parent / config["init_from"] / "checkpoints" / "best.pt"
    return {**config, "model": {**config["model"], "weights": str(best)}}


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


@contextmanager
def _heartbeat(run: RunFolder) -> Iterator[dict[str, Any]]:
    """Renews status.json's heartbeat while inside, also during long validations and evaluations.

    Yields what else each beat writes, to be filled.
    """
    ended = threading.Event()
    pulse: dict[str, Any] = {}

    def beat() -> None:
        while not ended.wait(HEARTBEAT_EVERY_S):
            try:
                run.update_status(**pulse)
            except OSError as error:  # a full disk must not go unnoticed, but the next beat may work
                log.warning("the heartbeat could not be written: %s", error)

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield pulse
    finally:
        ended.set()
        thread.join()
