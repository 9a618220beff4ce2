"""Who runs the cells of a sweep: the launchers that get frozen cells, by their name in `hydra/launcher`."""

from collections.abc import Mapping, Sequence
from typing import Any

from lic_exp.launching.errors import ConfigError
from lic_exp.launching.slurm.options import Slurm
from lic_exp.launching.sweeps.folder import Cell, Sweep
from lic_exp.launching.sweeps.options import Local, checked

Launcher = Local | Slurm

KINDS: dict[str, type[Launcher]] = {"local": Local, "slurm": Slurm}


def launcher_options(name: str, node: Mapping[str, Any]) -> Launcher:
    """The options of `hydra/launcher=NAME`, checked. Raises ConfigError with everything that is wrong in them."""
    return checked(KINDS[name], node)


def options_of(sweep: Sweep, changes: Mapping[str, Any]) -> Launcher:
    """Those that the sweep was started with, but for `changes`. Raises ConfigError."""
    node = sweep.manifest.get("launcher")
    if node is None:
        raise ConfigError([f"sweep {sweep.name} was not run by a launcher of this platform"])
    return launcher_options(sweep.manifest.get("launched_by", "local"), node | dict(changes))


def run_cells(sweep: Sweep, options: Launcher, cells: Sequence[Cell]) -> int:
    """Have these cells run. Returns the exit code."""
    if isinstance(options, Slurm):
        from lic_exp.launching.slurm.command import run_on_slurm

        return run_on_slurm(sweep, options, cells)
    from lic_exp.launching.sweeps.command import run_in_pool

    return run_in_pool(sweep, options, cells)
