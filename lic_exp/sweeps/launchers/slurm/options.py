"""What `hydra.launcher.*` says to SLURM.

Names and meaning of a job's request are those of Hydra's submitit plugin, which are in turn sbatch's.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, create_model, field_validator, model_validator

from lic_exp.option_types import MayBeBlank, NonNegativeInt, PositiveFloat, PositiveInt
from lic_exp.sweeps.launcher import LauncherOptions


class Strict(BaseModel):
    """Refuses what it does not know."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class JobRequest(Strict):
    """What one job asks the cluster for; None leaves it to the cluster. conf/hydra/launcher/slurm.yaml explains."""

    timeout_min: PositiveInt
    nodes: PositiveInt
    tasks_per_node: PositiveInt
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
    *("requeue", "signal", "wrap"),
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

        given: its overrides, {key: value}. config: its whole config, flat.
        """
        asked = self.model_dump(include=set(JobRequest.model_fields))
        for rule in self.resources:
            wanted = rule.when  # type: ignore[attr-defined]
            if all(str(given.get(key, config.get(key))) == plain_text(value) for key, value in wanted.items()):
                asked |= rule.model_dump(exclude_unset=True, exclude={"when"})  # type: ignore[attr-defined]
        return asked


def plain_text(value: Any) -> str:
    """As an override has it, without quotes."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
