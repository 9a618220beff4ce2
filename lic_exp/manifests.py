"""What sweeps and tables of trainings leave beside the run folders: read by commands and by `analysis`. No torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NotRequired, Required

from pydantic import with_config
from typing_extensions import TypedDict

from lic_exp.records import RECORD, Count, FileName, RecordError, read_record


@with_config(RECORD)
class SweepCell(TypedDict, total=False):
    """A cell of a sweep; `lic_exp.sweeps.folder.Cell` says what the keys mean."""

    signature: Required[FileName]
    label: Required[str]
    role: dict[str, Any]
    parent: str | None
    group: str | None
    first: bool
    keep: Count
    evaluation: str | None


@with_config(RECORD)
class Trial(TypedDict, total=False):
    """One proposal of a search. signature: None of one that was refused, for what `refused` says."""

    values: Required[dict[str, Any]]
    signature: Required[FileName | None]
    refused: str


@with_config(RECORD)
class CommittedCells(TypedDict):
    """Cells of a sweep that are done in a results folder, and were not trained for it."""

    folder: str
    cells: list[FileName]


@with_config(RECORD)
class SweepRecord(TypedDict, total=False):
    """manifest.json of a sweep. given: the overrides of the command that made it, as they were typed."""

    cells: Required[list[SweepCell]]
    given: list[str]
    experiment: str | None
    table: dict[str, Any] | None
    made: str
    folder: str
    path: list[str]
    plugins: list[str]
    code: str | None
    snapshot: str | None
    launched_by: str | None
    launcher: dict[str, Any] | None
    trials: list[Trial]
    committed: CommittedCells | None


@with_config(RECORD)
class TableTraining(TypedDict, total=False):
    """A training of a table. evaluation: None in manifests from before evaluations had names."""

    variant: Required[str]
    seed: Required[Count]
    rate: Required[dict[str, Any]]
    signature: Required[FileName]
    evaluation: str | None


@with_config(RECORD)
class TableRecord(TypedDict):
    """A table's manifest in `.tables`. only_some: the overrides that not all of its rows take."""

    experiment: str
    scale: str | None
    study: str
    overrides: list[str]
    only_some: NotRequired[list[str]]
    made: str
    table: dict[str, Any]
    cells: list[TableTraining]


def read_sweep(path: Path) -> SweepRecord:
    """A sweep's manifest. Raises FileNotFoundError; RecordError also where its cells wait for what is not there."""
    record = read_record(path, SweepRecord)
    parents = {cell["signature"]: cell.get("parent") for cell in record["cells"]}
    for signature in parents:
        _check_parents(path, signature, parents)
    for trial in record.get("trials", ()):
        if trial["signature"] is not None and trial["signature"] not in parents:
            raise RecordError(path, f"trial {trial['signature']} is no cell of it")
    return record


def _check_parents(path: Path, signature: str, parents: Mapping[str, str | None]) -> None:
    chain = [signature]
    while (parent := parents[chain[-1]]) is not None:
        if parent not in parents:
            raise RecordError(path, f"cell {chain[-1]} starts from {parent}, which is no cell of it")
        if len(chain) > len(parents):
            raise RecordError(path, f"cell {signature} waits for itself")
        chain.append(parent)


def read_table_record(path: Path) -> TableRecord:
    """A table's manifest. Raises FileNotFoundError, and RecordError."""
    return read_record(path, TableRecord)
