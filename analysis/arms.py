"""Runs in groups that differ from one another in seed and rate alone, and what to call each."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from analysis.config_roles import config_roles
from analysis.errors import AnalysisError
from analysis.named_runs import Meaning, NamedRun, arm_role
from analysis.run_records import parse_config
from analysis.sweep_manifests import all_sweeps
from lic_exp.evaluation.published import LONGEST_NAME
from lic_exp.labels import BETWEEN, labels, sizes_of_rates
from lic_exp.saying import say
from lic_exp.text import shortened, visible
from lic_exp.tracking.run_folder import RunFolder
from lic_exp.tracking.sweep_labels import labels_of_runs


@dataclass(frozen=True)
class Arm:
    """Runs of one curve. cells: each with its role, begun or not. sizes: keys of the model that go with its rates."""

    label: str
    cells: tuple[NamedRun, ...]
    sizes: tuple[str, ...] = ()


def arms_of(found: Meaning, trusted: Collection[str] = ()) -> list[Arm]:
    """Runs in groups that differ in seed and rate alone, in order of their first."""
    known = found.runs if all(run.role is not None for run in found.runs) else _as_of_one_sweep(found.runs)
    cells = _trusting(known or _by_configs(found.runs), trusted)
    if len(cells) == 1:
        return [Arm(name_of_run(cells[0]), tuple(cells))]
    # Of runs that no sweep has set side by side nobody has said that a size goes with the rate.
    sizes = sizes_of_rates([cell.role or {} for cell in cells]) if known else []
    roles = [{key: value for key, value in arm_role(cell.role or {}).items() if key not in sizes} for cell in cells]
    grouped: dict[str, list[NamedRun]] = {}
    of: dict[str, Mapping[str, Any]] = {}
    for cell, role in zip(cells, roles, strict=True):
        grouped.setdefault(repr(sorted(role.items())), []).append(cell)
        of.setdefault(repr(sorted(role.items())), role)
    names = labels(of.values())
    return [
        Arm(name or found.title, tuple(members), tuple(key for key in sizes if _differ_in(key, members)))
        for name, members in zip(names, grouped.values(), strict=True)
    ]


def _differ_in(key: str, cells: Sequence[NamedRun]) -> bool:
    return len({repr((cell.role or {}).get(key)) for cell in cells}) > 1


def _trusting(cells: Sequence[NamedRun], trusted: Collection[str]) -> list[NamedRun]:
    """The cells without those of their keys in which runs of one arm may differ."""
    roles = ({key: value for key, value in (cell.role or {}).items() if key not in trusted} for cell in cells)
    return [replace(cell, role=role) for cell, role in zip(cells, roles, strict=True)]


def _by_configs(runs: Sequence[NamedRun]) -> list[NamedRun]:
    """The runs with what their configs differ in. Of several, one whose config is damaged is passed over and named."""
    read, configs, damaged = list[NamedRun](), list[dict[str, Any]](), list[AnalysisError]()
    begun = [run for run in runs if run.has_begun]
    waiting = [run.label or run.signature for run in runs if not run.has_begun]
    if begun and waiting:
        say(f"passed over, as they have not begun: {' | '.join(waiting)}")
    for run in begun or runs:
        try:
            configs.append(config_of(run))
            read.append(run)
        except AnalysisError as error:
            damaged.append(error)
    if not read:
        raise damaged[0]
    for fault in damaged:
        say(f"passed over: {fault}")
    return [replace(run, role=role) for run, role in zip(read, config_roles(configs), strict=True)]


def _as_of_one_sweep(runs: Sequence[NamedRun]) -> list[NamedRun] | None:
    """The runs as the latest sweep has them that has all of them; None where none has."""
    wanted = {run.signature: run for run in runs}
    for sweep in reversed(all_sweeps(runs[0].folder.parent)):
        cells = {cell["signature"]: cell for cell in sweep.cells}
        if wanted.keys() <= cells.keys():
            return [
                replace(run, role=dict(cells[name].get("role") or {}), label=cells[name]["label"])
                for name, run in wanted.items()
            ]
    return None


def common_title(runs: Sequence[NamedRun]) -> str:
    """What several runs have in common in what they are called, or else the first and how many more there are."""
    names = [name_of_run(run).split(BETWEEN) for run in runs]
    shared = [part for part in names[0] if all(part in name for name in names)]
    more = f" and {len(runs) - 1} more" if len(runs) > 1 else ""
    return BETWEEN.join(shared) or f"{BETWEEN.join(names[0])}{more}"


def config_of(run: NamedRun) -> dict[str, Any]:
    """The run's config as its folder has it, {} where there is none yet. Raises AnalysisError where it is damaged."""
    try:
        return parse_config(RunFolder(run.folder).config.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise AnalysisError(f"{run.folder}: config.yaml cannot be read: {error}".replace("\n", " ")) from error


def name_of_run(run: NamedRun) -> str:
    """What to call one run: as its sweep does, by the name that it was given, or by its signature."""
    if found := run.label or labels_of_runs(run.folder.parent).get(run.signature):
        return found
    name = RunFolder(run.folder).status_if_whole().get("name")
    return shortened(visible(name), LONGEST_NAME) if isinstance(name, str) and name.strip() else run.signature
