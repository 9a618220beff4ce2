"""`python launch.py ...`: judge the command line, then show a config, start a run, or make a sweep.

Nothing here imports torch, mlflow or compressai until a run really starts, so that help, `--cfg` and refusals are
instant.
"""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lic_exp import exit_codes
from lic_exp.cli.starting import start, start_composed
from lic_exp.cli.version import VERSION, show_version
from lic_exp.config.compose import fitted
from lic_exp.config.errors import ConfigError
from lic_exp.config.hydra_app import check_flags, hand_over, hydra_shows, job_text, parse_arguments
from lic_exp.config.loading import everything_said, load_config
from lic_exp.config.overrides import Overrides, cells
from lic_exp.config.validation import faults
from lic_exp.program import run_program
from lic_exp.saying import say, show

if TYPE_CHECKING:
    from lic_exp.sweeps.trainings import Training

SUMMARY = "train and evaluate: the same as launch.py, overrides and all"

BEYOND = ("hydra.", "hydra/", "experiment=", "variant=")
"""Beginnings of overrides that may say more than what one run is."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line `arguments` (None: the process's own). Returns the exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    return run_program(lambda: show_version() if VERSION in given else _launch(given))  # Hydra's own flag means Hydra


def _launch(arguments: list[str]) -> int:
    options = parse_arguments(arguments)
    flags = _without(arguments, options.overrides)
    showing = bool(options.cfg or options.info or options.help or options.hydra_help or options.shell_completion)
    training, count = None, 1
    try:
        check_flags(options)
        with everything_said():
            plan, values = planning(options.overrides)
            if options.multirun or plan or any(text.lstrip("+").startswith(BEYOND) for text in values):
                # Models of tables and sweeps are a tenth of what a refusal costs.
                from lic_exp.cli.sweeping import asked_for

                asked = asked_for(flags, values, multirun=options.multirun, plan=plan, showing=showing)
                if isinstance(asked, int):
                    return asked
                training, count = asked[0], len(asked)
                overrides = training.overrides
            else:
                ((overrides, _),) = cells(values, several=False)
        if options.cfg == "job" and options.package is None:
            return _show(overrides, training, count, resolve=options.resolve)
        if showing:
            return _let_hydra_show(flags, overrides)
        config = load_config(overrides)
        if training and training.study:
            training.study.record(config)
        if any(text.lstrip("+~").startswith(("hydra.", "hydra/")) for text in values):
            codes = hand_over(fitted(overrides), lambda plain: start_composed(plain, values))
            return max(codes, default=exit_codes.DONE)
    except ConfigError as error:
        say(*error.report().splitlines())
        return exit_codes.CONFIG
    return start(config, values)


def _show(overrides: Overrides, training: "Training | None", count: int, *, resolve: bool) -> int:
    """`--cfg job`: the config as YAML, composed once. Values that must still be given stand there as ???."""
    text, plain = job_text(overrides, resolve=resolve)
    wrong, missing = faults(plain)
    if wrong:
        raise ConfigError([*wrong, *missing])
    show(*text.rstrip("\n").split("\n"))
    notes = [f"the first of {count} runs: {training}"] if count > 1 else []
    notes += [f"left out, as it has no such option: {key}" for key in (training.left_out if training else ())]
    for note in [*notes, *missing]:
        say(f"# {note}")
    return exit_codes.DONE


def _let_hydra_show(flags: Sequence[str], overrides: Overrides) -> int:
    """Help, Hydra's own config and the like."""
    if overrides.arguments:
        load_config(overrides)
    shown = [flag for flag in flags if flag not in ("-m", "--multirun")]  # Hydra cannot do both
    hydra_shows([*shown, *(fitted(overrides) if overrides.arguments else ())])
    return exit_codes.DONE


def planning(values: Sequence[str]) -> tuple[bool, list[str]]:
    """Whether `plan=true` is among the overrides, and the others. Raises ConfigError."""
    given = [text for text in values if text.partition("=")[0] == "plan"]
    for text in given:
        if text not in ("plan=true", "plan=false"):
            raise ConfigError([f"{text}: should be plan=true, which shows the runs and starts nothing, or plan=false"])
    return given[-1:] == ["plan=true"], [text for text in values if text not in given]


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
