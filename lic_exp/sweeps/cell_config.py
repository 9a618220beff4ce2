"""What a cell's frozen config says, as launchers ask for it: flat, and never built."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from lic_exp.config.errors import ConfigError
from lic_exp.flat import flatten
from lic_exp.records import RecordError, read_record
from lic_exp.sweeps.folder import Cell, SweepFolder
from lic_exp.sweeps.kinds import FrozenCell


class Processes(NamedTuple):
    """How many processes train a cell: so many on each of so many machines, each on a device of its own."""

    devices: int
    nodes: int


def flat_config(sweep: SweepFolder, cell: Cell) -> tuple[dict[str, str], dict[str, str]]:
    """A cell's overrides and its whole config, {key: text}. Raises ConfigError where its file cannot be read."""
    try:
        frozen = read_record(sweep.frozen(cell), FrozenCell)
    except (FileNotFoundError, RecordError) as error:
        raise ConfigError([f"{error}; the sweep's command writes it anew"]) from error
    overrides = frozen.get("overrides", {})
    return {key: plain_text(value) for key, value in overrides.items()}, flatten(frozen["config"])


def processes(config: Mapping[str, str]) -> Processes:
    """Those that a flat config asks for; one where it is older than the choice."""
    return Processes(int(config.get("trainer.devices", "1")), int(config.get("trainer.nodes", "1")))


def processes_of(sweep: SweepFolder, cells: Iterable[Cell]) -> dict[str, Processes]:
    """{signature: its processes} of cells; one that cannot be read, which says so when it starts, counts as one."""
    found = {}
    for cell in cells:
        try:
            found[cell.signature] = processes(flat_config(sweep, cell)[1])
        except ConfigError:
            found[cell.signature] = Processes(1, 1)
    return found


def plain_text(value: object) -> str:
    """As an override has it, without quotes."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
