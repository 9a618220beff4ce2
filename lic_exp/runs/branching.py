"""Whether a schedule may take over from another: only where both have had one rate until then."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from lic_exp.config.instantiation import instantiate
from lic_exp.config.reach import end_of
from lic_exp.config.schema import RunConfig
from lic_exp.config.signing import steps_per_epoch
from lic_exp.optimizers.schedules import Schedule
from lic_exp.progress import Progress


def first_unlike_step(config: RunConfig, before: RunConfig, begun: int) -> int | None:
    """The first of the steps done so far at which the two schedules make different rates of one; None where they agree.

    0 where one listens to validation, since only a training can tell its rates.
    """
    new, old = (_schedule(one, lr=float(_optimizer(before)["lr"])) for one in (config, before))
    if any(type(schedule).after_validation is not Schedule.after_validation for schedule in (new, old)):
        return 0
    ends = end_of(config).step, end_of(before).step
    per_epoch = steps_per_epoch(config.stage_configs[0].data)
    for step in range(begun):
        first, second = (
            _rate(schedule, Progress(step, step // per_epoch, step / end))
            for schedule, end in zip((new, old), ends, strict=True)
        )
        if first != second:
            return step
    return None


def _schedule(config: RunConfig, *, lr: float) -> Schedule:
    """Of a config without stages. It is built on what it asks of an optimizer, without any weights."""
    groups: Any = SimpleNamespace(param_groups=[{"lr": lr}])
    made: Schedule = instantiate(config.stage_configs[0].scheduler.component, "scheduler", groups)
    return made


def _optimizer(config: RunConfig) -> Mapping[str, Any]:
    component = config.optimizer.component
    return component.options if component else {}


def _rate(schedule: Schedule, progress: Progress) -> float:
    schedule.before_step(progress)
    return float(schedule.optimizer.param_groups[0]["lr"])
