"""Runs of a results folder (`paths.results`), which count as done though nobody has trained them here. No torch.

Nothing is ever written there: no training, and nothing that goes on from one.
"""

from pathlib import Path

from lic_exp.config.errors import ConfigError
from lic_exp.config.schema import RunConfig
from lic_exp.config.signing import wanted_evaluation
from lic_exp.records import RecordError
from lic_exp.runs.run import Run
from lic_exp.runs.staleness import code_text
from lic_exp.tracking.results_folder import check_files, is_results_folder, results_record


def check_place(config: RunConfig) -> None:
    """Raise ConfigError where the folder that runs are to be trained in is a results folder."""
    if is_results_folder(Path(config.paths.runs)):
        raise ConfigError(
            [
                f"paths.runs={config.paths.runs} is a results folder, which no training writes to: name another "
                f"folder; paths.results={config.paths.runs} takes what is done there as done"
            ]
        )


def committed_run(config: RunConfig) -> Run | None:
    """The run of a config in `paths.results`, where it is done there and was evaluated as asked for.

    None also where other code made it and `trainer.stale=again` asks for a new one. Raises ConfigError where the folder
    is no results folder, the run's files are not those that were collected, or `trainer.stale=refuse` refuses it.
    """
    if config.paths.results is None:
        return None
    folder = Path(config.paths.results)
    run = Run(folder / config.signature, evaluated_as=wanted_evaluation(config))
    try:
        files = results_record(folder)["files"]
        own = {name: digest for name, digest in files.items() if name.startswith(f"{config.signature}/")}
        check_files(folder, own)
    except RecordError as error:
        raise ConfigError([f"paths.results: {error}"]) from error
    if not own or run.state != "done" or (run.evaluated_as is not None and not run.is_evaluated(run.evaluated_as)):
        return None
    if text := code_text(run.status):
        if config.trainer.stale == "refuse":
            raise ConfigError([f"trainer.stale=refuse: run {run.signature} is done in {folder}; {text}"])
        return None if config.trainer.stale == "again" else run
    return run
