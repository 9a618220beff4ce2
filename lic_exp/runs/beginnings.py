"""What a run begins from, judged before there is a process for it: other runs, files of weights, names of parameters.

Imports torch only for a run that names weights or parameters.
"""

import json
import sys
from contextlib import suppress
from pathlib import Path

from lic_exp.config.errors import ConfigError
from lic_exp.config.loading import with_values
from lic_exp.config.schema import RunConfig
from lic_exp.console import console_for
from lic_exp.runs.extension import check_extension, run_beside
from lic_exp.runs.log_file import held_back
from lic_exp.runs.recovery import goes_on, known_status
from lic_exp.runs.staleness import code_text, is_remade, said_of_origin
from lic_exp.tracking.run_folder import RunFolder, step_checkpoints


def check_origin(config: RunConfig, files: RunFolder) -> str:
    """Raise ConfigError where a run that this one goes on or starts from is not there, or not done.

    Also where it is of other code than there is now, and what is made from it must not be; else returns what to say
    of that.
    """
    anew = not goes_on(config, files)
    if config.parent is not None and anew:
        check_extension(config)
    if config.init_from is not None:
        said = f"init_from={config.init_from}: run"
        if Path(config.init_from).name != config.init_from:
            raise ConfigError([f"init_from={config.init_from}: should be a run's signature, in {config.paths.runs}"])
        first = run_beside(config, "init_from", config.init_from)
        best = first.folder / "checkpoints" / "best.pt"
        if first.state != "done":
            instead = f"; or begin with model.weights={best}" if best.is_file() else ""
            raise ConfigError([f"{said} {first.folder} is {first.state}, not done: finish it first{instead}"])
        if not best.is_file():
            raise ConfigError([f"{said} {first.folder} has no checkpoints/best.pt any more"])
    return said_of_origin(config, files)


def origin_faults(config: RunConfig, files: RunFolder) -> list[str]:
    """What `check_origin` raises."""
    try:
        check_origin(config, files)
    except ConfigError as error:
        return error.messages
    return []


def check_resume(config: RunConfig, files: RunFolder) -> None:
    """Raise ConfigError where a run must go on, and has nothing to go on from or is to be made anew."""
    if config.trainer.resume != "must":
        return
    said = f"trainer.resume=must: run {files.root.name}"
    if not step_checkpoints(files.checkpoints):
        raise ConfigError([f"{said} has no checkpoint to go on from"])
    status = known_status(config, files)
    if is_remade(config, status):
        raise ConfigError(
            [f"{said} would begin anew by trainer.stale=again ({code_text(status)}): leave one of them out"]
        )


class Beginnings:
    """Judges the beginnings of many runs, such as a sweep's cells; what several of them have alike is judged once."""

    def __init__(self) -> None:
        self._judged: dict[str, list[str]] = {}

    def faults(self, config: RunConfig, *, begins_from_another: bool, anew: bool = False) -> list[str]:
        """What is wrong with the beginning of a run that is to be trained.

        begins_from_another: its `init_from` or `parent` is still to be trained, so that nothing is known of it. anew:
        what there is of the run will have been set aside.
        """
        files = RunFolder(Path(config.paths.runs, config.signature))
        if config.trainer.resume == "must" and (anew or not step_checkpoints(files.checkpoints)):
            return [f"trainer.resume=must: run {files.root.name} has no checkpoint to go on from"]
        if not begins_from_another:
            begun = with_values(config, {"trainer.resume": "never"}) if anew else config
            if found := origin_faults(begun, files):
                return found
        first = None if begins_from_another else config.init_from
        factors = [stage.optimizer.lr_factors for stage in config.stage_configs]
        if not (first or config.model.weights or config.model.freeze or any(factors)):
            return []
        parts = [config.model.plain(), config.spectral_reg.plain(), factors, first]
        key = json.dumps(parts, sort_keys=True, default=str)
        if key not in self._judged:
            self._judged[key] = _built(config, files, weights_too=not begins_from_another)
        return self._judged[key]


def _built(config: RunConfig, files: RunFolder, *, weights_too: bool) -> list[str]:
    """What building the run's model and optimizers finds wrong."""
    from lic_exp.runs.judging import check_parts  # torch
    from lic_exp.runs.one_at_a_time import one_at_a_time

    # A plugin's bug, too little memory here, a training in another thread: the run's own process will tell, or not.
    with suppress(Exception), one_at_a_time("judges what runs begin from", nested=True, long=False):
        try:
            with held_back(console_for(sys.stderr)):
                check_parts(config, files, weights_too=weights_too)
        except ConfigError as error:
            return error.messages
    return []
