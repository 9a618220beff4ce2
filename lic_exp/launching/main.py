"""`python launch.py ...`: judge the command line, then let Hydra take over.

Nothing here imports torch, mlflow or compressai until a run really starts, so that help, `--cfg` and refusals are
instant.
"""

import gc
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra._internal.utils import get_args_parser
from omegaconf import DictConfig

from lic_exp.launching import exit_codes
from lic_exp.launching.compose import compose, conf_folder, parse, to_plain, values_of
from lic_exp.launching.errors import ConfigError
from lic_exp.launching.studies import trainings
from lic_exp.launching.validation import validate


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line `arguments` (None: the process's own). Returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = get_args_parser().parse_intermixed_args(arguments)
    values = options.overrides
    flags = _without(arguments, values)
    showing = bool(options.cfg or options.info or options.help or options.hydra_help or options.shell_completion)
    foreign = options.multirun and bool(values_of(values, "hydra/launcher"))
    try:
        asked = trainings(values, several=options.multirun)
        configs = [validate(compose(training.overrides)) for training in asked]
        if foreign and asked[0].study:
            raise ConfigError(["hydra/launcher: a table's runs go one after another so far; leave the launcher out"])
        for training, config in zip(asked, configs, strict=True):
            if training.study and not showing:
                training.study.record(config)
    except ConfigError as error:
        print(error.report(), file=sys.stderr)
        return exit_codes.CONFIG
    if options.multirun and not (foreign or showing):
        return _one_after_another(list(zip(map(str, asked), configs, strict=True)), values)
    plain = parse(values) if foreign else asked[0].overrides
    return _hand_over([*flags, *plain.arguments], values)


def _one_after_another(runs: Sequence[tuple[str, dict[str, Any]]], given: Sequence[str]) -> int:
    """Start every run, whatever becomes of the others, until a signal asks to stop. Returns the worst exit code.

    runs: what to call each, and its config.
    """
    worst = exit_codes.DONE
    for number, (name, config) in enumerate(runs, 1):
        print(f"{number} of {len(runs)}: {name}", file=sys.stderr)
        code = start(config, list(given))
        if code == exit_codes.PREEMPTED:
            return code
        worst = max(worst, code)
    return worst


def _without(arguments: Sequence[str], values: Sequence[str]) -> list[str]:
    """The arguments that are no overrides, flags with their values, in order."""
    left = list(values)
    flags = []
    for argument in arguments:
        if left and argument == left[0]:
            left.pop(0)
        else:
            flags.append(argument)
    return flags


def _hand_over(arguments: list[str], given: Sequence[str]) -> int:
    """Let Hydra compose, show or run; it reads the command line from sys.argv."""
    codes: list[int] = []

    def task(config: DictConfig) -> None:
        codes.append(start(to_plain(config), list(given)))

    before = sys.argv
    sys.argv = [sys.argv[0], *arguments]
    try:
        hydra.main(version_base="1.3", config_path=str(conf_folder()), config_name="config")(task)()
    finally:
        sys.argv = before
    return max(codes, default=exit_codes.DONE)


def start(config: dict[str, Any], given: list[str]) -> int:
    """Run a composed config, or say that its run is done. Returns the exit code."""
    gc.enable()  # launch.py turned it off for the start-up
    from lic_exp.launching.summary import console_for

    console = console_for(sys.stderr)
    try:
        launch(validate(config), given, console)
    except ConfigError as error:
        console.print(error.report(), markup=False, highlight=False, soft_wrap=True)
        return exit_codes.CONFIG
    except Exception as error:  # noqa: BLE001 (every outcome has its exit code)
        return outcome(error, console)
    return exit_codes.DONE


def outcome(error: Exception, console: Any) -> int:
    """Say how a started run ended, and give its exit code."""
    from lic_exp.data.images import ImageError
    from lic_exp.divergence import DivergedError
    from lic_exp.launching.lock import RunBusyError
    from lic_exp.models.files import CheckpointError
    from lic_exp.training.trainer import Preempted

    for kind, code in (
        (Preempted, exit_codes.PREEMPTED),
        (DivergedError, exit_codes.DIVERGED),
        (RunBusyError, exit_codes.BUSY),
        (CheckpointError, exit_codes.FAILED),
        (ImageError, exit_codes.FAILED),
    ):
        if isinstance(error, kind):
            console.print(str(error), markup=False, highlight=False, soft_wrap=True)
            return code
    # Hydra would shorten the traceback to the part that helps nobody.
    console.print_exception()
    return exit_codes.FAILED


def launch(config: dict[str, Any], given: list[str], console: Any) -> Any:
    """The run of a validated config: found where it is done already, else trained and evaluated."""
    from lic_exp.launching.identity import signature
    from lic_exp.launching.run import Run
    from lic_exp.launching.summary import announce, conclude, console_for
    from lic_exp.tracking.run_folder import RunFolder

    run = RunFolder(Path(config["paths"]["runs"], signature(config)))
    if run.status().get("state") == "done":
        console.print(f"run {run.signature} is done already; nothing was started.", highlight=False, soft_wrap=True)
    else:
        if config["parent"] is not None and not any(run.checkpoints.glob("step_*.pt")):
            from lic_exp.launching.extension import check_extension

            check_extension(config)
        announce(config, run, console)
        from lic_exp.launching.execute import execute

        execute(config, run, given, console)
    finished = Run(run.root)
    if not console.quiet:
        conclude(finished, console_for(sys.stdout))
    return finished
