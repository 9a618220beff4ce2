"""Where complexity is counted: of a configured codec that nobody needs otherwise, and of a run's own."""

import logging

from lic_exp.atomic import write_json
from lic_exp.config.errors import ConfigError
from lic_exp.config.instantiation import instantiate
from lic_exp.config.schema import RunConfig
from lic_exp.evaluation.complexity import Complexity, complexity
from lic_exp.models.base import Codec
from lic_exp.private_torch import without_values
from lic_exp.tracking.run_folder import RunFolder

log = logging.getLogger("lic_exp.runs")


def complexity_of(config: RunConfig, size: tuple[int, int] | None = None) -> Complexity:
    """What the configured codec costs; its weights are never allocated.

    size: (height, width), or None for the usual one. Raises ConfigError for a size that the codec does not take.
    """
    with without_values():
        codec: Codec = instantiate(config.model.component, "model")
    try:
        return complexity(codec, *(size or ()))
    except ValueError as error:
        raise ConfigError([str(error)]) from error


def record_complexity(codec: Codec, run: RunFolder) -> Complexity | None:
    """Write the run's complexity.json. A codec that cannot be counted trains all the same: run.log says why."""
    try:
        found = complexity(codec)
    except Exception as error:
        log.warning("no complexity.json, since counting failed: %s: %s", type(error).__name__, error, exc_info=True)
        return None
    write_json(run.complexity, found.to_dict())
    return found
