"""A config becomes a run: found where it is done already, else trained, evaluated and told of. Imports no torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from lic_exp.config.errors import ConfigError
from lic_exp.config.loading import with_values
from lic_exp.config.schema import RunConfig
from lic_exp.config.signing import wanted_evaluation
from lic_exp.runs.beginnings import check_origin
from lic_exp.runs.committed import check_place, committed_run
from lic_exp.runs.rank_place import is_follower, rank_place
from lic_exp.runs.recovery import goes_on, known_status
from lic_exp.runs.run import Run
from lic_exp.runs.staleness import ANEW, code_text, has_begun, is_remade
from lic_exp.runs.summary import announce, conclude, say
from lic_exp.tracking.run_folder import RunFolder

STARTED_BY_OTHERS = (
    "processes on several machines are started by SLURM (-m hydra/launcher=slurm), or by torchrun with launch.py and "
    "the same overrides; for this machine alone set trainer.nodes=1"
)


def start_run(
    config: RunConfig, given: list[str], console: Console, results: Console, *, sweep: str | None = None
) -> Run:
    """The run of a config: found where it is done already, else trained and evaluated.

    A run that is done, but was never evaluated as the config says, is only evaluated. given: the command line. console:
    for progress; results: for what was found, unless it is quiet. sweep: the name of the sweep that it is a cell of.
    Raises ConfigError, and what the run itself raises. Of a damaged status.json see `lic_exp.runs.recovery`.
    """
    if is_follower():
        console.quiet = results.quiet = True
    check_place(config)
    files = RunFolder(Path(config.paths.runs, config.signature))
    wanted = wanted_evaluation(config)
    run = Run(files.root, evaluated_as=wanted)
    status = known_status(config, files)
    if not has_begun(status) and (committed := committed_run(config)) is not None:
        said = f"run {run.signature} is done in {committed.folder.parent}; nothing was started."
        console.print(said, highlight=False, markup=False, soft_wrap=True)
        conclude(committed, results)
        return committed
    remade = is_remade(config, status)
    if not remade and has_begun(status):
        _say_code(config, run, status, console)
    if (status.get("state") == "done" and not remade) or not _trained(
        config, files, given, console, sweep, anew=remade
    ):
        _evaluate_missing(config, run, console, wanted)
    conclude(run, results)
    return run


def _say_code(config: RunConfig, run: Run, status: Mapping[str, Any], console: Console) -> None:
    """Of a run that is done, or goes on, say where it is not of the code that there is now.

    Raises ConfigError where such a run is to be refused.
    """
    text, done = code_text(status), status.get("state") == "done"
    if not text or not (done or goes_on(config, run.files)):
        return
    if config.trainer.stale == "again":  # that has been asked for, and cannot be
        text = text.removesuffix(f"; {ANEW}")
    is_there = "is done" if done else "would go on" if config.trainer.stale == "refuse" else "goes on"
    said = f"run {run.signature} {is_there}; {text}"
    if config.trainer.stale == "refuse":
        raise ConfigError([f"trainer.stale=refuse: {said}"])
    say(console, said)


def _trained(
    config: RunConfig, files: RunFolder, given: list[str], console: Console, sweep: str | None, *, anew: bool
) -> bool:
    """Train and evaluate the run; False where another process has finished it before it could be taken.

    anew: whether what there is of it is to be set aside.
    """
    begun = with_values(config, {"trainer.resume": "never"}) if anew else config
    if text := check_origin(begun, files):
        say(console, text)
    announce(config, files, console)
    if config.trainer.ranks > 1 and rank_place() is None:
        if config.trainer.nodes > 1:
            raise ConfigError([f"trainer.nodes={config.trainer.nodes}: {STARTED_BY_OTHERS}"])
        from lic_exp.runs.rank_launch import execute_on_ranks

        return execute_on_ranks(config, files, given, sweep)
    from lic_exp.runs.attempt import execute

    return execute(config, files, given, console, sweep=sweep)


def _evaluate_missing(config: RunConfig, run: Run, console: Console, wanted: str | None) -> None:
    if config.trainer.profile:
        text = f"run {run.signature} is trained already, and only steps that are made can be measured"
        say(console, f"trainer.profile=true: {text}; another length (trainer.max_steps) or seed makes another run")
    if is_follower():
        return
    if wanted is None or run.is_evaluated(wanted):
        console.print(f"run {run.signature} is done already; nothing was started.", highlight=False, soft_wrap=True)
        return
    text = f"run {run.signature} is trained already; it is evaluated as asked for now"
    console.print(text, highlight=False, soft_wrap=True)
    from lic_exp.runs.attempt import evaluate_only

    evaluate_only(config, run.files, console)
