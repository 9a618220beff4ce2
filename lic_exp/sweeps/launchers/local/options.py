"""What `hydra.launcher.*` says to the pool of this machine, and what that means here."""

import os
from pathlib import Path
from typing import ClassVar, Literal

from lic_exp.config.errors import ConfigError
from lic_exp.option_types import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, Threads
from lic_exp.processes import usable_cores
from lic_exp.sweeps.cell_process import thread_environment
from lic_exp.sweeps.launcher import PREFIX, LauncherOptions


class LocalOptions(LauncherOptions):
    """The options of `hydra/launcher=local`; conf/hydra/launcher/local.yaml holds and explains their values."""

    kind: ClassVar = "local"
    retried_with: ClassVar = {"detach": False}

    slots: Threads
    gpus: Literal["all"] | list[int | str] | None
    threads: Threads | None
    time_limit_min: PositiveFloat | None
    grace_s: NonNegativeFloat
    memory_gb: PositiveFloat | None
    retries: NonNegativeInt
    max_failures: PositiveInt | None
    fail_fast: bool
    detach: bool
    probe_steps: PositiveInt | None


def slots(options: LocalOptions) -> list[str | None]:
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


def slot_environment(options: LocalOptions, gpu: str | None, count: int) -> dict[str, str]:
    """What a cell's process gets in its environment: its GPU, and its share of the cores. count: slots in all."""
    given = os.environ.get("OMP_NUM_THREADS")
    threads = options.threads or (int(given) if given and given.isdigit() else None)
    threads = threads or max(1, usable_cores() // count)
    return thread_environment(threads) | ({} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu})
