"""Where complexity is counted: of a configured codec that nobody needs otherwise, and of a run's own."""

import json
import logging
from collections.abc import Mapping
from typing import Any

from torch._subclasses.fake_tensor import FakeTensorMode

from lic_exp.atomic import write_atomically
from lic_exp.evaluation.complexity import Complexity, complexity
from lic_exp.launching.build import component
from lic_exp.launching.errors import ConfigError
from lic_exp.models.base import Codec
from lic_exp.tracking.run_folder import RunFolder

log = logging.getLogger("lic_exp.launching")


def complexity_of(config: Mapping[str, Any], size: tuple[int, int] | None = None) -> Complexity:
    """What the configured codec costs; its weights are never allocated.

    size: (height, width), or None for the usual one. Raises ConfigError for a size that the codec does not take.
    """
    with FakeTensorMode(allow_non_fake_inputs=True):
        codec: Codec = component(config, "model")
    try:
        return complexity(codec, *(size or ()))
    except ValueError as error:
        raise ConfigError([str(error)]) from error


def record_complexity(codec: Codec, run: RunFolder) -> None:
    """Write the run's complexity.json. A codec that cannot be counted trains all the same: run.log says why."""
    try:
        found = complexity(codec).to_dict()
    except Exception as error:
        log.warning("no complexity.json, since counting failed: %s: %s", type(error).__name__, error, exc_info=True)
        return
    write_atomically(run.complexity, json.dumps(found, indent=1) + "\n")
