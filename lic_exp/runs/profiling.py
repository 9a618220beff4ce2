"""`trainer.profile=true` of a run: when it is refused, what is measured, and where that is told."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate

import torch
from rich.console import Console

from lic_exp.config.errors import ConfigError
from lic_exp.config.schema import RunConfig
from lic_exp.evaluation.complexity import Complexity
from lic_exp.evaluation.pictures import unless_it_fails
from lic_exp.runs.numerics import numerics
from lic_exp.runs.profile_report import lines_of, record_of, table_of, write_report
from lic_exp.runs.summary import say
from lic_exp.sections import heard_by
from lic_exp.tracking.run_folder import RunFolder
from lic_exp.training.profiling import LEAST_STEPS, WARM_UP, Profiler, Work
from lic_exp.training.stepper import AUTOCAST
from lic_exp.training.trainer import Trainer

log = logging.getLogger("lic_exp.runs")

FORWARD_AND_BACKWARD = 3
"""How many forward passes a step costs: the backward pass multiplies once for the gradient of a layer's input, and
once for that of its weight."""


def check_profile(config: RunConfig, steps: int) -> None:
    """Raise ConfigError where a run of so many steps is too short to be measured."""
    if config.trainer.profile and steps < LEAST_STEPS:
        raise ConfigError(
            [
                f"trainer.profile=true: the first {WARM_UP} steps are not timed, nor is the last, whose launches are "
                f"counted; this run makes {steps}, and {LEAST_STEPS} are needed at least. 100 tell more"
            ]
        )


@contextmanager
def profiled(
    config: RunConfig,
    trainer: Trainer,
    cost: Complexity | None,
    run: RunFolder,
    console: Console,
) -> Iterator[Profiler | None]:
    """Within, the trainer's steps are measured by what is yielded, which is to be told of each.

    In the end, however it comes, the run's artifacts and the console have what was found. cost: of the codec, None
    where it could not be counted. Yields None without the option.
    """
    if not config.trainer.profile:
        yield None
        return
    device = trainer.device
    profiler = Profiler(
        device,
        AUTOCAST.get(config.trainer.precision, torch.float32),
        trainer.step,
        trainer.max_steps,
        lambda step: work_of(config, trainer, cost, step),
        compiled=bool(trainer.step_options.compile),
    )
    if cost is None:
        profiler.found.missing["FLOPs"] = "the codec's could not be counted, see run.log"
    try:
        with heard_by(profiler):
            yield profiler
    finally:
        with unless_it_fails("profile of the training"):
            _tell(profiler, config, trainer, run, console)


def work_of(config: RunConfig, trainer: Trainer, cost: Complexity | None, step: int) -> Work:
    """What the step just made computes on one device, by its number from 0, as if no weight were frozen."""
    ends = accumulate(stage.steps for stage in trainer.course.stages)
    data = next(of.data for of, end in zip(config.stage_configs, ends, strict=True) if step < end)
    images = data.batch_size // config.trainer.ranks
    macs = None if cost is None else trainer.pixels.last * cost.macs_per_pixel
    passes = FORWARD_AND_BACKWARD + trainer.objective.looks_again
    return Work(images, None if macs is None else 2 * passes * macs)


def _tell(profiler: Profiler, config: RunConfig, trainer: Trainer, run: RunFolder, console: Console) -> None:
    found = profiler.end()
    if not found.steps:
        made = f"none was made after the first {WARM_UP}, which are not measured"
        say(console, f"trainer.profile=true: there is no profile of this attempt's steps: {made}")
        return
    known = ("device_name", "torch", "threads", "precision", "compile", "memory_format")
    chosen = trainer.step_options
    layout = "channels_last" if chosen.channels_last else "contiguous"
    now = {**numerics(config, trainer.device), "compile": chosen.compile, "memory_format": layout}
    about = {"run": run.signature, "name": config.name or config.model.label} | {key: now[key] for key in known}
    record = record_of(found, about)
    console.print(table_of(record))
    for line in [*lines_of(record), f"the same, and a picture: {run.artifacts / 'profile.md'}"]:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    run.make(run.artifacts)
    write_report(record, run.artifacts)
