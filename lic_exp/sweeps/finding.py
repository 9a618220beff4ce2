"""What a signature stands for: a run, or a cell of any sweep beside it."""

from pathlib import Path
from typing import Any, NamedTuple

from lic_exp.config.errors import ConfigError
from lic_exp.naming import AmbiguousNameError, unique_match
from lic_exp.records import RecordError, read_record
from lic_exp.runs.run import find_run, run_folders
from lic_exp.sweeps.folder import sweeps
from lic_exp.sweeps.kinds import FrozenCell
from lic_exp.text import blank_message, is_blank


class Signed(NamedTuple):
    """What is known of a signature. places: a line on its state, and on each sweep that it is a cell of."""

    signature: str
    config: dict[str, Any]
    places: list[str]


def find_config(name: str, runs: str) -> Signed:
    """The run, or the cell of a sweep, whose signature begins so. Raises ConfigError."""
    if is_blank(name):
        raise ConfigError([blank_message("the signature")])
    whole = [sweep for sweep in sweeps(runs) if not sweep.problem]
    cells = [(sweep, cell) for sweep in whole for cell in sweep.cells if cell.signature.startswith(name)]
    folders = run_folders(runs) if Path(runs).is_dir() else []
    known = {cell.signature for _, cell in cells} | {path.name for path in folders if path.name.startswith(name)}
    try:
        unique_match(name, sorted(known))
    except AmbiguousNameError as error:
        raise ConfigError([f"{error}: give more digits"]) from error
    places = [f"cell {cell.label} of sweep {sweep.name}" for sweep, cell in cells]
    if known & {path.name for path in folders} or not cells:
        run = find_run(name, runs)
        return Signed(run.signature, run.plain_config, [f"{run.state}, in {run.folder}", *places])
    sweep, cell = cells[-1]
    try:
        config = read_record(sweep.frozen(cell), FrozenCell)["config"]
    except (FileNotFoundError, RecordError) as error:
        raise ConfigError([str(error)]) from error
    return Signed(cell.signature, config, ["not begun", *places])
