"""What a config may hold outside the components' own options: keys, types and ranges, group by group.

A group's node is checked against its class here plus the options of its `_target_` (`lic_exp.catalogue`). The YAML
files hold the values; nothing here has a default. `Unsigned` keys stay out of a run's signature.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from lic_exp.ranges import Decay, Neutral, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, Unsigned

SCHEMA_VERSION = 1


def device_name(value: str) -> str:
    """A device as torch names it, or auto."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", value):
        raise PydanticCustomError("device", "should be auto, cpu, cuda, or cuda:1 and the like")
    return value


class Node(BaseModel):
    """Strict: no unknown keys, no silent conversion of types."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Component(Node):
    """A group whose option is a component, or nothing at all (`_target_: null`)."""

    dotted_path: str | None = Field(alias="_target_")


class Model(Component):
    weights: str | None
    partial_weights: bool
    freeze: list[str]


class SpectralReg(Component):
    pass


class Optimizer(Component):
    aux_lr: PositiveFloat
    lr_factors: dict[str, PositiveFloat]
    reg_lr: PositiveFloat | None


class Scheduler(Component):
    pass


class Criterion(Component):
    pass


class Data(Component):
    batch_size: PositiveInt
    crop_size: PositiveInt
    steps_per_epoch: PositiveInt | None
    flip: bool
    val_crop_size: PositiveInt | None
    val_limit: PositiveInt | None
    num_workers: Annotated[NonNegativeInt, Unsigned()]
    cache_mb: Annotated[NonNegativeInt, Unsigned()]
    preflight: Literal["fail", "skip", "off"]


class Evaluation(Node):
    enabled: bool
    data: str | None
    limit: PositiveInt | None
    pictures: Annotated[NonNegativeInt, Unsigned()]
    qualities: Annotated[list[NonNegativeFloat] | None, Neutral(None)]


class Trainer(Node):
    max_steps: PositiveInt | None
    max_epochs: PositiveInt | None
    device: Annotated[str, AfterValidator(device_name)]
    threads: PositiveInt | None
    clip_max_norm: PositiveFloat | None
    precision: Literal["float32", "bf16", "fp16"]
    compile: bool
    channels_last: bool
    accumulate: PositiveInt
    ema_decay: Decay | None
    judged_weights: Literal["raw", "ema"]
    on_nonfinite: Literal["fail", "skip", "rollback"]
    nonfinite_budget: NonNegativeInt
    try_step: Annotated[bool, Unsigned()]
    resume: Annotated[Literal["auto", "never", "must"], Unsigned()]
    log_every_steps: Annotated[PositiveInt, Unsigned()]
    validate_every_steps: PositiveInt
    checkpoint_every_steps: Annotated[PositiveInt, Unsigned()]


class Stage(Node):
    """A part of the training with its own values in some groups; what is not named stays as it is."""

    steps: PositiveInt
    optimizer_state: Literal["keep", "reset"] = "keep"
    data: dict[str, Any] = {}
    optimizer: dict[str, Any] = {}
    scheduler: dict[str, Any] = {}


class Components(Node):
    """A group that takes any number of options at once, each a component under its own name."""


class Tracker(Components):
    pass


class Paths(Node):
    runs: str


class Root(Node):
    schema_version: Literal[1]
    seed: NonNegativeInt
    parent: str | None
    init_from: Annotated[str | None, Neutral(None)]
    stages: list[Stage]
    name: Annotated[str | None, Unsigned()]
    variant: Annotated[str | None, Unsigned()]
    tags: Annotated[list[str], Unsigned()]
    plugins: Annotated[list[str], Unsigned()]
    model: Model
    spectral_reg: SpectralReg
    optimizer: Optimizer
    scheduler: Scheduler
    criterion: Criterion
    data: Data
    evaluation: Evaluation
    trainer: Trainer
    tracker: Annotated[Tracker, Unsigned()]
    paths: Annotated[Paths, Unsigned()]


GROUPS: dict[str, type[Node]] = {
    name: field.annotation
    for name, field in Root.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, Node)
}

SEVERAL = tuple(name for name, schema in GROUPS.items() if issubclass(schema, Components))
"""The groups of which several options may be chosen: `tracker=[mlflow,tensorboard]`."""
