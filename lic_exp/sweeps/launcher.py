"""Who runs the cells of a sweep: what a launcher is, and how one is found.

A launcher is a module of `lic_exp.sweeps.launchers` with an object `LAUNCHER`; its name is the `kind` of the option
conf/hydra/launcher/NAME.yaml. Launchers are imported when they are asked for, and nothing above them knows which there
are.
"""

import importlib
import importlib.util
import pkgutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from lic_exp.config.blanks import blank_values
from lic_exp.config.errors import ConfigError, did_you_mean
from lic_exp.option_types import PositiveFloat
from lic_exp.sweeps.folder import Cell, CellRecord, SweepFolder

HOME = "lic_exp.sweeps.launchers"
PREFIX = "hydra.launcher"


class LauncherOptions(BaseModel):
    """What every launcher lets one choose: `hydra.launcher.*`. Nothing of it is signed.

    kind: the launcher's name. retried_with: values with which `retry` runs again what a sweep's own command began.
    """

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    kind: ClassVar[str]
    retried_with: ClassVar[Mapping[str, Any]] = {}

    snapshot: bool
    budget_min: PositiveFloat | None

    def kept(self) -> dict[str, Any]:
        """What a sweep's manifest keeps. What was not set stays so: a rule must not reset what it does not name."""
        return self.model_dump(exclude_unset=True) | dict(self.retried_with)


class Probe(NamedTuple):
    """How a launcher measures what cells take: by so many steps, in a process with this limit of memory."""

    steps: int
    memory_gb: float | None


class JobQueue(Protocol):
    """Of a launcher that hands its cells to a queue, which goes on without it: what is known of the jobs there.

    A job is on record beside its cell (`SweepFolder.record_job`): `launcher`, `job` (its number), `submitted` [Unix s].
    title: what people call it. trouble: why it could not be asked, or nothing.
    """

    title: str

    @property
    def trouble(self) -> str: ...

    def state(
        self, sweep: SweepFolder, cell: Cell, job: CellRecord, attempt: CellRecord, status: CellRecord
    ) -> tuple[str, str]:
        """(state, reason) of a cell that is not done.

        job: its record. attempt: what the job wrote of its own process, {} before it began. status: status.json if
        this attempt wrote it, else {}.
        """

    def cancel(self, jobs: Mapping[str, Cell]) -> list[str]:
        """End these jobs, {number: cell}, each after its checkpoint. Returns a line on each."""

    def logs(self, sweep: SweepFolder, job: str) -> list[Path]:
        """Where a job writes what it says outside of its cell's log."""


OptionsT = TypeVar("OptionsT", bound=LauncherOptions)


class Launcher(Protocol[OptionsT]):
    """Has cells run, each by `lic_exp.sweeps.cell_process`.

    options: what it lets one choose. queue: None where cells are processes that this machine, or their pool, knows of.
    """

    options: type[OptionsT]
    queue: JobQueue | None = None

    def run(self, sweep: SweepFolder, options: OptionsT, cells: Sequence[Cell]) -> int:
        """Have these cells run, as far as they may and do not run already. Returns the exit code."""
        ...

    def slots(self, options: OptionsT, devices: int = 1) -> int | None:
        """How many cells run at a time until `run` returns; None where it returns before they have ended.

        devices: how many the cells have at most.
        """
        return None

    def probe(self, options: OptionsT) -> Probe | None:
        """How `plan=true` shall measure, on this machine, what it cannot estimate; None where it shall not."""
        return None


def find_launcher(kind: str) -> Launcher[Any] | None:
    """The launcher of this kind; None where there is none, for Hydra has launchers of its own."""
    name = f"{HOME}.{kind}"
    if not kind.isidentifier() or importlib.util.find_spec(name) is None:
        return None
    launcher: Launcher[Any] | None = getattr(importlib.import_module(name), "LAUNCHER", None)
    return launcher


def launcher_kinds() -> list[str]:
    """The kinds that there are."""
    return sorted(module.name for module in pkgutil.iter_modules(importlib.import_module(HOME).__path__))


def launcher_of(options: LauncherOptions) -> Launcher[Any]:
    """The launcher that these options are of."""
    found = find_launcher(options.kind)
    assert found is not None
    return found


def queue_of(job: CellRecord) -> JobQueue | None:
    """The queue that a job on record was handed to; None without a job."""
    found = find_launcher(job["launcher"]) if job else None
    return found.queue if found else None


def launcher_options(kind: str, node: CellRecord) -> LauncherOptions:
    """The options of `hydra/launcher=NAME` of this kind. Raises ConfigError with everything that is wrong in them."""
    launcher = find_launcher(kind)
    if launcher is None:
        raise ConfigError([f"{PREFIX}: there is no launcher {kind}: there are {', '.join(launcher_kinds())}"])
    try:
        options: LauncherOptions = launcher.options.model_validate(dict(node))
    except ValidationError as error:
        raise ConfigError(dict.fromkeys(_message(launcher.options, fault, node) for fault in error.errors())) from error
    if blank := dict(blank_values(f"{PREFIX}.", node, launcher.options)):
        raise ConfigError(blank.values())
    return options


def options_of(sweep: SweepFolder, changes: CellRecord) -> LauncherOptions:
    """Those that a sweep was started with, but for `changes`. Raises ConfigError."""
    node, kind = sweep.manifest.get("launcher"), sweep.manifest.get("launched_by")
    if node is None or kind is None or find_launcher(kind) is None:
        raise ConfigError([f"sweep {sweep.name} was not run by a launcher of this platform"])
    return launcher_options(kind, node | dict(changes))


def _message(options: type[BaseModel], fault: ErrorDetails, node: CellRecord) -> str:
    if not fault["loc"]:  # of several together
        return f"{PREFIX}: {fault['msg'].removeprefix('Value error, ')}"
    key = str(fault["loc"][0])
    if fault["type"] == "extra_forbidden" and len(fault["loc"]) == 1:
        valid = list(options.model_fields)
        return (
            f"{PREFIX}.{key}: there is no such key.{did_you_mean(key, valid, PREFIX + '.')} Valid: {', '.join(valid)}"
        )
    inner = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in fault["loc"][1:])
    return f"{PREFIX}.{key}{inner}={fault['input'] if inner else node.get(key)}: {fault['msg'].removeprefix('Input ')}"
