"""`plan=true`: every cell with what differs from the baseline, its state, its minutes, and the total."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from lic_exp.launching import exit_codes
from lic_exp.launching.identity import shape
from lic_exp.launching.summary import console_for
from lic_exp.launching.sweeps.display import visible
from lic_exp.launching.sweeps.estimates import known_paces, length, probe
from lic_exp.launching.sweeps.folder import Cell, Sweep
from lic_exp.launching.sweeps.launchers import KINDS
from lic_exp.launching.sweeps.options import Local
from lic_exp.launching.sweeps.pool import cell_command, python_path
from lic_exp.launching.sweeps.states import FINISHED, CellState, states
from lic_exp.launching.verbs import shortened
from lic_exp.launching.verbs_explain import LABELS, differences
from lic_exp.tracking.mlflow_store import component_label

if TYPE_CHECKING:
    from lic_exp.launching.sweeps.cells import Frozen
    from lic_exp.launching.sweeps.making import Made

Config = Mapping[str, Any]


@dataclass(frozen=True)
class Planned:
    """A cell of a plan. minutes: of computing still to come; None where nothing is known of its like."""

    now: CellState
    differs: str
    minutes: float | None
    source: str


def show(made: "Made") -> int:
    """Print the plan; nothing is written. Returns the exit code: 1 over `hydra.launcher.budget_min`."""
    frozen, console = made.frozen, console_for(sys.stdout)
    budget = made.options.budget_min if made.launcher in KINDS else None
    planned = plan(made)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for title in ("cell", "run", "state", "minutes", "differs from the baseline in"):
        table.add_column(title, justify="right" if title == "minutes" else "left", overflow="fold")
    for one in planned:
        minutes = "?" if one.minutes is None else f"{one.minutes:.1f}"
        label = shortened(visible(one.now.cell.label or "the run"), 60)
        table.add_row(*map(Text, (label, one.now.cell.signature, one.now.state, minutes, visible(one.differs))))
    console.print(table)
    for text in frozen.merged:
        console.print(visible(text), markup=False, highlight=False, soft_wrap=True)
    known = [one.minutes for one in planned if one.minutes is not None]
    left = [one for one in planned if one.now.state not in FINISHED]
    unknown = sum(one.minutes is None for one in left)
    total = f"{len(planned)} cells, {len(left)} to run: {sum(known):.1f} min of computing"
    measures = " (hydra.launcher.probe_steps=20 measures)" if made.launcher == "local" else ""
    total += f", and {unknown} of unknown length{measures}" if unknown else ""
    sources = ", ".join(sorted({one.source for one in planned if one.source}))
    console.print(
        f"sweep {frozen.name}: {total}{f'; by {sources}' if sources else ''}", highlight=False, soft_wrap=True
    )
    if budget is not None and (sum(known) > budget or unknown):
        over = f"{sum(known):.1f} min" if sum(known) > budget else "of unknown length"
        console.print(f"over the budget: {over}, and hydra.launcher.budget_min={budget:g}", highlight=False)
        return exit_codes.FAILED
    return exit_codes.DONE


def plan(made: "Made") -> list[Planned]:
    """Every cell, in order."""
    frozen = made.frozen
    now = states(_unwritten(frozen))
    base = frozen.configs[baseline(frozen, made).signature]
    paces, source = known_paces(frozen.runs), "finished runs of the same shape"
    shapes = {name: shape(config) for name, config in frozen.configs.items()}
    sources = dict.fromkeys(paces, source)
    if made.launcher in KINDS and isinstance(made.options, Local) and made.options.probe_steps is not None:
        for name, config in frozen.configs.items():
            if shapes[name] not in paces and now[name].state not in FINISHED:
                measured = probe(config, made.options.probe_steps, os.getcwd(), _prober(made))
                if measured is not None:
                    paces[shapes[name]], sources[shapes[name]] = (
                        measured,
                        "measured steps, without start and evaluation",
                    )
    planned = []
    for cell in frozen.cells:
        config, one = frozen.configs[cell.signature], now[cell.signature]
        minutes = _minutes(config, one, paces.get(shapes[cell.signature]))
        source = sources.get(shapes[cell.signature], "") if one.state not in FINISHED else ""
        planned.append(Planned(one, differs(config, base), minutes, source))
    return planned


def _minutes(config: Config, one: CellState, pace: float | None) -> float | None:
    if one.state in FINISHED:
        return 0.0
    return None if pace is None else max(0, length(config) - (one.step or 0)) * pace / 60


def baseline(frozen: "Frozen", made: "Made") -> Cell:
    """What the others are compared with: the cell that the sweep or table calls so, or the first."""
    wanted: dict[str, Any] = {}
    if made.spec is not None:
        wanted = made.spec.baseline
    elif made.study is not None:
        wanted = {"variant": made.study.table.baseline}
    fitting = [cell for cell in frozen.cells if wanted.items() <= cell.role.items()]
    return (fitting or frozen.cells)[0]


def differs(config: Config, base: Config) -> str:
    """`key=value` of every key that differs; of a group with another component only that."""
    other = {
        group: component_label(node)
        for group, node in config.items()
        if isinstance(node, Mapping) and "_target_" in node and node["_target_"] != base[group]["_target_"]
    }
    found = [
        f"{key}={here}"
        for key, (here, _) in differences(config, base).items()
        if key.split(".")[0] not in other and key not in LABELS and here is not None
    ]
    return ", ".join([*(f"{group}={name}" for group, name in other.items()), *found])


def _unwritten(frozen: "Frozen") -> Sweep:
    """The sweep as its folder would be read, whether it is there or not."""
    sweep = Sweep(frozen.folder)
    sweep.__dict__["manifest"] = (sweep.manifest if sweep.folder.is_dir() else {}) | {**frozen.manifest}
    return sweep


def _prober(made: "Made") -> Any:
    def command(frozen: Any) -> tuple[Sequence[str], dict[str, str]]:
        path = os.pathsep.join(python_path(_unwritten(made.frozen)))
        assert isinstance(made.options, Local)
        return cell_command(frozen, made.options), os.environ | {"PYTHONPATH": path}

    return command
