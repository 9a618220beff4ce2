"""The training of one run: builds its parts, and leaves checkpoints, metrics and pictures in its folder."""

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from rich.console import Console

from lic_exp.atomic import write_atomically
from lic_exp.config.reach import end_of
from lic_exp.config.schema import RunConfig
from lic_exp.csv_text import csv_text
from lic_exp.data.loading import FolderImages
from lic_exp.evaluation.pictures import unless_it_fails
from lic_exp.evaluation.rates import MSE_UNIT
from lic_exp.models.base import Codec
from lic_exp.runs import build as building
from lic_exp.runs.complexity import record_complexity
from lic_exp.runs.diagnosing import diagnosed, drop_diagnoses
from lic_exp.runs.extension import begun_after
from lic_exp.runs.heartbeat import Heartbeat
from lic_exp.runs.judging import Judged
from lic_exp.runs.numerics import channels_last_on_record, compiled_on_record, history_of, without_graphs
from lic_exp.runs.profile_report import PICTURE
from lic_exp.runs.profiling import profiled
from lic_exp.tracking import names
from lic_exp.tracking.base import MetricsWriter, Tracker
from lic_exp.tracking.kinds import Numerics
from lic_exp.tracking.run_folder import RunFolder
from lic_exp.training.checkpoint import Checkpoints
from lic_exp.training.display import Display
from lic_exp.training.objective import Objective
from lic_exp.training.options import TrainerOptions
from lic_exp.training.profiling import Profiler
from lic_exp.training.reporter import Reporter, SilentReporter
from lic_exp.training.rng import rng_state, set_rng_state
from lic_exp.training.shared_checkpoints import SharedCheckpoints
from lic_exp.training.stepper import StepOptions
from lic_exp.training.taking_over import take_over
from lic_exp.training.trainer import Trainer
from lic_exp.training.validation import Validation

log = logging.getLogger("lic_exp.runs")

SHOWN = {
    names.TRAIN_LOSS: ("loss", ".4f"),
    names.TRAIN_BPP_LOSS: ("bpp", ".3f"),
    names.TRAIN_PSNR: ("PSNR", ".2f"),
    names.VAL_RD_LOSS: ("val rd_loss", ".4f"),
}


DRAWING = ".drawing"
"""In a run's artifacts while the pictures of its regularizers are made."""


class RunReporter:
    """Sends the loop's numbers to the run folder, the trackers and the display.

    heart: its pulse, what the next heartbeat says, is kept up to date here.
    """

    def __init__(self, writer: MetricsWriter, tracker: Tracker | None, display: Display, heart: Heartbeat) -> None:
        self.writer = writer
        self.tracker = tracker
        self.display = display
        self.heart = heart
        self.history: list[Numerics] = []
        self.profiler: Profiler | None = None
        self.pictures: Callable[[], None] | None = None

    def log(self, metrics: dict[str, float], *, step: int, epoch: int) -> None:
        self.writer.write(metrics, step=step, epoch=epoch)
        self.display.log(metrics, step)
        if names.VAL_RD_LOSS in metrics:
            self.draw()
        if self.tracker:
            self.tracker.poke()

    def draw(self) -> None:
        """Draw the pictures, once: with the first validation, as the loop's clock stands still then."""
        if self.pictures:
            pictures, self.pictures = self.pictures, None
            pictures()

    def advance(self, step: int) -> None:
        self.heart.pulse["step"] = step
        self.display.advance(step)
        if self.profiler:
            self.profiler.advance(step)

    def uncaptured(self, step: int) -> None:
        self.history = without_graphs(self.history, step)
        self.heart.hold.update_status(numerics=self.history)

    def position(self) -> dict[str, int]:
        self.heart.hold.check()
        return self.writer.position()

    def rewind(self, position: dict[str, int] | int) -> None:
        if lost := self.writer.rewind(position):
            log.warning(lost)
            self.display.console.print(lost, markup=False, highlight=False, soft_wrap=True)


def train(
    config: RunConfig,
    judged: Judged,
    run: RunFolder,
    device: torch.device,
    console: Console,
    heart: Heartbeat,
) -> None:
    """Train to the last step, and leave checkpoints, metrics and the regularizer's pictures."""
    objective, stages, images = judged.objective, judged.stages, judged.images
    judged.findings.keep(run)
    record_rates(run, objective)
    # Counted in the end, since it takes as long as many a step; only a profile's budget is made of it before.
    cost = record_complexity(objective.codec, run, config) if config.trainer.profile else None
    max_steps = sum(stage.steps for stage in stages)
    heart.hold.update_status(device=_device_name(device), max_steps=max_steps)
    for regularizer in objective.spectral_regularizers():
        regularizer.set_end(end_of(config))
    with MetricsWriter(run) as writer, Display(max_steps, SHOWN, console, lasting=[names.VAL_RD_LOSS]) as display:
        reporter = RunReporter(writer, judged.tracker, display, heart)
        reporter.pictures = partial(draw_regularizers, objective, images, run)
        validate = Validation(objective.criterion, images, device)
        trainer = made_trainer(
            config,
            judged,
            run,
            device,
            diagnosed(config, validate, images, run, lambda: trainer.step),
            SharedCheckpoints(
                run.checkpoints,
                run.signature,
                before_writing=heart.hold.check,
                keep_every=config.trainer.keep_every_steps,
            ),
            reporter,
            heart.asked_to_stop,
        )
        if config.trainer.try_step:
            trainer.rehearse()
        origin = begin(trainer, config, run, console)
        drop_diagnoses(run, after=trainer.step)
        if trainer.step < max_steps:
            reporter.history = history_of(config, origin, device, trainer.step, console)
            heart.hold.update_status(
                numerics=reporter.history,
                interval_speeds_from=speeds_from(run, trainer.step, goes_on=origin is run),
            )
        try:
            with profiled(config, trainer, cost, run, console) as reporter.profiler:
                trainer.fit()
        finally:
            heart.hold.update_status(step=trainer.step, best=trainer.best, skipped=sorted(trainer.skipped))
            reporter.draw()
            if not config.trainer.profile:
                record_complexity(objective.codec, run, config)


def train_along(
    config: RunConfig,
    judged: Judged,
    run: RunFolder,
    device: torch.device,
    console: Console,
    stop: Callable[[], str | None],
) -> None:
    """What a rank but the first does of a training: the same steps, and nothing is written."""
    objective = judged.objective
    for regularizer in objective.spectral_regularizers():
        regularizer.set_end(end_of(config))
    trainer = made_trainer(
        config,
        judged,
        run,
        device,
        Validation(objective.criterion, judged.images, device),
        SharedCheckpoints(run.checkpoints, run.signature),
        SilentReporter(),
        stop,
    )
    if config.trainer.try_step:
        trainer.rehearse()
    begin(trainer, config, run, console)
    trainer.fit()


def made_trainer(
    config: RunConfig,
    judged: Judged,
    run: RunFolder,
    device: torch.device,
    validate: Callable[[Codec], dict[str, float]],
    checkpoints: Checkpoints,
    reporter: Reporter,
    stop: Callable[[], str | None],
) -> Trainer:
    """The trainer of a run that is built, at its beginning."""
    return Trainer(
        judged.objective,
        judged.stages,
        validate,
        names.VAL_RD_LOSS,
        checkpoints,
        reporter,
        replace(
            building.options_of(StepOptions, config.trainer),
            compile=compiled_on_record(config, run, device),
            channels_last=channels_last_on_record(config, run, device),
        ),
        building.options_of(TrainerOptions, config.trainer),
        device,
        config.seed,
        stop,
    )


def draw_regularizers(objective: Objective, images: FolderImages, run: RunFolder) -> None:
    """What the regularizers do to the first image, into artifacts/; not again where an earlier attempt has drawn it.

    One that was killed while it drew has left its mark, and all of it is drawn anew.
    """
    mark = run.artifacts / DRAWING
    if any(picture.name != PICTURE for picture in run.artifacts.glob("*.png")) and not mark.exists():
        return
    before = rng_state()
    with unless_it_fails("pictures of the regularizer"):
        mark.touch()
    for regularizer in objective.spectral_regularizers():
        with unless_it_fails("pictures of the regularizer"), torch.no_grad():
            regularizer.write_pictures(images[0][1][0], run.artifacts)
    with unless_it_fails("pictures of the regularizer"):
        mark.unlink(missing_ok=True)
    set_rng_state(before)


def speeds_from(run: RunFolder, step: int, *, goes_on: bool) -> int:
    """Since when its speeds are those of intervals, as here: all of them but what an earlier version has logged."""
    return min(step, run.status().get("interval_speeds_from", step)) if goes_on else step


def record_rates(run: RunFolder, objective: Objective) -> None:
    """Write a variable-rate run's validation rates to artifacts/validation_rates.csv, with their metrics' names."""
    rates = building.evaluation_rates(objective.criterion, objective.codec, None)
    if rates is None:
        return
    rows = [["quality", "lmbda", "lmbda_of_mse_in_0_1", "metric"]]
    for rate in rates:
        numbers = (f"{rate.quality:g}", f"{rate.lmbda:.9g}", f"{MSE_UNIT * rate.lmbda:.9g}")
        rows.append([*numbers, names.at_quality(names.VAL_RD_LOSS, rate.quality)])
    write_atomically(run.artifacts / "validation_rates.csv", csv_text(rows))


def begin(trainer: Trainer, config: RunConfig, run: RunFolder, console: Console) -> RunFolder | None:
    """Put the trainer where the run stands: at its newest checkpoint, where it leaves its parent, or at the start.

    Returns the run whose steps it goes on from, None at the start.
    """
    origin: RunFolder | None = run
    if trainer.resume():
        text = f"going on from step {trainer.step} of {trainer.max_steps}"
    elif config.parent is not None:
        origin = RunFolder(run.root.parent / config.parent)
        take_over(trainer, Checkpoints(origin.checkpoints, origin.signature), begun_after(config, origin))
        text = f"extending run {origin.signature} from step {trainer.step} to {trainer.max_steps}"
    else:
        return None
    log.info(text)
    console.print(text, highlight=False, soft_wrap=True)
    return origin


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
