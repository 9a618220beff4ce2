"""From a command line to frozen, signed cells: expand, compose once per choice of groups, set values, judge, sign."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lic_exp.comparability import ranking_faults
from lic_exp.config.composer import Composer
from lic_exp.config.errors import ConfigError
from lic_exp.config.overrides import parsed, quoted, values_of
from lic_exp.config.schema import RunConfig
from lic_exp.config.signing import wanted_evaluation
from lic_exp.config.validation import validate
from lic_exp.labels import SEED, is_rate, labels
from lic_exp.labels import label as role_label
from lic_exp.runs.beginnings import Beginnings
from lic_exp.runs.code_hash import code_hash
from lic_exp.runs.run import Run
from lic_exp.runs.staleness import is_remade
from lic_exp.sweeps.folder import FOLDER, Cell, SweepFolder, kept_manifest, sweep_name, write_sweep
from lic_exp.sweeps.trainings import Training
from lic_exp.text import listed

MOST_MESSAGES = 20


@dataclass(frozen=True)
class Frozen:
    """A sweep that is not on disk yet.

    cells: each signed once. configs: {signature: validated config}. lines: {signature: the cell's own command line}.
    left_out: what to say of cells that lack an option which others have. merged: of those that are one run.
    """

    name: str
    runs: Path
    cells: list[Cell]
    configs: dict[str, RunConfig]
    lines: dict[str, list[str]]
    manifest: dict[str, Any]
    left_out: list[str]
    merged: list[str]

    @property
    def folder(self) -> Path:
        return self.runs / FOLDER / self.name

    def files(self, sweep: str) -> dict[str, dict[str, Any]]:
        """{signature: what its cell file holds}; `overrides` is `given` taken apart."""
        files: dict[str, dict[str, Any]] = {}
        evaluations = {cell.signature: cell.evaluation for cell in self.cells}
        for name, config in self.configs.items():
            overrides = {one.key_or_group: one.value() for one in map(parsed, self.lines[name])}
            files[name] = {"signature": name, "sweep": sweep, "given": self.lines[name], "overrides": overrides}
            files[name] |= {"evaluation": evaluations[name], "config": config.plain()}
        return files

    def write(self) -> SweepFolder:
        """Put it on disk, or renew what is there."""
        frozen = self.files(self.name)
        before = kept_manifest(self.folder)
        kept = {key: before[key] for key in ("made", "snapshot") if key in before}
        return write_sweep(self.folder, self.manifest | kept, frozen)


def freeze(
    asked: Sequence[Training], given: Sequence[str], *, keep: int = 0, composer: Composer | None = None
) -> Frozen:
    """Every training composed, validated and signed. Raises ConfigError with what is wrong in any of them.

    keep: of a screened sweep, how many groups go on. composer: what composed others of the same sweep.
    """
    composer = composer or Composer()
    configs: dict[str, RunConfig] = {}
    cells: dict[str, Cell] = {}
    lines: dict[str, list[str]] = {}
    signed: list[str] = []
    errors: dict[str, str] = {}
    merged = []
    places: set[str] = set()
    for training, called in zip(asked, labels(training.role for training in asked), strict=True):
        label = called or str(training) or "the run"
        parent = signed[training.after] if training.after is not None else None
        try:
            plain = composer(training.overrides)
            if parent == "":  # what it starts from is refused, and so it has no name; what else is wrong is said
                validate(plain)
                signed.append("")
                continue
            config = validate(plain if parent is None else plain | {"init_from": parent})
            name, evaluation = config.signature, wanted_evaluation(config)
        except ConfigError as error:
            errors = dict.fromkeys(error.messages, label) | errors
            signed.append("")
            continue
        signed.append(name)
        places.add(config.paths.runs)
        if name in cells and cells[name].evaluation != evaluation:
            text = f"{label} is the same training as {cells[name].label}, evaluated otherwise: give one after the other"
            errors[text] = label
            continue
        if name in cells:
            if not training.left_out or label != cells[name].label:  # else what was left out is said anyway
                merged.append(f"{label} is the same run as {cells[name].label}")
            continue
        configs[name] = config
        lines[name] = _line(training, parent)
        begins = parent or next((one for one in (config.init_from, config.parent) if one in cells), None)
        cells[name] = Cell(name, label, dict(training.role), begins, training.group, training.first, keep, evaluation)
    _raise(errors, len(asked))
    first = [configs[cell.signature].plain() for cell in cells.values() if cell.first]
    if faults := ranking_faults("screen ranks the choices", first):
        raise ConfigError(f"sweep: {message}" for message in faults)
    if len(places) > 1:
        raise ConfigError(
            [f"paths.runs: the cells of a sweep lie in one folder, not in {' and '.join(sorted(places))}"]
        )
    runs = Path(os.path.abspath(places.pop()))
    study = asked[0].study
    title = study.name if study else str((values_of(given, "experiment") or ["sweep"])[0])
    name = sweep_name(title, [f"{cell.signature} {cell.evaluation or ''}".strip() for cell in cells.values()])
    manifest = _manifest(name, title, asked, given, cells, configs)
    return Frozen(name, runs, list(cells.values()), configs, lines, manifest, _left_out(asked), merged)


def _left_out(asked: Sequence[Training]) -> list[str]:
    """What to say of trainings without keys that others have, each arm of the sweep named once."""
    arms: dict[tuple[str, ...], dict[str, None]] = {}
    for one in asked:
        if one.left_out:
            arm = {key: value for key, value in one.role.items() if key != SEED and not is_rate(key)}
            arms.setdefault(one.left_out, {})[role_label(arm) or str(one)] = None
    return [
        f"{' and '.join(keys)} {'are' if len(keys) > 1 else 'is'} left out where there is no such option: "
        f"{listed(list(names))}"
        for keys, names in arms.items()
    ]


def check_beginnings(frozen: Frozen) -> None:
    """Raise ConfigError for what cells that are to be trained would begin from, as far as it is there already.

    To be trained are also those that are done and would be made anew, what there is of them having been set aside.
    """
    beginnings, errors = Beginnings(), dict[str, str]()
    runs = {name: Run(frozen.runs / name) for name in frozen.configs}
    done = {name for name, run in runs.items() if run.state == "done"}
    anew = {name for name in done if is_remade(frozen.configs[name], runs[name].status)}
    kept = (done - anew) | set((frozen.manifest.get("committed") or {"cells": ()})["cells"])
    for cell in frozen.cells:
        if cell.signature not in kept:
            config, to_come = frozen.configs[cell.signature], cell.parent is not None and cell.parent not in kept
            found = beginnings.faults(config, begins_from_another=to_come, anew=cell.signature in anew)
            errors = dict.fromkeys(found, cell.label) | errors
    _raise(errors, len(frozen.cells))


def _raise(errors: Mapping[str, str], cells: int) -> None:
    """Raise ConfigError where there are messages, each with the cell that it was said of first."""
    if errors:
        named = [f"{message} (cell {label})" if cells > 1 else message for message, label in errors.items()]
        raise ConfigError(_limited(named))


def _line(training: Training, parent: str | None) -> list[str]:
    """The command line that makes this run alone."""
    own = [text.lstrip("+") for text in training.overrides.arguments if not text.startswith("hydra.searchpath")]
    return own if parent is None else [*own, f"init_from={quoted(parent)}"]


def _manifest(
    name: str,
    title: str,
    asked: Sequence[Training],
    given: Sequence[str],
    cells: Mapping[str, Cell],
    configs: Mapping[str, RunConfig],
) -> dict[str, Any]:
    """What analysis and commands read. Of a table it has what the table's own manifest has, of the cells asked for."""
    study = asked[0].study
    scale = values_of(given, "scale")
    plugins = next(iter(configs.values())).plugins
    return {
        "sweep": name,
        "experiment": title,
        "scale": str(scale[-1]) if scale else None,
        "overrides": list(study.shared if study else given),
        "given": list(given),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "folder": os.getcwd(),
        "path": [os.path.abspath(place) for place in sys.path if place not in _STANDARD],
        "plugins": list(plugins),
        "code": code_hash(plugins=plugins),
        "table": study.table.model_dump() if study else None,
        "cells": [asdict(cell) for cell in cells.values()],
    }


_STANDARD = frozenset(path for path in sys.path if path.startswith((f"{sys.base_prefix}/lib", f"{sys.prefix}/lib")))


def _limited(messages: list[str]) -> list[str]:
    left = len(messages) - MOST_MESSAGES
    return messages if left <= 0 else [*messages[:MOST_MESSAGES], f"and {left} more"]
