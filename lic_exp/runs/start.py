"""A config becomes a run: found where it is done already, else trained, evaluated and told of. Imports no torch."""

from pathlib import Path

from rich.console import Console

from lic_exp.config.schema import RunConfig
from lic_exp.config.signing import wanted_evaluation
from lic_exp.runs.beginnings import check_origin
from lic_exp.runs.recovery import known_status
from lic_exp.runs.run import Run
from lic_exp.runs.summary import announce, conclude
from lic_exp.tracking.run_folder import RunFolder


def start_run(
    config: RunConfig, given: list[str], console: Console, results: Console, *, sweep: str | None = None
) -> Run:
    """The run of a config: found where it is done already, else trained and evaluated.

    A run that is done, but was never evaluated as the config says, is only evaluated. given: the command line. console:
    for progress; results: for what was found, unless it is quiet. sweep: the name of the sweep that it is a cell of.
    Raises ConfigError, and what the run itself raises. Of a damaged status.json see `lic_exp.runs.recovery`.
    """
    files = RunFolder(Path(config.paths.runs, config.signature))
    wanted = wanted_evaluation(config)
    run = Run(files.root, evaluated_as=wanted)
    if known_status(config, files).get("state") == "done" or not _trained(config, files, given, console, sweep):
        _evaluate_missing(config, run, console, wanted)
    conclude(run, results)
    return run


def _trained(config: RunConfig, files: RunFolder, given: list[str], console: Console, sweep: str | None) -> bool:
    """Train and evaluate the run; False where another process has finished it before it could be taken."""
    check_origin(config, files)
    announce(config, files, console)
    from lic_exp.runs.attempt import execute

    return execute(config, files, given, console, sweep=sweep)


def _evaluate_missing(config: RunConfig, run: Run, console: Console, wanted: str | None) -> None:
    if wanted is None or run.is_evaluated(wanted):
        console.print(f"run {run.signature} is done already; nothing was started.", highlight=False, soft_wrap=True)
        return
    text = f"run {run.signature} is trained already; it is evaluated as asked for now"
    console.print(text, highlight=False, soft_wrap=True)
    from lic_exp.runs.attempt import evaluate_only

    evaluate_only(config, run.files, console)
