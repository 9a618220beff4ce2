"""What a config holds: keys, types and ranges, group by group; and the frozen object that the rest of the house sees.

A group's node is checked against its class here plus the options of its `_target_` (`lic_exp.component_schema`). The
YAML files hold the values; nothing here has a default. Keys of the platform become typed attributes, the options of a
component a read-only mapping. Marks say what a key means to a run's signature (`lic_exp.config.signing`): `Unsigned`
keys stay out of it, keys with `IdleWhen` where they have no effect.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal, NoReturn

from pydantic import BaseModel, Field, PrivateAttr

from lic_exp.config.nodes import Component, ComponentGroup, IdleWhen, Node, plain_options
from lic_exp.config.read_only import ReadOnly
from lic_exp.config.texts import ChannelsLast, CompileMode, DeviceName, HomePath
from lic_exp.option_types import (
    Decay,
    Neutral,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Seed,
    Threads,
    Unsigned,
    Workers,
)


class ModelConfig(ComponentGroup):
    weights: str | None
    weights_key: Annotated[str | None, Neutral(None), IdleWhen("weights", None)]
    partial_weights: bool
    freeze: list[str]
    portable: Annotated[bool, Unsigned(), Neutral(False)]


class RegularizerConfig(ComponentGroup):
    pass


class OptimizerConfig(ComponentGroup):
    aux_lr: PositiveFloat
    lr_factors: dict[str, PositiveFloat]
    reg_lr: PositiveFloat | None


class SchedulerConfig(ComponentGroup):
    pass


class CriterionConfig(ComponentGroup):
    pass


class DataConfig(ComponentGroup):
    batch_size: PositiveInt
    crop_size: PositiveInt
    steps_per_epoch: PositiveInt | None
    flip: bool
    val_crop_size: PositiveInt | None
    val_limit: PositiveInt | None
    num_workers: Annotated[Workers, Unsigned()]
    cache_mb: Annotated[NonNegativeInt, Unsigned()]
    store_mb: Annotated[NonNegativeInt, Unsigned(), Neutral(0)]
    preflight: Literal["fail", "skip", "off"]


class EvaluationConfig(Node):
    """What is done with the finished codec. It names the evaluation, not the training."""

    enabled: bool
    data: str | None
    limit: PositiveInt | None
    pictures: NonNegativeInt
    qualities: list[NonNegativeFloat] | None
    metrics: Annotated[list[str], Neutral([])]
    diagnosis: Annotated[NonNegativeInt, Neutral(0)]


class TrainerConfig(Node):
    max_steps: PositiveInt | None
    max_epochs: PositiveInt | None
    device: DeviceName
    devices: Annotated[PositiveInt, Unsigned(), Neutral(1)]
    nodes: Annotated[PositiveInt, Unsigned(), Neutral(1)]
    rank_timeout_s: Annotated[PositiveFloat, Unsigned(), Neutral(60.0)]
    compare_ranks_every_steps: Annotated[PositiveInt, Unsigned(), Neutral(500)]
    threads: Threads | None
    clip_max_norm: PositiveFloat | None
    precision: Literal["float32", "bf16", "fp16"]
    compile: CompileMode
    channels_last: ChannelsLast
    accumulate: PositiveInt
    ema_decay: Decay | None
    eval_weights: Literal["raw", "ema"]
    on_nonfinite: Literal["fail", "skip", "rollback"]
    nonfinite_budget: Annotated[NonNegativeInt, IdleWhen("on_nonfinite", "fail")]
    try_step: Annotated[bool, Unsigned()]
    resume: Annotated[Literal["auto", "never", "must"], Unsigned()]
    resume_elsewhere: Annotated[bool, Unsigned(), Neutral(False)]
    stale: Annotated[Literal["keep", "again", "refuse"], Neutral("keep"), Unsigned()]
    profile: Annotated[bool, Unsigned(), Neutral(False)]
    log_every_steps: Annotated[PositiveInt, Unsigned()]
    validate_every_steps: PositiveInt
    checkpoint_every_steps: Annotated[PositiveInt, Unsigned()]
    keep_every_steps: Annotated[PositiveInt | None, Unsigned(), Neutral(None)]

    @property
    def ranks(self) -> int:
        """The processes that share a batch, on all nodes."""
        return self.devices * self.nodes


class StageOverrides(Node):
    """A part of the training with its own values in some groups; what is not named stays as it is."""

    steps: PositiveInt
    optimizer_state: Literal["keep", "reset"] = "keep"
    data: dict[str, Any] = Field(default_factory=dict)
    optimizer: dict[str, Any] = Field(default_factory=dict)
    scheduler: dict[str, Any] = Field(default_factory=dict)


class SeveralComponents(Node):
    """A group that takes any number of options at once, each a component under its own name."""

    _components: Mapping[str, Component] = PrivateAttr(default_factory=ReadOnly)

    @property
    def components(self) -> Mapping[str, Component]:
        """{name of the option: what it chose}"""
        return self._components

    def plain(self) -> dict[str, Any]:
        return plain_options(self._components)


class TrackersConfig(SeveralComponents):
    pass


class PathsConfig(Node):
    runs: HomePath
    results: Annotated[HomePath | None, Neutral(None)]


@dataclass(frozen=True)
class StageConfig:
    """What one stage of a run trains with; a run without stages is one.

    max_steps, max_epochs: its length, in one of the two.
    """

    max_steps: int | None
    max_epochs: int | None
    optimizer_state: Literal["keep", "reset"]
    data: DataConfig
    optimizer: OptimizerConfig
    scheduler: SchedulerConfig


class RunConfig(Node):
    """A validated config: one run, in its normal form (every number of the type that its option declares).

    Attributes and the options of components cannot be set; lists in it are the caller's not to change.
    """

    schema_version: Literal[2]
    seed: Seed
    parent: str | None
    parent_step: Annotated[NonNegativeInt | None, Neutral(None)]
    init_from: str | None
    stages: list[StageOverrides]
    name: Annotated[str | None, Unsigned()]
    variant: Annotated[str | None, Unsigned()]
    tags: Annotated[list[str], Unsigned()]
    plugins: Annotated[list[str], Unsigned()]
    model: ModelConfig
    spectral_reg: RegularizerConfig
    optimizer: OptimizerConfig
    scheduler: SchedulerConfig
    criterion: CriterionConfig
    data: DataConfig
    evaluation: Annotated[EvaluationConfig, Unsigned()]
    trainer: TrainerConfig
    tracker: Annotated[TrackersConfig, Unsigned()]
    paths: Annotated[PathsConfig, Unsigned()]

    _stage_configs: tuple[StageConfig, ...] = PrivateAttr(default=())
    _sign: Callable[["RunConfig"], str] = PrivateAttr()

    @property
    def stage_configs(self) -> tuple[StageConfig, ...]:
        """What is trained with, stage by stage; at least one."""
        return self._stage_configs

    @cached_property
    def signature(self) -> str:
        """The run's name, 16 hexadecimal digits: a hash of all that can change its training.

        Raises ConfigError where data or weights that belong to it cannot be read.
        """
        return self._sign(self)

    def model_copy(self, **_: Any) -> NoReturn:
        """A copy with other values would keep this one's signature, and have been judged by nobody."""
        raise TypeError("other values make another config: lic_exp.config.loading.with_values")

    def plain(self) -> dict[str, Any]:
        """As in YAML: nested plain containers, the keys in the order of this class."""
        return {key: _plain(getattr(self, key)) for key in type(self).model_fields}


def _plain(value: Any) -> Any:
    if isinstance(value, Node):
        return value.plain()
    return [_plain(one) for one in value] if isinstance(value, list) else value


GROUPS: dict[str, type[Node]] = {
    name: field.annotation
    for name, field in RunConfig.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, Node)
}

SEVERAL = tuple(name for name, schema in GROUPS.items() if issubclass(schema, SeveralComponents))
"""The groups of which several options may be chosen: `tracker=[mlflow,tensorboard]`."""


def neutral_values(schema: type[BaseModel]) -> dict[str, Any]:
    """The keys of a node that were added since, each at the value that means "as before"."""
    marks = ((field.alias or name, mark) for name, field in schema.model_fields.items() for mark in field.metadata)
    return {key: mark.value for key, mark in marks if isinstance(mark, Neutral)}
