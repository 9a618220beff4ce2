"""From a validated config to objects: the only place where options become arguments."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from lic_exp.data.loading import TrainLoader, validation_images
from lic_exp.data.sources import ImageSource
from lic_exp.launching.errors import ConfigError
from lic_exp.launching.identity import data_source
from lic_exp.launching.validation import component_of
from lic_exp.models.base import Codec
from lic_exp.models.weights import load_weights
from lic_exp.optimizers.groups import Optimizers, build_optimizers, split_parameters
from lic_exp.optimizers.schedules import Schedule
from lic_exp.spectral_reg.base import SpectralRegularizer
from lic_exp.tracking.base import Tracker
from lic_exp.tracking.run_folder import RunFolder
from lic_exp.training.objective import Objective

Config = Mapping[str, Any]


@dataclass(frozen=True)
class Built:
    """The parts of a run that train."""

    objective: Objective
    optimizers: Optimizers
    schedule: Schedule
    loader: TrainLoader
    source: ImageSource
    max_steps: int
    device: torch.device


def component(config: Config, group: str, *supplied: Any, **extra: Any) -> Any:
    """The object that `group` chose: its target called with what the platform supplies and the node's options.

    A constructor's ValueError is an error of the config: it is reported with the group's name.
    """
    described = component_of(config, group)
    if described is None:
        return None
    module, _, name = described.target.rpartition(".")
    make = getattr(importlib.import_module(module), name)
    try:
        return make(*supplied, **extra, **{key: config[group][key] for key in described.options})
    except ValueError as error:
        raise ConfigError([f"{group}: {error}"]) from error


def build_codec(config: Config) -> Codec:
    """The codec, seeded by `seed`, with `model.weights` loaded where given."""
    torch.manual_seed(config["seed"])
    codec: Codec = component(config, "model")
    if config["model"]["weights"] is not None:
        load_weights(codec, config["model"]["weights"])
    return codec


def build_regularizers(config: Config) -> dict[str, SpectralRegularizer]:
    regularizer = component(config, "spectral_reg")
    return {} if regularizer is None else {"spectral_reg": regularizer}


def build_loader(config: Config, source: ImageSource, device: torch.device) -> TrainLoader:
    data = config["data"]
    options = ("batch_size", "crop_size", "steps_per_epoch", "flip", "num_workers", "cache_mb")
    return TrainLoader(
        source, seed=config["seed"], pin_memory=device.type == "cuda", **{option: data[option] for option in options}
    )


def build_validation_images(config: Config, source: ImageSource) -> Any:
    return validation_images(source, crop_size=config["data"]["val_crop_size"], limit=config["data"]["val_limit"])


def build_tracker(config: Config, run: RunFolder) -> Tracker | None:
    tracker: Tracker | None = component(config, "tracker", run, config["name"])
    return tracker


def resolve_device(name: str) -> torch.device:
    """The configured device; "auto" is CUDA where there is one. Raises ConfigError where it is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError([f"trainer.device={name}: this machine has {torch.cuda.device_count()} CUDA devices"])
    return device


def last_step(trainer: Mapping[str, Any], steps_per_epoch: int) -> int:
    """The run's length in steps, from the one of its two forms that is given."""
    max_steps: int = trainer["max_steps"] or trainer["max_epochs"] * steps_per_epoch
    return max_steps


def build(config: Config) -> Built:
    """All that `fit` needs. The order is fixed: it decides which random numbers initialise what."""
    device = resolve_device(config["trainer"]["device"])
    source = data_source(config)
    try:
        loader = build_loader(config, source, device)
    except ValueError as error:
        raise ConfigError([f"data: {error}"]) from error
    codec = build_codec(config)
    objective = Objective(codec, component(config, "criterion"), build_regularizers(config)).to(device)
    split = split_parameters(objective.codec, objective.regularizers)
    node = config["optimizer"]
    factory = partial(component, config, "optimizer")
    optimizers = build_optimizers(split, factory, aux_lr=node["aux_lr"], reg_lr=node["reg_lr"])
    schedule: Schedule = component(config, "scheduler", optimizers.net)
    max_steps = last_step(config["trainer"], loader.steps_per_epoch)
    return Built(objective, optimizers, schedule, loader, source, max_steps, device)
