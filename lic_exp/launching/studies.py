"""Ablation tables as command lines: which trainings fill one, and the manifest by which analysis finds them.

`experiment=NAME` may name a file with a `table` (`lic_exp.tables`). Then `variant=`, `seed=` and the table's rate key
choose among its trainings, and everything else on the command line holds for all of them. Two command lines make the
same study if they give the baseline the same signature.
"""

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from lic_exp.atomic import write_atomically
from lic_exp.launching.compose import Overrides, cells, compose, compose_table, fitted, is_sweep, parse, values_of
from lic_exp.launching.errors import ConfigError, did_you_mean
from lic_exp.launching.identity import signature
from lic_exp.launching.validation import validate
from lic_exp.tables import FOLDER, Cell, Table, TableError, parse_table

VARIANT, SEED = "variant", "seed"


@dataclass(frozen=True)
class Training:
    """One run that a command line asks for; study, cell: its place in a table, if it is of one."""

    overrides: Overrides
    study: "Study | None" = None
    cell: Cell | None = None

    def __str__(self) -> str:
        if self.cell is None:
            return " ".join(text.lstrip("+") for text in self.overrides.arguments)
        rate = [f"{key}={value}" for key, value in self.cell.rate.items()]
        return ", ".join([self.cell.variant, f"seed={self.cell.seed}", *rate])


def trainings(given: Sequence[str], *, several: bool) -> list[Training]:
    """The runs that the overrides `given` describe, in order. Raises ConfigError.

    several: whether more than one was asked for (`-m`). With it a table's name alone stands for all its trainings;
    without it the variant must be named, and seed and rate are the table's first unless they are.
    """
    overrides = parse(given)
    experiments = values_of(given, "experiment")
    table = _table(given, str(experiments[0])) if len(experiments) == 1 else None
    if table is None:
        if picked := values_of(given, VARIANT):
            raise ConfigError([f"variant={picked[0]}: only an experiment with a table has variants; name one, alone"])
        return [Training(fitted(cell)) for cell in cells(overrides, several=several)]
    study = Study(str(experiments[0]), table, tuple(given))
    if swept := [text for text in study.shared if is_sweep(text)]:
        keys = ", ".join(study.keys)
        raise ConfigError(f"{text}: with a table only {keys} may have several values" for text in swept)
    return [Training(study.overrides(cell), study, cell) for cell in study.chosen(several)]


def _table(given: Sequence[str], experiment: str) -> Table | None:
    """The table of the experiment, as far as the overrides with one value make it."""
    node = compose_table(parse([text for text in given if not is_sweep(text)]))
    try:
        return None if node is None else parse_table(node, f"experiment={experiment}")
    except TableError as error:
        raise ConfigError([str(error)]) from error


@dataclass(frozen=True)
class Study:
    """A table under the overrides that all of its trainings share.

    given: the command line, which may choose among the trainings.
    """

    name: str
    table: Table
    given: tuple[str, ...]

    @property
    def keys(self) -> list[str]:
        """The keys by which a command line chooses trainings."""
        return [VARIANT, SEED, *self.table.rates]

    @cached_property
    def shared(self) -> list[str]:
        """The overrides that choose nothing."""
        return [text for text in self.given if text.partition("=")[0].lstrip("+") not in self.keys]

    def chosen(self, several: bool) -> list[Cell]:
        """The trainings that the command line names. Raises ConfigError where it names none, or too many."""
        variants = self._variants(several)
        asked = [cell for name in variants for cell in self._cells_of(name, several)]
        if not several and len(asked) > 1:
            raise ConfigError([f"experiment={self.name}: these overrides name {len(asked)} trainings; -m runs several"])
        return asked

    def _variants(self, several: bool) -> list[str]:
        runnable = [name for name, variant in self.table.variants.items() if variant.overrides is not None]
        picked = [str(value) for value in values_of(self.given, VARIANT)]
        if not picked and not several:
            raise ConfigError(
                [f"experiment={self.name} is a table: name a row, variant={'|'.join(runnable)}, or run all with -m"]
            )
        for name in picked:
            if name not in self.table.variants:
                hint = did_you_mean(name, runnable)
                raise ConfigError([f"variant={name}: {self.name} has no such row.{hint} Valid: {', '.join(runnable)}"])
            if name not in runnable:
                raise ConfigError([f"variant={name} cannot be run: {self.table.variants[name].why}"])
        return picked or runnable

    def _cells_of(self, variant: str, several: bool) -> list[Cell]:
        """The variant's trainings with the chosen seeds and rates; a seed beyond the table's is no error."""
        seeds = values_of(self.given, SEED)
        again = self.table.aa_seeds if variant == self.table.baseline else []
        known = [*self.table.seeds, *again]
        mine = [int(seed) for seed in seeds] or known[: None if several else 1]
        if seeds and several:  # of a whole table only the baseline has the A/A seeds
            mine = [seed for seed in mine if seed in known or seed not in self.table.aa_seeds]
        points = self.table.points()
        rates = [{key: value} for key in self.table.rates for value in values_of(self.given, key)]
        return [Cell(variant, seed, rate) for seed in mine for rate in rates or points[: None if several else 1]]

    def overrides(self, cell: Cell) -> Overrides:
        """The command line of one training: the row's own overrides first, so that the user's win."""
        row = self.table.variants[cell.variant].overrides or []
        label = [] if values_of(self.given, "name") else [f"name='{self.name} {cell.variant}'"]
        rate = [f"{key}={value}" for key, value in cell.rate.items()]
        return fitted(parse([*row, *label, *self.shared, f"{VARIANT}={cell.variant}", f"{SEED}={cell.seed}", *rate]))

    def configs(self) -> Iterator[tuple[Cell, dict[str, Any]]]:
        """Every training of the table with its validated config. Composed once per row, since Hydra is slow."""
        composed: dict[str, dict[str, Any]] = {}
        for cell in self.table.cells():
            if cell.variant not in composed:
                composed[cell.variant] = compose(self.overrides(cell))
            config = copy.deepcopy(composed[cell.variant])
            for key, value in {SEED: cell.seed, **cell.rate}.items():
                _set(config, key, value)
            yield cell, validate(config)

    def record(self, config: Mapping[str, Any]) -> Path:
        """Write the manifest beside the runs, or leave the one that has this run's config and the same table."""
        folder = Path(config["paths"]["runs"], FOLDER)
        mine, table = signature(config), self.table.model_dump()
        for path in sorted(folder.glob(f"{self.name}-*.json")):
            known = json.loads(path.read_text(encoding="utf-8"))
            if known["table"] == table and mine in (cell["signature"] for cell in known["cells"]):
                return path
        manifest = self.manifest()
        path = folder / f"{self.name}-{manifest['study'][:8]}.json"
        write_atomically(path, json.dumps(manifest, indent=1) + "\n")
        return path

    def manifest(self) -> dict[str, Any]:
        """What analysis needs to know: the table, and which signature each of its trainings has."""
        rows = [
            {"variant": cell.variant, "seed": cell.seed, "rate": cell.rate, "signature": signature(config)}
            for cell, config in self.configs()
        ]
        baseline = next(row for row in rows if row["variant"] == self.table.baseline)
        scale = values_of(self.given, "scale")
        return {
            "experiment": self.name,
            "scale": str(scale[-1]) if scale else None,
            "study": baseline["signature"],
            "overrides": [text for text in self.shared if not text.startswith(("experiment=", "scale="))],
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "table": self.table.model_dump(),
            "cells": rows,
        }


def _set(config: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        config = config[parent]
    config[last] = value
