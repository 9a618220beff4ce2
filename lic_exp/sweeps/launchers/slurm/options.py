"""What `hydra.launcher.*` says to SLURM.

Names and meaning of a job's request are those of Hydra's submitit plugin, which are in turn sbatch's.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, create_model, field_validator, model_validator

from lic_exp.option_types import MayBeBlank, NonNegativeInt, PositiveFloat, PositiveInt
from lic_exp.sweeps.cell_config import plain_text, processes
from lic_exp.sweeps.launcher import LauncherOptions


class Strict(BaseModel):
    """Refuses what it does not know."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class JobRequest(Strict):
    """What one job asks the cluster for; None leaves it to the cluster. conf/hydra/launcher/slurm.yaml explains."""

    timeout_min: PositiveInt
    nodes: PositiveInt | None
    tasks_per_node: PositiveInt | None
    cpus_per_task: PositiveInt | None
    cpus_per_gpu: PositiveInt | None
    gpus_per_node: NonNegativeInt | str | None
    gpus_per_task: NonNegativeInt | str | None
    gres: str | None
    mem_gb: PositiveFloat | None
    mem_per_cpu: str | None
    mem_per_gpu: str | None
    partition: str | None
    qos: str | None
    account: str | None
    constraint: str | None
    nodelist: str | None
    exclude: str | None
    exclusive: bool | str | None
    comment: Annotated[str | None, MayBeBlank()]
    setup: Annotated[list[str], MayBeBlank()]
    srun_args: list[str]
    use_srun: bool
    additional_parameters: dict[str, str | int | float | bool]


# A rule states what it changes, so that none of its keys is required.
_CHANGES: dict[str, Any] = {
    name: (field.annotation, Field(None, validate_default=False)) for name, field in JobRequest.model_fields.items()
}
ResourceRule = create_model("ResourceRule", __base__=Strict, when=(dict[str, Any], ...), **_CHANGES)
"""What some cells ask for instead: `when` holds overrides or config keys with the values that they must have."""


OURS = (
    *("array", "dependency", "error", "job-name", "kill-on-invalid-dep", "no-requeue", "open-mode", "output"),
    *("requeue", "signal", "wrap", "nodes", "ntasks", "ntasks-per-node"),
)
"""Options of sbatch that only the launcher can give."""


class SlurmOptions(JobRequest, LauncherOptions):
    """The options of `hydra/launcher=slurm`; conf/hydra/launcher/slurm.yaml holds and explains their values."""

    kind: ClassVar = "slurm"
    retried_with: ClassVar = {"wait": False}

    resources: list[ResourceRule]  # type: ignore[valid-type]
    array_parallelism: PositiveInt
    requeue: bool
    signal_delay_s: PositiveInt
    max_num_timeout: NonNegativeInt
    retries: NonNegativeInt
    max_failures: PositiveInt | None
    fail_fast: bool
    wait: bool

    @field_validator("additional_parameters")
    @classmethod
    def _not_ours(cls, value: dict[str, Any]) -> dict[str, Any]:
        ours = [key for key in value if key.replace("_", "-") in OURS]
        if ours:
            raise ValueError(f"may not hold {', '.join(ours)}: the launcher sets that itself")
        return value

    @model_validator(mode="after")
    def _time_to_stop(self) -> Self:
        if self.signal_delay_s >= 60 * self.timeout_min:
            raise ValueError(f"signal_delay_s={self.signal_delay_s} leaves nothing of timeout_min={self.timeout_min}")
        return self

    @property
    def rules(self) -> list[dict[str, Any]]:
        """The `when` of every rule."""
        return [rule.when for rule in self.resources]  # type: ignore[attr-defined]

    def request(self, given: Mapping[str, str], config: Mapping[str, str]) -> dict[str, Any]:
        """What the job of one cell asks for; of several rules that fit, the later one counts.

        given: its overrides, {key: value}. config: its whole config, flat, which says how many nodes and tasks there
        are where the options leave that open.
        """
        asked = self.model_dump(include=set(JobRequest.model_fields))
        for rule in self.resources:
            wanted = rule.when  # type: ignore[attr-defined]
            if all(str(given.get(key, config.get(key))) == plain_text(value) for key, value in wanted.items()):
                asked |= rule.model_dump(exclude_unset=True, exclude={"when"})  # type: ignore[attr-defined]
        needed = processes(config)
        asked["nodes"] = asked["nodes"] or needed.nodes
        asked["tasks_per_node"] = asked["tasks_per_node"] or needed.devices
        return asked


def contradictions(asked: Mapping[str, Any], config: Mapping[str, str]) -> Iterator[str]:
    """What a job asks for that cannot train a cell of this config, flat, in words."""
    devices, nodes = processes(config)
    if asked["nodes"] != nodes:
        yield f"nodes={asked['nodes']} contradicts trainer.nodes={nodes}: leave it out (null), or give {nodes}"
    if asked["tasks_per_node"] != devices:
        yield (
            f"tasks_per_node={asked['tasks_per_node']} contradicts trainer.devices={devices}, for each device is a "
            f"task of its own: leave it out (null), or give {devices}"
        )
    if devices * nodes > 1 and not asked["use_srun"]:
        yield (
            f"use_srun=false starts one task, and trainer.devices={devices} with trainer.nodes={nodes} needs "
            f"{devices * nodes}: give use_srun=true"
        )
    gpus = re.search(r"(?:^|:)(\d+)$", str(asked["gpus_per_node"]))
    if gpus and int(gpus[1]) < devices and config.get("trainer.device") != "cpu":
        yield f"gpus_per_node={asked['gpus_per_node']} is less than trainer.devices={devices}: give {devices}"
