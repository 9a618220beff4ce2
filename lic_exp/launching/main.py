"""`python launch.py ...`: judge the command line, then let Hydra take over.

Nothing here imports torch, mlflow or compressai until a run really starts, so that help, `--cfg` and refusals are
instant.
"""

import gc
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from lic_exp.launching import exit_codes
from lic_exp.launching.compose import Request, compose_fitted, composed_by_hydra
from lic_exp.launching.errors import ConfigError
from lic_exp.launching.overrides import conf_folder, parse
from lic_exp.launching.studies import requested, trainings
from lic_exp.launching.validation import validate


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line `arguments` (None: the process's own). Returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = get_args_parser().parse_intermixed_args(arguments)
    flags = _without(arguments, options.overrides)
    showing = bool(options.cfg or options.info or options.help or options.hydra_help or options.shell_completion)
    try:
        plan, values = planning(options.overrides)
        request = requested(values) if _asks_hydra(values) or options.multirun or plan else None
        several = options.multirun or bool(request and request.multirun)
        if request and not showing and (several or plan or _is_named(values, request)):
            return _sweep(flags, values, request, several=several, plan=plan)
        training, *_ = trainings(values, several=several, request=request)
        composed, overrides = compose_fitted(training.overrides)
        config = validate(composed)
        if training.study and not showing:
            training.study.record(config)
    except ConfigError as error:
        print(error.report(), file=sys.stderr)
        return exit_codes.CONFIG
    shown = [flag for flag in flags if flag not in ("-m", "--multirun")]  # Hydra cannot do both
    return _hand_over([*shown, *overrides.arguments], values)


def _asks_hydra(values: Sequence[str]) -> bool:
    """Whether the overrides may say how runs are started, themselves or by an experiment."""
    return any(text.lstrip("+").startswith(("hydra.", "hydra/", "experiment=")) for text in values)


def _is_named(values: Sequence[str], request: Request) -> bool:
    """Whether a launcher or sweeper was chosen, be it the default one: then even one run is a sweep."""
    chosen = any(text.startswith(("hydra/launcher", "hydra.launcher", "hydra/sweeper")) for text in values)
    return chosen or (request.launcher, request.sweeper) != (POOL, HYDRAS)


def planning(values: Sequence[str]) -> tuple[bool, list[str]]:
    """Whether `plan=true` is among the overrides, and the others. Raises ConfigError."""
    given = [text for text in values if text.partition("=")[0] == "plan"]
    for text in given:
        if text not in ("plan=true", "plan=false"):
            raise ConfigError([f"{text}: should be plan=true, which shows the runs and starts nothing, or plan=false"])
    return given[-1:] == ["plan=true"], [text for text in values if text not in given]


def _sweep(flags: Sequence[str], values: Sequence[str], request: Request, *, several: bool, plan: bool) -> int:
    """Make a sweep of the command line, one of a single cell where no -m was given, and run or plan it."""
    from lic_exp.launching.sweeps.launchers import KINDS
    from lic_exp.launching.sweeps.making import make

    if request.sweeper == SEARCH:
        from lic_exp.launching.sweeps.search import search

        if plan or request.launcher != POOL:
            raise ConfigError(
                [f"hydra/sweeper={SEARCH}: a search finds its cells as it goes, with hydra/launcher={POOL}"]
            )
        return search(values, request)[0]
    if request.sweeper != HYDRAS and request.launcher in KINDS:
        raise ConfigError(
            [f"hydra/sweeper={request.sweeper} needs a launcher of Hydra's own: add hydra/launcher={HYDRAS}"]
        )
    made = make(values, several=several, request=request)
    if made.launcher not in KINDS and not plan:
        if made.frozen.manifest["table"] is not None or made.spec:
            raise ConfigError(
                [f"hydra/launcher={made.launcher}: only {' and '.join(KINDS)} run tables and sweeps of an experiment"]
            )
        multirun = [] if "-m" in flags or "--multirun" in flags else ["--multirun"]
        return _hand_over([*flags, *multirun, *parse(values).arguments], values)
    gc.enable()
    return made.show_plan() if plan else made.run()


POOL, SEARCH, HYDRAS = "local", "search", "basic"
"""Names of a launcher and of sweepers: the pool, the search, and the sweeper that Hydra would take."""


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
        codes.append(start(composed_by_hydra(config, HydraConfig.get().overrides), list(given)))

    before = sys.argv
    sys.argv = [sys.argv[0], *arguments]
    try:
        hydra.main(version_base="1.3", config_path=str(conf_folder()), config_name="config")(task)()
    finally:
        sys.argv = before
    return max(codes, default=exit_codes.DONE)


def start(config: dict[str, Any], given: list[str]) -> int:
    """Run a composed config, or say that its run is done. Returns the exit code."""
    from lic_exp.launching.summary import console_for

    console = console_for(sys.stderr)
    return guarded(lambda: launch(validate(config), given, console), console)


def guarded(action: Callable[[], object], console: Any) -> int:
    """Do it, and say what came of it. Returns the exit code."""
    gc.enable()  # launch.py turned it off for the start-up
    try:
        action()
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


def launch(config: dict[str, Any], given: list[str], console: Any, *, sweep: str | None = None) -> Any:
    """The run of a validated config: found where it is done already, else trained and evaluated.

    sweep: the name of the sweep that it is a cell of.
    """
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
        if config["init_from"] is not None:
            _check_beginning(config)
        announce(config, run, console)
        from lic_exp.launching.execute import execute

        execute(config, run, given, console, sweep=sweep)
    finished = Run(run.root)
    if not console.quiet:
        conclude(finished, console_for(sys.stdout))
    return finished


def _check_beginning(config: dict[str, Any]) -> None:
    """Raise ConfigError where the run that this one starts from is not there, or not done."""
    from lic_exp.launching.run import Run

    first = Run(Path(config["paths"]["runs"], config["init_from"]))
    if first.state != "done" or not (first.folder / "checkpoints" / "best.pt").is_file():
        raise ConfigError([f"init_from={config['init_from']}: run {first.folder} is {first.state}, not done"])
