"""What of a config its run is too short for: stages that it does not finish, terms that never begin."""

import json
import math

from lic_exp.config.schema import RunConfig, StageConfig
from lic_exp.config.signing import steps_per_epoch
from lic_exp.progress import Progress
from lic_exp.reach import unreached, what_is_done

REGULARIZER = "spectral_reg"


def last_step(stage: StageConfig, per_epoch: int) -> int:
    """A stage's length in steps, from the one of its two forms that is given. per_epoch: steps of one."""
    return stage.max_steps or (stage.max_epochs or 0) * per_epoch


def end_of(config: RunConfig) -> Progress:
    """Where training ends, as the first step after it would be told: steps and epochs in all. Reads the images' names.

    Every stage begins an epoch, so the last of each may be a part.
    """
    steps = epochs = 0
    for stage in config.stage_configs:
        per_epoch = steps_per_epoch(stage.data)
        made = last_step(stage, per_epoch)
        steps, epochs = steps + made, epochs + math.ceil(made / per_epoch)
    return Progress(steps, epochs, 1.0)


def never_reached(config: RunConfig) -> list[str]:
    """In words, what of its regularizer the run never comes to; nothing where it comes to all."""
    if config.spectral_reg.component is None:
        return []
    return list(unreached(config.spectral_reg.component.plain(), end_of(config), REGULARIZER))


def experiment_of(config: RunConfig) -> str:
    """What the run will do, as text: of two configs the same where they differ only in what neither comes to."""
    plain = config.plain()
    labels = ("name", "variant", "tags", "paths", "tracker")
    kept = {key: value for key, value in plain.items() if key not in labels}
    if config.spectral_reg.component is not None:
        kept[REGULARIZER] = what_is_done(config.spectral_reg.component.plain(), end_of(config))
    if kept[REGULARIZER] is None or kept[REGULARIZER]["_target_"] is None:
        kept[REGULARIZER] = None
    return json.dumps(kept, sort_keys=True, default=str)
