"""What `hydra.launcher.*` says to the pool of this machine. Nothing of it is signed."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from lic_exp.launching.errors import ConfigError, did_you_mean
from lic_exp.ranges import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

PREFIX = "hydra.launcher"


class Local(BaseModel):
    """The options of `hydra/launcher=local`; conf/hydra/launcher/local.yaml holds and explains their values."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    slots: PositiveInt
    gpus: Literal["all"] | list[int | str] | None
    threads: PositiveInt | None
    time_limit_min: PositiveFloat | None
    grace_s: NonNegativeFloat
    memory_gb: PositiveFloat | None
    retries: NonNegativeInt
    max_failures: PositiveInt | None
    fail_fast: bool
    detach: bool
    snapshot: bool
    budget_min: PositiveFloat | None
    probe_steps: PositiveInt | None

    KEPT: ClassVar = {"detach": False}  # how `retry` runs what this command began


def local_options(node: Mapping[str, Any]) -> Local:
    """The options, checked. Raises ConfigError with everything that is wrong in them."""
    return checked(Local, node)


Options = TypeVar("Options", bound=BaseModel)


def checked(kind: type[Options], node: Mapping[str, Any]) -> Options:
    """A launcher's options. Raises ConfigError with everything that is wrong in them."""
    try:
        return kind.model_validate(dict(node))
    except ValidationError as error:
        raise ConfigError(dict.fromkeys(_message(kind, fault, node) for fault in error.errors())) from error


def _message(kind: type[BaseModel], fault: Mapping[str, Any], node: Mapping[str, Any]) -> str:
    if not fault["loc"]:  # of several together
        return f"{PREFIX}: {fault['msg'].removeprefix('Value error, ')}"
    key = str(fault["loc"][0])
    if fault["type"] == "extra_forbidden" and len(fault["loc"]) == 1:
        valid = list(kind.model_fields)
        return (
            f"{PREFIX}.{key}: there is no such key.{did_you_mean(key, valid, PREFIX + '.')} Valid: {', '.join(valid)}"
        )
    inner = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in fault["loc"][1:])
    return f"{PREFIX}.{key}{inner}={fault['input'] if inner else node.get(key)}: {fault['msg'].removeprefix('Input ')}"


def slots(options: Local) -> list[str | None]:
    """One entry per cell that may run at a time: the GPU it gets, None for what this process sees."""
    if options.gpus is None:
        return [None] * options.slots
    found = visible_gpus() if options.gpus == "all" else [str(gpu) for gpu in options.gpus]
    if not found:
        raise ConfigError([f"{PREFIX}.gpus={options.gpus}: this machine shows no GPU; leave it out to run on the CPU"])
    # Round by round, so that two cells on two GPUs do not share the first.
    return [gpu for _ in range(options.slots) for gpu in found]


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, without importing torch."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [gpu for gpu in named.split(",") if gpu.strip() and gpu.strip() != "-1"]
    return [str(place) for place, _ in enumerate(sorted(Path("/proc/driver/nvidia/gpus").glob("*")))]


def slot_environment(options: Local, gpu: str | None, count: int) -> dict[str, str]:
    """What a cell's process gets in its environment: its GPU, and its share of the cores. count: slots in all."""
    given = os.environ.get("OMP_NUM_THREADS")
    threads = options.threads or (int(given) if given and given.isdigit() else None)
    threads = threads or max(1, cores() // count)
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return dict.fromkeys(names, str(threads)) | ({} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu})


def cores() -> int:
    """The CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
