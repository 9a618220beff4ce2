"""Ablation tables as command lines: which trainings fill one, and the manifest by which analysis finds them.

`experiment=NAME` may name a file with a `table` (`lic_exp.tables`). Then `variant=`, `seed=` and the table's rate key
choose among its trainings, and everything else on the command line holds for all of them. Two command lines make the
same study if they give the baseline the same signature.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from lic_exp.atomic import write_atomically
from lic_exp.launching.compose import Request, compose_request
from lic_exp.launching.composer import Composer
from lic_exp.launching.errors import ConfigError, did_you_mean
from lic_exp.launching.identity import signature
from lic_exp.launching.overrides import Overrides, cells, is_sweep, parse, parse_each, parsed, quoted, values_of
from lic_exp.launching.sweeps.spec import SEED, Spec, label, parse_spec, points
from lic_exp.launching.validation import validate
from lic_exp.tables import FOLDER, Cell, Table, TableError, parse_table

VARIANT = "variant"


@dataclass(frozen=True)
class Training:
    """One run that a command line asks for.

    role: the values that tell it from the others asked for. study, cell: its place in a table, if it is of one.
    after, group, first: as in `lic_exp.launching.sweeps.spec.Point`.
    """

    overrides: Overrides
    role: Mapping[str, Any] = field(default_factory=dict)
    study: "Study | None" = None
    cell: Cell | None = None
    after: int | None = None
    group: str | None = None
    first: bool = False

    def __str__(self) -> str:
        if self.cell is None:
            return label(self.role)
        rate = {SEED: self.cell.seed, **self.cell.rate}
        return ", ".join([self.cell.variant, label(rate)])


def trainings(given: Sequence[str], *, several: bool, request: Request | None = None) -> list[Training]:
    """The runs that the overrides `given` describe, in order. Raises ConfigError.

    several: whether more than one was asked for (`-m`). With it the name of a table or sweep alone stands for all its
    trainings; without it a table's variant must be named, and seed and rate are the table's first unless they are.
    request: what `requested(given)` has found already.
    """
    parse(given)
    experiment = _experiment(given)
    request = request or (requested(given) if experiment else None)
    if request and experiment and request.table is not None:
        return _of_table(given, experiment, request.table, several)
    if picked := values_of(given, VARIANT):
        raise ConfigError([f"variant={picked[0]}: only an experiment with a table has variants; name one, alone"])
    if request and experiment and request.sweep is not None:
        if not several:
            raise ConfigError([f"experiment={experiment} is a sweep: run it with -m"])
        return _of_sweep(given, parse_spec(request.sweep, f"experiment={experiment}"))
    return [Training(overrides, role) for overrides, role in cells(given, several=several)]


def requested(given: Sequence[str]) -> Request:
    """What the overrides with one value say beside the config. Raises ConfigError."""
    return compose_request(parse([text for text in given if not is_sweep(text)]))


def _experiment(given: Sequence[str]) -> str | None:
    named = values_of(given, "experiment")
    return str(named[0]) if len(named) == 1 and named[0] is not None else None


def _of_table(given: Sequence[str], experiment: str, node: Mapping[str, Any], several: bool) -> list[Training]:
    try:
        study = Study(experiment, parse_table(node, f"experiment={experiment}"), tuple(given))
    except TableError as error:
        raise ConfigError([str(error)]) from error
    if swept := [text for text in study.shared if is_sweep(text)]:
        keys = ", ".join(study.keys)
        raise ConfigError(f"{text}: with a table only {keys} may have several values" for text in swept)
    chosen = study.chosen(several)
    lines = parse_each([study.line(cell) for cell in chosen])
    return [
        Training(line, {VARIANT: cell.variant, SEED: cell.seed, **cell.rate}, study, cell)
        for line, cell in zip(lines, chosen, strict=True)
    ]


def _of_sweep(given: Sequence[str], spec: Spec) -> list[Training]:
    """The cells of an experiment's `sweep`, under what the command line says."""
    chooses = [text for text in given if is_sweep(text) or parsed(text).key_or_group in spec.keys]
    shared = [text for text in given if text not in chooses]
    chosen = {key: values_of(chooses, key) for key in dict.fromkeys(parsed(text).key_or_group for text in chooses)}
    found = points(spec, chosen)
    lines = parse_each(
        [[*shared, *(f"{key}={quoted(value)}" for key, value in point.values.items())] for point in found]
    )
    return [
        Training(line, point.values, after=point.after, group=point.group, first=point.first)
        for line, point in zip(lines, found, strict=True)
    ]


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
        rates = (key for name in self.table.variants for key in self.table.rates_of(name))
        return list(dict.fromkeys([VARIANT, SEED, *rates]))

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
        points = self.table.points(variant)
        rates = [{key: value} for key in self.table.rates_of(variant) for value in values_of(self.given, key)]
        return [Cell(variant, seed, rate) for seed in mine for rate in rates or points[: None if several else 1]]

    def line(self, cell: Cell) -> list[str]:
        """The command line of one training: the row's own overrides first, so that the user's win."""
        row = self.table.variants[cell.variant].overrides or []
        title = [] if values_of(self.given, "name") else [f"name={quoted(f'{self.name} {cell.variant}')}"]
        rate = [f"{key}={value}" for key, value in cell.rate.items()]
        return [*row, *title, *self.shared, f"{VARIANT}={cell.variant}", f"{SEED}={cell.seed}", *rate]

    def configs(self) -> Iterator[tuple[Cell, dict[str, Any]]]:
        """Every training of the table with its validated config."""
        composer, every = Composer(), list(self.table.cells())
        for cell, overrides in zip(every, parse_each([self.line(cell) for cell in every]), strict=True):
            yield cell, validate(composer(overrides))

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
