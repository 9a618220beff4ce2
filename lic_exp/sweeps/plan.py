"""`plan=true`: every cell with what differs from the baseline, its state, its minutes, and the total."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from lic_exp import exit_codes
from lic_exp.config.differences import LABELS, differences
from lic_exp.config.reach import experiment_of, never_reached
from lic_exp.config.schema import RunConfig
from lic_exp.config.signing import throughput_key
from lic_exp.console import console_for, styled
from lic_exp.flat import component_label
from lic_exp.sweeps.create import SweepRequest
from lic_exp.sweeps.estimates import known_paces, length, measured_pace
from lic_exp.sweeps.folder import Cell, SweepFolder
from lic_exp.sweeps.states import FINISHED, CellState, is_outdated, states
from lic_exp.text import listed, visible

Pace = tuple[float, str]
"""Seconds per step, and how they are known."""

MOST_TWINS = 8


@dataclass(frozen=True)
class Planned:
    """A cell of a plan. minutes: of computing still to come; None where nothing is known of its like.

    never_reached: in words, what it is too short for. same_as: the signature of the first cell that is one experiment
    with it by that, None where none comes before it. devices: how many it computes on at a time.
    """

    now: CellState
    differs: str
    minutes: float | None
    source: str
    never_reached: list[str]
    same_as: str | None
    devices: int

    @property
    def label(self) -> str:
        return self.now.cell.label or "the run"


def show_plan(request: SweepRequest) -> int:
    """Print the plan; nothing is written. Returns the exit code: 1 over `hydra.launcher.budget_min`."""
    frozen, console = request.frozen, console_for(sys.stdout)
    budget = request.options.budget_min if request.launcher else None
    planned = plan(request)
    console.print(_table(planned))
    for text in [*frozen.left_out, *frozen.merged, *_marks(planned)]:
        console.print(styled(text), soft_wrap=True)
    minutes = sum(one.minutes * one.devices for one in planned if one.minutes is not None)
    unknown = sum(one.minutes is None for one in planned)
    total = _total(request, planned, minutes, unknown)
    console.print(f"sweep {frozen.name}: {total}", soft_wrap=True)
    if budget is not None and (minutes > budget or unknown):
        over = f"{minutes:.1f} min" if minutes > budget else "of unknown length"
        console.print(f"over the budget: {over}, and hydra.launcher.budget_min={budget:g}")
        return exit_codes.FAILED
    return exit_codes.DONE


def _marks(planned: Sequence[Planned]) -> list[str]:
    """What cells are too short for, and which of them are one experiment by that, each said once."""
    short: dict[str, list[str]] = {}
    alike: dict[str, list[str]] = {}
    for one in planned:
        for text in one.never_reached:
            short.setdefault(text, []).append(one.label)
        alike.setdefault(one.same_as or one.now.cell.signature, []).append(one.label)
    twins = [
        f"{listed(of)}: one experiment, since they differ only in what they never reach or weigh by 0"
        for of in alike.values()
        if len(of) > 1
    ]
    left = len(twins) - MOST_TWINS
    committed: dict[Path, list[str]] = {}
    for one in planned:
        if one.now.committed is not None:
            committed.setdefault(one.now.committed, []).append(one.label)
    return [
        *(f"done in {folder}, and not trained here: {listed(of)}" for folder, of in committed.items()),
        *(f"{text} ({listed(of)})" for text, of in short.items()),
        *twins[:MOST_TWINS],
        *([f"and so are the cells of {left} more experiments"] if left > 0 else []),
    ]


def _table(planned: Sequence[Planned]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for title in ("cell", "run", "state", "minutes", "differs from the baseline in"):
        table.add_column(title, justify="right" if title == "minutes" else "left", overflow="fold")
    for one in planned:
        minutes = "?" if one.minutes is None else f"{one.minutes:.1f}"
        label = visible(one.label)
        table.add_row(*map(styled, (label, one.now.cell.signature, one.now.state, minutes, one.differs)))
    return table


def _total(request: SweepRequest, planned: Sequence[Planned], minutes: float, unknown: int) -> str:
    left = sum(_is_left(one.now, request.frozen.configs[one.now.cell.signature]) for one in planned)
    text = f"{len(planned)} cells, {left} to run: {minutes:.1f} min of computing"
    if any(one.devices > 1 for one in planned):
        text += ", of all devices together"
    if unknown:
        can_measure = request.launcher is not None and "probe_steps" in request.launcher.options.model_fields
        measures = " (hydra.launcher.probe_steps=20 measures)" if can_measure else ""
        text += f", and {unknown} of unknown length{measures}"
    sources = ", ".join(sorted({one.source for one in planned if one.source}))
    return f"{text}; by {sources}" if sources else text


def plan(request: SweepRequest) -> list[Planned]:
    """Every cell, in order. Raises ConfigError where the sweep would be refused for the code that it is of."""
    request.check_code()
    frozen, sweep = request.frozen, request.planned()
    now = states(sweep)
    base = frozen.configs[baseline(request).signature]
    left = [name for name, config in frozen.configs.items() if _is_left(now[name], config)]
    paces = _paces(request, left, sweep)
    planned, first = [], dict[str, str]()
    for name, config in frozen.configs.items():
        minutes, source = (None, "") if name in left else (0.0, "")
        if name in paces:
            seconds, source = paces[name]
            done = 0 if config.trainer.stale == "again" and is_outdated(now[name]) else now[name].step or 0
            minutes = max(0, length(config) - done) * seconds / 60
        same_as = first.setdefault(experiment_of(config), name)
        too_short, twin = never_reached(config), None if same_as == name else same_as
        devices = config.trainer.ranks
        planned.append(Planned(now[name], differs(config, base), minutes, source, too_short, twin, devices))
    return planned


def _is_left(now: CellState, config: RunConfig) -> bool:
    """Whether the sweep would run a cell."""
    return now.state not in FINISHED or (config.trainer.stale == "again" and is_outdated(now))


def _paces(request: SweepRequest, left: Sequence[str], sweep: SweepFolder) -> dict[str, Pace]:
    """{signature: pace} of these cells, as far as finished runs tell it, or measured where that is wanted."""
    frozen, found = request.frozen, {}
    known = {name: (seconds, "finished runs of the same kind") for name, seconds in known_paces(frozen.runs).items()}
    probe = None if request.launcher is None else request.launcher.probe(request.options)
    for name in left:
        config = frozen.configs[name]
        like = throughput_key(config)
        if like not in known and probe and (seconds := measured_pace(config, probe, sweep)) is not None:
            known[like] = seconds, "measured steps, without start and evaluation"
        if like in known:
            found[name] = known[like]
    return found


def baseline(request: SweepRequest) -> Cell:
    """What the others are compared with: the cell that the sweep or table calls so, or the first."""
    wanted: dict[str, Any] = {}
    if request.spec is not None:
        wanted = request.spec.baseline
    elif request.study is not None:
        wanted = {"variant": request.study.table.baseline}
    cells = request.frozen.cells
    exact = (cell for cell in cells if wanted.items() <= cell.role.items())
    fitting = (cell for cell in cells if all(cell.role.get(key, value) == value for key, value in wanted.items()))
    return next(exact, None) or next(fitting, cells[0])  # which may lack an option that the baseline names


def differs(one: RunConfig, other: RunConfig) -> str:
    """`key=value` of every key that differs; of a group with another component only that."""
    config, base = one.plain(), other.plain()
    chosen = {
        group: component_label(node)
        for group, node in config.items()
        if isinstance(node, Mapping) and "_target_" in node and node["_target_"] != base[group]["_target_"]
    }
    found = [
        f"{key}={here}"
        for key, (here, _) in differences(config, base).items()
        if key.split(".")[0] not in chosen and key not in LABELS and here is not None
    ]
    return ", ".join([*(f"{group}={name}" for group, name in chosen.items()), *found])
