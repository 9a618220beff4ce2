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

from lic_exp.launching.compose import cells, compose, conf_folder, parse, to_plain
from lic_exp.launching.errors import ConfigError
from lic_exp.launching.validation import validate

EXIT_DONE, EXIT_FAILED, EXIT_CONFIG = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line `arguments` (None: the process's own). Returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = get_args_parser().parse_intermixed_args(arguments)
    values = options.overrides
    flags = _without(arguments, values)
    try:
        overrides = parse(values)
        for cell in cells(overrides, several=options.multirun):
            validate(compose(cell))
    except ConfigError as error:
        print(error.report(), file=sys.stderr)
        return EXIT_CONFIG
    return _hand_over([*flags, *overrides.arguments], values)


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
    return max(codes, default=EXIT_DONE)


def start(config: dict[str, Any], given: list[str]) -> int:
    """Run a composed config, or say that its run is done. Returns the exit code."""
    gc.enable()  # launch.py turned it off for the start-up
    from lic_exp.launching.summary import console_for

    console = console_for(sys.stderr)
    try:
        launch(validate(config), given, console)
    except ConfigError as error:
        console.print(error.report(), markup=False, highlight=False, soft_wrap=True)
        return EXIT_CONFIG
    except ArithmeticError as error:
        console.print(f"diverged: {error}", style="bold red", markup=False, soft_wrap=True)
        return EXIT_FAILED
    except Exception:  # noqa: BLE001 (shown whole, and its exit code tells)
        # Hydra would shorten the traceback to the part that helps nobody.
        console.print_exception()
        return EXIT_FAILED
    return EXIT_DONE


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
        announce(config, run, console)
        from lic_exp.launching.execute import execute

        execute(config, run, given, console)
    finished = Run(run.root)
    if not console.quiet:
        conclude(finished, console_for(sys.stdout))
    return finished
