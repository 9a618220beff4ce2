"""Ablation tables as command lines: which trainings fill one, and the manifest by which analysis finds them.

`experiment=NAME` may name a file with a `table` (`lic_exp.ablation_spec`). Then `variant=`, `seed=` and the table's
rate key choose among its trainings, and everything else on the command line holds for all of them that have such an
option. Two command lines make the same study if they give the baseline the same signature, and the options that only
some rows have the same values.
"""

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from lic_exp.ablation_spec import FOLDER, Table, TableCell
from lic_exp.atomic import write_atomically
from lic_exp.config.compose import compose
from lic_exp.config.composer import Composer
from lic_exp.config.errors import ConfigError, did_you_mean
from lic_exp.config.only_some import OnlySome, without
from lic_exp.config.overrides import Overrides, parse, parse_each, parsed, quoted, values_of
from lic_exp.config.schema import RunConfig
from lic_exp.config.signing import wanted_evaluation
from lic_exp.config.validation import validate
from lic_exp.json_text import json_text
from lic_exp.labels import SEED, VARIANT
from lic_exp.manifests import TableRecord, read_table_record
from lic_exp.records import NewerError, RecordError
from lic_exp.runs.lock import writable
from lic_exp.saying import say


@dataclass(frozen=True)
class AblationStudy:
    """A table under the overrides that all of its trainings share.

    table: as it is at the scale. given: the command line, which may choose among the trainings.
    """

    name: str
    table: Table
    given: tuple[str, ...]
    scale: str | None

    @property
    def keys(self) -> list[str]:
        """The keys by which a command line chooses trainings."""
        rates = (key for name in self.table.variants for key in self.table.rates_of(name))
        return list(dict.fromkeys([VARIANT, SEED, *rates]))

    @cached_property
    def shared(self) -> list[str]:
        """The overrides that choose nothing."""
        return [text for text in self.given if text.partition("=")[0].lstrip("+") not in self.keys]

    def chosen(self, several: bool) -> list[TableCell]:
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

    def _cells_of(self, variant: str, several: bool) -> list[TableCell]:
        """The variant's trainings with the chosen seeds and rates; a seed beyond the table's is no error."""
        seeds = values_of(self.given, SEED)
        again = self.table.aa_seeds if variant == self.table.baseline else []
        known = [*self.table.seeds, *again]
        mine = [int(seed) for seed in seeds] or known[: None if several else 1]
        if seeds and several:  # of a whole table only the baseline has the A/A seeds
            mine = [seed for seed in mine if seed in known or seed not in self.table.aa_seeds]
        points = self.table.points(variant)
        rates = [{key: value} for key in self.table.rates_of(variant) for value in values_of(self.given, key)]
        return [TableCell(variant, seed, rate) for seed in mine for rate in rates or points[: None if several else 1]]

    def line(self, cell: TableCell) -> list[str]:
        """The command line of one training: the row's own overrides first, so that the user's win."""
        row = self.table.variants[cell.variant].overrides or []
        title = [] if values_of(self.given, "name") else [f"name={quoted(f'{self.name} {cell.variant}')}"]
        rate = [f"{key}={value}" for key, value in cell.rate.items()]
        chosen = [f"{VARIANT}={cell.variant}", f"{SEED}={cell.seed}", *rate]
        return [*row, *title, *self.shared, *self._lengths[cell.variant], *chosen]

    @cached_property
    def _lengths(self) -> dict[str, list[str]]:
        """By variant the override of its length, where it is longer than the others."""
        found: dict[str, list[str]] = {name: [] for name in self.table.variants}
        for name, variant in self.table.variants.items():
            if variant.overrides is not None and variant.longer > 1:
                trainer = compose(parse([*variant.overrides, *self.shared]))["trainer"]
                key = "max_steps" if trainer["max_epochs"] is None else "max_epochs"
                if isinstance(trainer[key], int):
                    found[name] = [f"trainer.{key}={math.ceil(variant.longer * trainer[key])}"]
        return found

    def lines(self, asked: Sequence[TableCell], composer: Composer) -> list[tuple[Overrides, dict[str, str]]]:
        """The command line of each of these, without what it has no option for and another of them has; and that.

        What is so left out are overrides that all share: a row's own, and its rates, are for it to take.
        """
        lines = parse_each([self.line(cell) for cell in asked])
        some = OnlySome(lines, composer)
        shared = {parsed(text).key_or_group for text in self.shared}
        found = []
        for line in lines:
            left_out = {key: text for key, text in some.left_out(line).items() if key in shared}
            found.append((without(line, left_out) if left_out else line, left_out))
        return found

    @cached_property
    def _every(self) -> list[tuple[TableCell, Overrides, dict[str, str]]]:
        every = list(self.table.cells())
        return [(cell, *found) for cell, found in zip(every, self.lines(every, self._composer), strict=True)]

    @cached_property
    def _composer(self) -> Composer:
        return Composer()

    @cached_property
    def only_some(self) -> list[str]:
        """The overrides that not all rows take."""
        return sorted({text.lstrip("+") for _, _, left_out in self._every for text in left_out.values()})

    def configs(self) -> Iterator[tuple[TableCell, RunConfig]]:
        """Every training of the table with its validated config. Raises ConfigError, which names the row."""
        for cell, overrides, _ in self._every:
            try:
                config = validate(self._composer(overrides))
            except ConfigError as error:
                raise ConfigError(f"row {cell.variant}: {message}" for message in error.messages) from error
            yield cell, config

    def record(self, config: RunConfig) -> Path | None:
        """Write the manifest beside the runs, or leave the one that has this run's config and the same table.

        Overrides that do not fit every row of the table make a run that is in none, which is said; None is returned.
        """
        folder = Path(config.paths.runs, FOLDER)
        mine, table = (config.signature, wanted_evaluation(config)), self.table.model_dump()
        for path in sorted(folder.glob(f"{self.name}-*.json")):
            try:
                known = read_table_record(path)
            except NewerError as error:
                raise ConfigError([str(error)]) from error
            except (FileNotFoundError, RecordError) as error:
                say(f"{error}; a launch of its own command makes it anew")
                continue
            cells = ((cell["signature"], cell.get("evaluation")) for cell in known["cells"])
            if known["table"] == table and mine in cells and self._is_of(known):
                return path
        try:
            manifest = self.manifest()
        except ConfigError as error:
            why = "are rows of no table, for not every row takes their overrides"
            say(f"{self.name}: these runs {why}; {error.messages[0]}")
            return None
        digits = [manifest["study"][:8], *([mine[1]] if mine[1] else [])]
        path = folder / f"{self.name}-{'-'.join(digits)}.json"
        with writable(folder):
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(path, json_text(manifest, indent=1) + "\n")
        return path

    def _is_of(self, known: TableRecord) -> bool:
        """Whether a manifest that has a run of this study is this study's. Of other runs it may have others."""
        return known["overrides"] == self._stated or known.get("only_some", []) == self.only_some

    @property
    def _stated(self) -> list[str]:
        return [text for text in self.shared if not text.startswith(("experiment=", "scale="))]

    def manifest(self) -> dict[str, Any]:
        """What analysis needs to know: the table, and which run and which evaluation each of its trainings has."""
        rows = [
            {
                "variant": cell.variant,
                "seed": cell.seed,
                "rate": cell.rate,
                "signature": config.signature,
                "evaluation": wanted_evaluation(config),
            }
            for cell, config in self.configs()
        ]
        baseline = next(str(row["signature"]) for row in rows if row["variant"] == self.table.baseline)
        told = json_text([baseline, *self.only_some]).encode()
        return {
            "experiment": self.name,
            "scale": self.scale,
            "study": hashlib.sha256(told).hexdigest()[: len(baseline)] if self.only_some else baseline,
            "overrides": self._stated,
            **({"only_some": self.only_some} if self.only_some else {}),
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "table": self.table.model_dump(),
            "cells": rows,
        }
