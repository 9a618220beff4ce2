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


def slots(options: LocalOptions, devices: int = 1) -> list[str | None]:
    """One entry per cell that may run at a time: the GPUs it gets, as in "0" or "2,3"; None for what this process sees.

    devices: how many GPUs a slot is of. Raises ConfigError where there are too few, or some would be left over.
    """
    if options.gpus is None:
        return [None] * options.slots
    found = visible_gpus() if options.gpus == "all" else [str(gpu) for gpu in options.gpus]
    if not found:
        raise ConfigError([f"{PREFIX}.gpus={options.gpus}: this machine shows no GPU; leave it out to run on the CPU"])
    if len(found) % devices:
        more = "and they are too few" if len(found) < devices else f"and {len(found) % devices} would be left over"
        raise ConfigError(
            [
                f"{PREFIX}.gpus={options.gpus}: a cell of this sweep needs {devices} GPUs at a time (trainer.devices), "
                f"{more}: {len(found)} are named; name a multiple of {devices}"
            ]
        )
    groups = [",".join(found[first : first + devices]) for first in range(0, len(found), devices)]
    # Round by round, so that two cells on two GPUs do not share the first.
    return [group for _ in range(options.slots) for group in groups]


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, without importing torch."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [gpu for gpu in named.split(",") if gpu.strip() and gpu.strip() != "-1"]
    return [str(place) for place, _ in enumerate(sorted(Path("/proc/driver/nvidia/gpus").glob("*")))]


def slot_environment(options: LocalOptions, gpus: str | None, count: int) -> dict[str, str]:
    """What a cell's process gets in its environment: its GPUs, and its share of the cores.

    count: into how many the cores are divided, the slots in all times the processes of the cell.
    """
    given = os.environ.get("OMP_NUM_THREADS")
    threads = options.threads or (int(given) if given and given.isdigit() else None)
    threads = threads or max(1, usable_cores() // count)
    return thread_environment(threads) | ({} if gpus is None else {"CUDA_VISIBLE_DEVICES": gpus})
