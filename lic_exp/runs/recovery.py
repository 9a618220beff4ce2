"""A run whose status.json is damaged, launched again: nothing is destroyed for not being known. Imports no torch."""

import logging
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

from lic_exp.config.errors import ConfigError
from lic_exp.config.schema import RunConfig
from lic_exp.records import NewerError, RecordError
from lic_exp.tracking.run_folder import RunFolder, step_checkpoints

log = logging.getLogger("lic_exp.runs")


def goes_on(config: RunConfig, run: RunFolder) -> bool:
    """Whether its training goes on from a checkpoint of its own."""
    return config.trainer.resume != "never" and bool(step_checkpoints(run.checkpoints))


def known_status(config: RunConfig, run: RunFolder) -> dict[str, Any]:
    """The run's status as far as it is known; {} where it is damaged and the run goes on from its newest checkpoint.

    A run at its last step trains no further then, and is evaluated anew. Raises ConfigError where the status is damaged
    and the run would begin anew, though it may have been done; and where a newer version has the run.
    """
    try:
        return run.status()
    except NewerError as error:
        raise ConfigError([str(error)]) from error
    except RecordError as error:
        if goes_on(config, run):
            return {}
        why = "trainer.resume=never" if config.trainer.resume == "never" else "it has no step checkpoint to go on from"
        raise ConfigError(
            [
                f"{error}. So nobody knows whether run {run.signature} was done, and {why}: it would begin anew. "
                f"If it shall, remove it first: python -m lic_exp rm {run.signature} --runs {run.root.parent}"
            ]
        ) from error


def set_aside_damaged(run: RunFolder) -> Path | None:
    """Of a run that is held: keep a damaged status.json under another name, and say so; None where it is whole.

    Raises NewerError.
    """
    try:
        run.status()
    except NewerError:
        raise
    except RecordError as error:
        kept = next(path for path in _kept_names(run) if not path.exists())
        run.status_file.rename(kept)
        log.warning("%s; it is kept as %s, and the run goes on from its newest checkpoint", error, kept.name)
        return kept
    return None


def _kept_names(run: RunFolder) -> Iterator[Path]:
    return (run.root / f"status.damaged_{number}.json" for number in count(1))
