"""What a command line asks for beyond one plain run: tables, sweeps, searches, plans, and Hydra's own launchers."""

import gc
from collections.abc import Sequence

from lic_exp import exit_codes
from lic_exp.cli.starting import start_composed
from lic_exp.config.errors import ConfigError
from lic_exp.config.hydra_app import hand_over
from lic_exp.config.overrides import parse
from lic_exp.config.request import LaunchRequest
from lic_exp.sweeps.create import sweep_request
from lic_exp.sweeps.launcher import find_launcher, launcher_kinds
from lic_exp.sweeps.plan import show_plan
from lic_exp.sweeps.search import search
from lic_exp.sweeps.trainings import Training, requested, trainings

LOCAL, SEARCH, HYDRAS = "local", "search", "basic"
"""Names of the default launcher, and of sweepers: the search, and the one that Hydra would take."""


def asked_for(
    flags: Sequence[str], values: Sequence[str], *, multirun: bool, plan: bool, showing: bool
) -> int | list[Training]:
    """The exit code of a sweep that was run or planned; else the runs that are asked for, of which the first counts.

    What a table or a sweep would begin with is shown without -m as well. Raises ConfigError.
    """
    request = requested(values)
    several = multirun or request.multirun
    if not showing and (several or plan or _is_named(values, request)):
        return _sweep(flags, values, request, several=several, plan=plan)
    return trainings(values, several=several or showing, request=request)


def _is_named(values: Sequence[str], request: LaunchRequest) -> bool:
    """Whether a launcher or sweeper was chosen, be it the default one: then even one run is a sweep."""
    chosen = any(text.startswith(("hydra/launcher", "hydra.launcher", "hydra/sweeper")) for text in values)
    return chosen or (request.launcher, request.sweeper) != (LOCAL, HYDRAS)


def _sweep(flags: Sequence[str], values: Sequence[str], request: LaunchRequest, *, several: bool, plan: bool) -> int:
    """Make a sweep of the command line, one of a single cell where no -m was given, and run or plan it."""
    if request.sweeper == SEARCH:
        if plan:
            raise ConfigError([f"hydra/sweeper={SEARCH}: a search finds its cells as it goes, so none can be planned"])
        return search(values, request)[0]
    if request.sweeper != HYDRAS and find_launcher(request.launcher):
        raise ConfigError(
            [f"hydra/sweeper={request.sweeper} needs a launcher of Hydra's own: add hydra/launcher={HYDRAS}"]
        )
    sweep = sweep_request(values, several=several, request=request)
    if sweep.launcher is None and not plan:
        if sweep.frozen.manifest["table"] is not None or sweep.spec:
            kinds = " and ".join(launcher_kinds())
            raise ConfigError(
                [f"hydra/launcher={sweep.launched_by}: only {kinds} run tables and sweeps of an experiment"]
            )
        if sweep.frozen.left_out:
            of_its_own = f"hydra/launcher={sweep.launched_by} gives all overrides to every run"
            raise ConfigError(f"{of_its_own}: {text}" for text in sweep.frozen.left_out)
        multirun = [] if "-m" in flags or "--multirun" in flags else ["--multirun"]
        given = list(values)
        codes = hand_over([*flags, *multirun, *parse(values).arguments], lambda config: start_composed(config, given))
        return max(codes, default=exit_codes.DONE)
    gc.enable()
    return show_plan(sweep) if plan else sweep.run()
