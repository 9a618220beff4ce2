"""All of a run that can be judged before anything is written: then a refusal leaves neither a folder nor an attempt."""

import logging
from dataclasses import dataclass

import torch

from lic_exp.config.errors import ConfigError
from lic_exp.config.loading import with_values
from lic_exp.config.reach import never_reached
from lic_exp.config.schema import RunConfig
from lic_exp.config.signing import data_source
from lic_exp.data.loading import FolderImages
from lic_exp.models.files import CheckpointError
from lic_exp.records import RecordError
from lic_exp.runs import build as building
from lic_exp.runs.diagnosing import check_diagnosis
from lic_exp.runs.extension import begun_after
from lic_exp.runs.numerics import channels_last_on_record, compiled_on_record
from lic_exp.runs.preflight import Findings, check_disk, check_place, looked_at
from lic_exp.runs.profiling import check_profile
from lic_exp.tracking.base import Tracker
from lic_exp.tracking.run_folder import RunFolder
from lic_exp.training.checkpoint import Checkpoints
from lic_exp.training.objective import Objective
from lic_exp.training.stages import Stage

log = logging.getLogger("lic_exp.runs")


@dataclass(frozen=True)
class Judged:
    """What a run trains with, built and looked at.

    objective: on the device. stages: their optimizers are made when they begin. images: those that it is validated on.
    findings: what was found of the images. tracker: not started yet; None where none was chosen.
    """

    objective: Objective
    stages: list[Stage]
    images: FolderImages
    findings: Findings
    tracker: Tracker | None


def judged(config: RunConfig, run: RunFolder, device: torch.device) -> Judged:
    """The parts of a run; the quick ones first. Raises ConfigError, and has written nothing into the folder of runs."""
    check_place(run)
    objective = check_parts(config, run, device)
    tracker = building.build_tracker(config, run)
    check_disk(config, run, objective)
    _check_parent(config, run)
    findings = Findings()
    stages = building.build_stages(config, objective, lambda data: looked_at(config, data, run, findings), device)
    check_profile(config, sum(stage.steps for stage in stages))
    images = building.build_validation_images(config.data, looked_at(config, config.data, run, findings))
    for text in never_reached(config):
        log.warning(text)
    return Judged(objective, stages, images, findings, tracker)


def check_parts(
    config: RunConfig, run: RunFolder, device: torch.device | None = None, *, weights_too: bool = True
) -> Objective:
    """What the run's images have no part in, built: the objective on the device (None: the CPU). Raises ConfigError.

    weights_too: also those of the run that `init_from` names, which must be there.
    """
    device = device or torch.device("cpu")
    begun = with_first_weights(config, run) if weights_too else config
    objective = building.build_objective(
        begun, device, compiled_on_record(config, run, device), channels_last_on_record(config, run, device)
    )
    building.evaluation_rates(objective.criterion, objective.codec, config.evaluation.qualities)
    building.evaluation_metrics(config.evaluation.metrics)
    check_diagnosis(config, objective.codec)
    for stage in building.build_stages(config, objective, data_source, device):
        stage.build()
    return objective


def with_first_weights(config: RunConfig, run: RunFolder) -> RunConfig:
    """The config with the weights that `init_from` names, those of the run beside this one."""
    if config.init_from is None:
        return config
    best = run.root.parent / config.init_from / "checkpoints" / "best.pt"
    return with_values(config, {"model.weights": str(best), "model.weights_key": None})


def _check_parent(config: RunConfig, run: RunFolder) -> None:
    """Raise ConfigError where a run that begins as an extension cannot read what it goes on from."""
    if config.parent is None or (config.trainer.resume != "never" and Checkpoints(run.checkpoints, "").steps()):
        return
    parent = RunFolder(run.root.parent / config.parent)
    checkpoints = Checkpoints(parent.checkpoints, config.parent)
    try:
        checkpoints.load_step(begun_after(config, parent))
        checkpoints.load_best()
    except (CheckpointError, RecordError) as error:
        raise ConfigError([f"parent={config.parent}: {error}"]) from error
