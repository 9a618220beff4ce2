"""From a validated config to objects: the only place where options become arguments."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import partial, reduce
from operator import getitem
from typing import Any, TypeVar

import torch

from lic_exp.data.loading import TrainLoader, validation_images
from lic_exp.data.sources import ImageSource
from lic_exp.evaluation.rates import Rate
from lic_exp.launching.errors import ConfigError
from lic_exp.launching.stages import stage_configs
from lic_exp.launching.validation import component_of
from lic_exp.models.base import Codec
from lic_exp.models.weights import freeze, load_weights
from lic_exp.optimizers.groups import ParameterSplit, build_optimizers, split_parameters
from lic_exp.optimizers.schedules import Schedule
from lic_exp.spectral_reg.base import SpectralRegularizer
from lic_exp.tracking.base import Tracker
from lic_exp.tracking.follower import Follower, Trackers
from lic_exp.tracking.run_folder import RunFolder
from lic_exp.training.objective import Criterion, Objective
from lic_exp.training.rng import seed_everything
from lic_exp.training.trainer import Setup, Stage
from lic_exp.training.variable_rate import VariableRate

Config = Mapping[str, Any]


T = TypeVar("T")


def component(config: Config, path: str, *supplied: Any, **extra: Any) -> Any:
    """The object that a group chose: its target called with what the platform supplies and the node's options.

    path: the group, or group.NAME where several may be chosen, or where that is a part of the group's component; parts
    are built first and handed over. A constructor's ValueError is an error of the config:
    it is reported with the path.
    """
    described = component_of(config, path)
    if described is None:
        return None
    module, _, name = described.target.rpartition(".")
    make = getattr(importlib.import_module(module), name)
    node = reduce(getitem, path.split("."), config)
    options = {
        key: component(config, f"{path}.{key}") if key in described.parts else node[key] for key in described.options
    }
    return _with_message(path, make, *supplied, **extra, **options)


def _with_message(key: str, make: Callable[..., T], *supplied: Any, **options: Any) -> T:
    """Call `make`; its ValueError is an error of the config at `key`."""
    try:
        return make(*supplied, **options)
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError([f"{key}: {error}"]) from error


def build_codec(config: Config) -> Codec:
    """The codec, seeded by `seed`, with `model.weights` loaded where given."""
    seed_everything(config["seed"])
    codec: Codec = component(config, "model")
    node = config["model"]
    if node["weights"] is not None:
        _with_message("model.weights", load_weights, codec, node["weights"], partial=node["partial_weights"])
    _with_message("model.freeze", freeze, codec, node["freeze"])
    return codec


def build_regularizers(config: Config, codec: Codec) -> dict[str, SpectralRegularizer]:
    """The regularizer, made for this codec; none is an empty dictionary."""
    regularizer: SpectralRegularizer | None = component(config, "spectral_reg")
    if regularizer is None:
        return {}
    _with_message("spectral_reg", regularizer.attach, codec)
    return {"spectral_reg": regularizer}


def build_loader(config: Config, source: ImageSource, device: torch.device) -> TrainLoader:
    data = config["data"]
    options = ("batch_size", "crop_size", "steps_per_epoch", "flip", "num_workers", "cache_mb")
    chosen = {option: data[option] for option in options}
    on_gpu = device.type == "cuda"
    return _with_message("data", TrainLoader, source, seed=config["seed"], pin_memory=on_gpu, **chosen)


def build_validation_images(config: Config, source: ImageSource) -> Any:
    return validation_images(source, crop_size=config["data"]["val_crop_size"], limit=config["data"]["val_limit"])


def build_tracker(config: Config, run: RunFolder) -> Tracker | None:
    """The chosen trackers as one, or None."""
    followers = [build_follower(config, f"tracker.{name}", run) for name in config["tracker"]]
    return Trackers(followers) if followers else None


def build_follower(config: Config, path: str, run: RunFolder) -> Follower:
    """One of them, e.g. "tracker.mlflow"."""
    follower: Follower = component(config, path, run, config["name"])
    return follower


def resolve_device(name: str) -> torch.device:
    """The configured device; "auto" is CUDA where there is one. Raises ConfigError where it is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError([f"trainer.device={name}: this machine has {torch.cuda.device_count()} CUDA devices"])
    return device


def last_step(trainer: Mapping[str, Any], steps_per_epoch: int) -> int:
    """A stage's length in steps, from the one of its two forms that is given."""
    max_steps: int = trainer["max_steps"] or trainer["max_epochs"] * steps_per_epoch
    return max_steps


def build_objective(config: Config, device: torch.device) -> Objective:
    """Codec, criterion and regularizers on the device. The order is fixed: it decides which draws initialise what."""
    codec = build_codec(config)
    objective = Objective(codec, component(config, "criterion"), build_regularizers(config, codec)).to(device)
    if config["trainer"]["channels_last"]:
        objective.codec.to(memory_format=torch.channels_last)
    if config["trainer"]["compile"]:
        objective.codec.compile()
    return objective


def evaluation_rates(criterion: Criterion, codec: Codec, qualities: Sequence[float] | None) -> list[Rate] | None:
    """The rates of these qualities; of None the validation rates. None for a codec with one rate.

    Raises ConfigError where the codec does not have them.
    """
    if not isinstance(criterion, VariableRate):
        if qualities is not None:
            raise ConfigError([f"this run's model has one rate, so there is no quality {qualities[0]:g} to choose"])
        return None
    rates = criterion.range_of(codec)
    if qualities is None:
        return rates.spaced(criterion.validation_rates)
    return [_with_message("evaluation.qualities", rates.at, quality) for quality in qualities]


def build_stages(
    config: Config, objective: Objective, source_of: Callable[[Config], ImageSource], device: torch.device
) -> list[Stage]:
    """The run's stages; optimizers and schedules are made when a stage begins, loaders right away, to fail early.

    source_of: gives a stage's images.
    """
    split = split_parameters(objective.codec, objective.regularizers)
    return [_stage(stage, source_of(stage), split, device) for stage in stage_configs(config)]


def _stage(config: Config, source: ImageSource, split: ParameterSplit, device: torch.device) -> Stage:
    loader = build_loader(config, source, device)

    def build() -> Setup:
        node = config["optimizer"]
        factory = partial(component, config, "optimizer")
        rates = {"lr": node["lr"], "aux_lr": node["aux_lr"], "reg_lr": node["reg_lr"]}
        optimizers = _with_message(
            "optimizer", build_optimizers, split, factory, lr_factors=node["lr_factors"], **rates
        )
        schedule: Schedule = component(config, "scheduler", optimizers.net)
        return Setup(optimizers, schedule, loader)

    steps = last_step(config["trainer"], loader.steps_per_epoch)
    return Stage(steps, build, reset_optimizer=config["optimizer_state"] == "reset")


def options_of(kind: type[T], node: Mapping[str, Any]) -> T:
    """The dataclass whose fields are all keys of a config node."""
    return kind(**{field.name: node[field.name] for field in fields(kind)})  # type: ignore[arg-type]
