"""The names of runs: a hash of all that can change a training, and of nothing else.

Signed: the config without `Unsigned` keys, each component by its own name (`signed_as`), with content hashes in place
of paths to data and weights. What means the same has one form: a training is a list of stages, its length is counted in
steps, and a key that has no effect beside the others is left out. Not signed: where files lie, how much is logged,
labels, how many workers load, and what is evaluated afterwards, which has a name of its own (`evaluation_name`).

The form is schema version 2 and stays. A key added later is marked `Neutral(value)`, and left out at the value that
means "as before".
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from lic_exp.capabilities import CriterionFacts
from lic_exp.config.contents import folder_fingerprint, weights_hash
from lic_exp.config.instantiation import instantiate, with_message
from lic_exp.config.nodes import Component, ComponentGroup, IdleWhen, Node, plain_options
from lic_exp.config.schema import (
    DataConfig,
    ModelConfig,
    OptimizerConfig,
    RunConfig,
    SeveralComponents,
    StageConfig,
    TrainerConfig,
)
from lic_exp.config.stages import STAGED
from lic_exp.data.sources import fingerprint_of_held_out
from lic_exp.data.unchanged import files_unchanged, remembered
from lic_exp.option_types import Neutral, Unsigned

SIGNATURE_DIGITS = 16
EVALUATION_DIGITS = 8


def signature(config: RunConfig) -> str:
    """The name of the run that a config describes: 16 hexadecimal digits.

    Raises ConfigError where data or weights that belong to the identity cannot be read.
    """
    with files_unchanged():
        name = digest(signed_part(config), SIGNATURE_DIGITS)
        images_of[name] = {label: data_fingerprint(data) for label, data in image_sets(config).items()}
        return name


images_of: dict[str, dict[str, str]] = {}
"""{name of a run or an evaluation: {what its images are called: their fingerprint when the name was made}}."""


def image_sets(config: RunConfig) -> dict[str, DataConfig]:
    """The images of a run and its stages, by what they are called in messages."""
    stages = {f"stages[{place}].data": stage.data for place, stage in enumerate(config.stage_configs) if config.stages}
    return {"data": config.data} | stages


def evaluation_name(config: RunConfig) -> str:
    """The name of a config's evaluation beside others of the same training: 8 hexadecimal digits.

    Covers the images, by content, the rates, and further metrics. Raises ConfigError as `signature`.
    """
    chosen = config.evaluation
    separate = separate_fingerprint(config)
    rates = None if chosen.qualities is None else [_form(rate) for rate in sorted(set(chosen.qualities))]
    metrics = {"metrics": sorted(set(chosen.metrics))} if chosen.metrics else {}
    name = digest({"images": separate, "limit": chosen.limit, "qualities": rates} | metrics)
    images_of[name] = {} if separate is None else {separate_key(config): separate}
    return name


def separate_key(config: RunConfig) -> str:
    """The config key that chose the images that do not validate, for messages."""
    return "data" if config.evaluation.data is None else "evaluation.data"


def separate_fingerprint(config: RunConfig) -> str | None:
    """Their content, wherever they lie; None where there are none. Raises ConfigError."""
    folder = config.evaluation.data
    return held_out_fingerprint(config.data) if folder is None else folder_fingerprint(folder)


def asked_evaluation_name(
    config: RunConfig,
    data: str | None,
    qualities: Sequence[float] | None,
    targets: Sequence[tuple[str, float]] = (),
    metrics: Sequence[str] | None = None,
) -> str:
    """The digits of an evaluation that is asked for beside a config's own: 8 hexadecimal ones.

    data: a folder of images, taken by content; None: the images of the config's own evaluation. qualities, targets,
    metrics: as asked for, in any order. Raises ConfigError as `signature`.
    """
    images = evaluation_name(config) if data is None else folder_fingerprint(data, "--data")
    rates = None if qualities is None else sorted(_form(float(rate)) for rate in qualities)
    further = {} if metrics is None else {"metrics": sorted(set(metrics))}
    return digest({"images": images, "qualities": rates, "targets": sorted(map(list, targets))} | further)


def wanted_evaluation(config: RunConfig) -> str | None:
    """The name of the evaluation that a config asks for; None where it asks for none."""
    return evaluation_name(config) if config.evaluation.enabled else None


def throughput_key(config: RunConfig) -> str:
    """What runs that take as long per step have in common: 8 hexadecimal digits, the same for other seeds and rates."""
    plain = {group: getattr(config, group).plain() for group in THROUGHPUT_GROUPS}
    parts: dict[str, Any] = {
        group: {k: v for k, v in node.items() if k not in NO_THROUGHPUT and (k, v) not in ONE_DEVICE}
        for group, node in plain.items()
    }
    facts = config.criterion.component.schema.facts if config.criterion.component else None
    if isinstance(facts, CriterionFacts) and facts.second_look:  # a forward pass more
        parts["second_look"] = True
    if config.stages:  # a mean over them, each as long as it is
        parts["stages"] = [stage.plain() for stage in config.stages]
    return digest(parts, 8)


THROUGHPUT_GROUPS = ("model", "spectral_reg", "optimizer", "data", "trainer", "evaluation")
NO_THROUGHPUT = (
    *("weights", "weights_key", "partial_weights", "portable", "lr", "aux_lr", "reg_lr"),
    *("train", "val", "max_steps", "max_epochs", "resume_elsewhere", "stale", "profile", "diagnosis"),
    *("rank_timeout_s", "compare_ranks_every_steps", "keep_every_steps"),
)
ONE_DEVICE = (("devices", 1), ("nodes", 1))
"""Left out, as by versions that knew no other."""


def digest(content: Any, digits: int = EVALUATION_DIGITS) -> str:
    """Hexadecimal digits of nested plain containers."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:digits]


def signed_part(config: RunConfig) -> dict[str, Any]:
    """What `signature` hashes: nested plain containers."""
    signed: dict[str, Any] = {}
    for key, field in RunConfig.model_fields.items():
        value = getattr(config, key)
        plain = value.plain() if isinstance(value, Node) else value
        if key not in ("stages", *STAGED) and not _is_left_out(field.metadata, plain, {}):
            signed[key] = _SPECIAL.get(key, _signed_node)(value, config) if isinstance(value, Node) else value
    signed["stages"] = [_signed_stage(stage, config, place) for place, stage in enumerate(config.stage_configs)]
    data = _signed_data(config.data)  # validates, whatever the stages train on
    signed["validation"] = {key: data[key] for key in VALIDATING if key in data}
    return signed


VALIDATING = ("fingerprint", "val_crop_size", "val_limit", "preflight")


def _signed_node(node: Node, config: RunConfig | None = None) -> dict[str, Any] | None:
    """The keys of a group that tell runs apart; None for a group that chose nothing and has no keys of its own."""
    assert not isinstance(node, SeveralComponents)
    values = {name: getattr(node, name) for name in type(node).model_fields if name != "dotted_path"}
    marks = {name: type(node).model_fields[name].metadata for name in values}
    signed = {key: _form(value) for key, value in values.items() if not _is_left_out(marks[key], value, values)}
    if isinstance(node, ComponentGroup):
        return signed | {"component": _signed_component(node.component)} if node.component else signed or None
    return signed


def _signed_component(component: Component) -> dict[str, Any]:
    """Its name, and the options that tell runs apart."""
    signed: dict[str, Any] = {}
    unused = component.schema.unused(plain_options(component.options))
    for key, value in component.options.items():
        marks = getattr(component.schema.options[key], "__metadata__", ())
        if key not in unused and not _is_left_out(marks, value, component.options):
            signed[key] = _signed_component(value) if isinstance(value, Component) else _form(value)
    return {"name": component.schema.code_name, "options": signed}


def _is_left_out(marks: Sequence[Any], value: Any, beside: Mapping[str, Any]) -> bool:
    """Whether a key with these marks cannot tell runs apart, at its value and those of the keys beside it."""
    return any(
        isinstance(mark, Unsigned)
        or (isinstance(mark, Neutral) and mark.value == value)
        or (isinstance(mark, IdleWhen) and beside[mark.key] == mark.value)
        for mark in marks
    )


def _form(value: Any) -> Any:
    """A value as it is hashed: the order of a mapping's entries may matter, and sorted keys would hide it."""
    if isinstance(value, float):
        return value + 0.0  # so that -0.0 is 0.0
    if isinstance(value, Mapping):
        return [[key, _form(part)] for key, part in value.items()]
    return [_form(part) for part in value] if isinstance(value, list | tuple) else value


def _signed_model(model: ModelConfig, config: RunConfig) -> dict[str, Any]:
    signed = _signed_node(model) or {}
    if model.weights is not None:
        signed["weights"] = weights_hash(model.weights)
    elif config.init_from is None:
        del signed["partial_weights"]
    return signed | {"freeze": sorted(set(model.freeze))}


def _signed_optimizer(optimizer: OptimizerConfig, config: RunConfig) -> dict[str, Any]:
    """With a rate of the regularizer's own weights only where it has weights and a rate is given.

    A rate that equals `lr` stays: an optimizer may have more than one, and null follows all of them.
    """
    signed = _signed_node(optimizer) or {}
    own = signed.pop("reg_lr", None)
    chosen = config.spectral_reg.component
    learns = chosen is not None and chosen.schema.learnable(plain_options(chosen.options))
    if learns and own is not None:
        signed["reg_lr"] = own
    return signed


def _signed_data(data: DataConfig) -> dict[str, Any]:
    signed = _signed_node(data) or {}
    if data.preflight != "skip":  # else it only decides whether the run takes place
        del signed["preflight"]
        signed["steps_per_epoch"] = steps_per_epoch(data)
    return signed | {"fingerprint": data_fingerprint(data)}


def _signed_trainer(trainer: TrainerConfig, config: RunConfig) -> dict[str, Any]:
    """Without the length, which the stages have."""
    return {key: value for key, value in (_signed_node(trainer) or {}).items() if key not in LENGTH}


LENGTH = ("max_steps", "max_epochs")


def _signed_stage(stage: StageConfig, config: RunConfig, place: int) -> dict[str, Any]:
    signed: dict[str, Any] = _signed_length(stage) | {"data": _signed_data(stage.data)}
    signed["optimizer"] = _signed_optimizer(stage.optimizer, config)
    signed["scheduler"] = _signed_node(stage.scheduler)
    if place:  # the first begins with nothing to keep
        signed["optimizer_state"] = stage.optimizer_state
    return signed


def _signed_length(stage: StageConfig) -> dict[str, int]:
    """In steps, but for epochs of an unknown number of images."""
    if stage.max_epochs is None:
        assert stage.max_steps is not None
        return {"steps": stage.max_steps}
    if stage.data.steps_per_epoch is None and stage.data.preflight == "skip":
        return {"epochs": stage.max_epochs}
    return {"steps": stage.max_epochs * steps_per_epoch(stage.data)}


_SPECIAL: dict[str, Any] = {"model": _signed_model, "trainer": _signed_trainer}


def steps_per_epoch(data: DataConfig) -> int:
    """Batches of an epoch, as `lic_exp.data.loading.TrainLoader` counts them where none are given."""
    if data.steps_per_epoch is not None:
        return data.steps_per_epoch
    images = sum(len(group.images) for group in with_message("data", data_source(data).train))
    return max(1, images // data.batch_size)


def data_source(data: DataConfig) -> Any:
    """The config's `lic_exp.data.sources.ImageSource`; its module imports no torch. Raises ConfigError."""
    return remembered(("data source", _contents(data)), lambda: instantiate(data.component, "data"))


def data_fingerprint(data: DataConfig) -> str:
    """Content of the training and validation images. Raises ConfigError where there are none."""
    found: str = remembered(
        ("data fingerprint", _contents(data)), lambda: with_message("data", data_source(data).fingerprint)
    )
    return found


def held_out_fingerprint(data: DataConfig) -> str | None:
    """Content of the data's test images; None where it has none. Raises ConfigError."""
    source = data_source(data)
    found: str | None = remembered(
        ("test fingerprint", _contents(data)), lambda: with_message("data", fingerprint_of_held_out, source)
    )
    return found


def _contents(data: DataConfig) -> str:
    """What makes the images: the component, and its options alone."""
    return json.dumps(data.component.plain() if data.component else None, sort_keys=True)
