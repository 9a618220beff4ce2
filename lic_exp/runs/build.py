"""From a config to objects: where a component's options become arguments."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields
from functools import partial
from typing import Any, TypeVar

import torch

from lic_exp.config.contents import said_of_weights, weights_file
from lic_exp.config.errors import ConfigError
from lic_exp.config.instantiation import instantiate, with_message
from lic_exp.config.reach import last_step
from lic_exp.config.schema import DataConfig, RunConfig, StageConfig, TrainerConfig
from lic_exp.data.loading import FolderImages, TrainLoader, validation_images
from lic_exp.data.sources import ImageSource
from lic_exp.evaluation.rates import Rate
from lic_exp.models.base import Codec
from lic_exp.models.weights import freeze, load_weights
from lic_exp.optimizers.groups import ParameterSplit, build_optimizers, split_parameters
from lic_exp.optimizers.schedules import Schedule
from lic_exp.picture_metrics import ALWAYS_MEASURED, PictureMetric, picture_metric
from lic_exp.runs.compiling import channels_last_as, compiled_as
from lic_exp.spectral_reg.base import SpectralRegularizer
from lic_exp.tracking.background_sync import BackgroundSync, Trackers
from lic_exp.tracking.base import Tracker
from lic_exp.tracking.run_folder import RunFolder
from lic_exp.training.compiling import compile_objective
from lic_exp.training.objective import Criterion, Objective
from lic_exp.training.rng import seed_everything
from lic_exp.training.stages import Setup, Stage
from lic_exp.training.variable_rate import VariableRate

T = TypeVar("T")


def build_codec(config: RunConfig) -> Codec:
    """The codec, seeded by `seed`, with `model.weights` loaded where given."""
    seed_everything(config.seed)
    model = config.model
    codec: Codec = instantiate(model.component, "model")
    if model.weights is not None:
        how = {"partial": model.partial_weights, "place": model.weights_key}
        file = weights_file(model.weights)
        with_message(said_of_weights(model.weights), load_weights, codec, file, **how)
    if model.portable:
        with_message("model.portable", codec.portable_mode)
    codec.codes_portably = model.portable
    with_message("model.freeze", freeze, codec, model.freeze)
    return codec


def build_regularizers(config: RunConfig, codec: Codec) -> dict[str, SpectralRegularizer]:
    """The regularizer, made for this codec; none is an empty dictionary."""
    regularizer: SpectralRegularizer | None = instantiate(config.spectral_reg.component, "spectral_reg")
    if regularizer is None:
        return {}
    with_message("spectral_reg", regularizer.attach, codec)
    return {"spectral_reg": regularizer}


def build_loader(data: DataConfig, seed: int, source: ImageSource, device: torch.device) -> TrainLoader:
    return with_message(
        "data",
        TrainLoader,
        source,
        seed=seed,
        device=device,
        batch_size=data.batch_size,
        crop_size=data.crop_size,
        steps_per_epoch=data.steps_per_epoch,
        flip=data.flip,
        num_workers=data.num_workers,
        cache_mb=data.cache_mb,
        store_mb=data.store_mb,
    )


def build_validation_images(data: DataConfig, source: ImageSource) -> FolderImages:
    return validation_images(source, crop_size=data.val_crop_size, limit=data.val_limit, store_mb=data.store_mb)


def build_tracker(config: RunConfig, run: RunFolder) -> Tracker | None:
    """The chosen trackers as one, or None."""
    trackers = [build_background_sync(config, name, run) for name in config.tracker.components]
    return Trackers(trackers) if trackers else None


def build_background_sync(config: RunConfig, name: str, run: RunFolder) -> BackgroundSync:
    """One of them, e.g. "mlflow"."""
    tracker: BackgroundSync = instantiate(config.tracker.components[name], f"tracker.{name}", run, config.name)
    return tracker


def resolve_device(name: str) -> torch.device:
    """The configured device; "auto" is CUDA where there is one.

    Raises ConfigError where it is not there, or is one of torch's others: nothing here was ever tried on them, and on
    meta tensors have no values at all.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    right = "write auto, cpu, cuda or cuda:0"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError([f"trainer.device={name}: there is no such device: {right}"]) from error
    if device.type not in ("cpu", "cuda"):
        raise ConfigError([f"trainer.device={name}: nothing is trained or coded on {device.type}: {right}"])
    number = int(name.partition(":")[2] or 0)  # torch's own has eight bits, in which cuda:256 is the first
    if device.type == "cuda" and number >= torch.cuda.device_count():
        raise ConfigError([f"trainer.device={name}: this machine has {torch.cuda.device_count()} CUDA devices"])
    return device


def made_current(device: torch.device) -> AbstractContextManager[Any]:
    """Inside, a GPU is meant by what names none, streams and pinned memory too, which would go to the first."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def build_objective(
    config: RunConfig, device: torch.device, compiled: bool | str | None = None, channels_last: bool | None = None
) -> Objective:
    """Codec, criterion and regularizers on the device. The order is fixed: it decides which draws initialise what.

    compiled, channels_last: how, where another run's record says it; None as the config says.
    """
    codec = build_codec(config)
    objective = Objective(codec, build_criterion(config), build_regularizers(config, codec)).to(device)
    how = compiled_as(config, device) if compiled is None else compiled
    if channels_last_as(config, device, how) if channels_last is None else channels_last:
        objective.codec.to(memory_format=torch.channels_last)
    with_message("trainer.compile", compile_objective, objective, how)
    return objective


def build_criterion(config: RunConfig) -> Criterion:
    criterion: Criterion = instantiate(config.criterion.component, "criterion")
    return criterion


def evaluation_rates(criterion: Criterion, codec: Codec, qualities: Sequence[float] | None) -> list[Rate] | None:
    """The rates of these qualities; of None the validation rates. None for a codec with one rate.

    Raises ConfigError where the codec does not have them.
    """
    if not isinstance(criterion, VariableRate):
        if qualities is not None:
            first = f"evaluation.qualities={qualities[0]:g}"
            raise ConfigError([f"{first}: this run's model has one rate, so there is no quality to choose"])
        return None
    rates = criterion.range_of(codec)
    if qualities is None:
        return rates.spaced(criterion.validation_rates)
    return [with_message("evaluation.qualities", rates.at, quality) for quality in qualities]


def evaluation_metrics(names: Sequence[str]) -> list[PictureMetric]:
    """The metrics of these names, each once, but for those that every evaluation has.

    Raises ConfigError where there is no such, or its package is missing.
    """
    further = [name for name in dict.fromkeys(names) if name not in ALWAYS_MEASURED]
    return [with_message("evaluation.metrics", picture_metric, name) for name in further]


def build_stages(
    config: RunConfig, objective: Objective, source_of: Callable[[DataConfig], ImageSource], device: torch.device
) -> list[Stage]:
    """The run's stages; optimizers and schedules are made when a stage begins, loaders right away, to fail early.

    source_of: gives a stage's images.
    """
    split = with_message("optimizer", split_parameters, objective.codec, objective.regularizers)
    return [_stage(stage, config.seed, source_of(stage.data), split, device) for stage in config.stage_configs]


def _stage(config: StageConfig, seed: int, source: ImageSource, split: ParameterSplit, device: torch.device) -> Stage:
    loader = build_loader(config.data, seed, source, device)

    def build() -> Setup:
        chosen = config.optimizer
        optimizers = with_message(
            "optimizer",
            build_optimizers,
            split,
            partial(instantiate, chosen.component, "optimizer"),
            lr=chosen.options["lr"],
            aux_lr=chosen.aux_lr,
            reg_lr=chosen.reg_lr,
            lr_factors=chosen.lr_factors,
        )
        schedule: Schedule = instantiate(config.scheduler.component, "scheduler", optimizers.net)
        return Setup(optimizers, schedule, loader)

    steps = last_step(config, loader.steps_per_epoch)
    return Stage(steps, build, reset_optimizer=config.optimizer_state == "reset")


def options_of(kind: type[T], trainer: TrainerConfig) -> T:
    """The dataclass whose fields are all keys of `trainer`."""
    return kind(**{field.name: getattr(trainer, field.name) for field in fields(kind)})  # type: ignore[arg-type]
