"""A sweep on disk: `runs/.sweeps/<name>-<digits>/`, from which everything about it can be told.

manifest.json             the cells: labels, roles, signatures, what each waits for
cells/<signature>.json    a cell's frozen config: all that a launcher gets
cells/<signature>.log     what its processes said, one attempt after another
cells/<signature>.attempt the latest process: pid, host, when it began, how it ended and why
cells/<signature>.job     the job that was submitted for it last, where its launcher has a queue
cells/<signature>.exit    what that process itself wrote of its end, for a pool that did not see it
cells/<signature>.cancelled  it shall not start, until the sweep's command or `retry` says so
pool.json                 the pool that runs it, with its heartbeat; pool.log what it says when detached
"""

import hashlib
import os
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from lic_exp.ablation_spec import of_experiment
from lic_exp.atomic import write_atomically
from lic_exp.config.errors import ConfigError, did_you_mean
from lic_exp.fault_points import reached
from lic_exp.json_text import json_text
from lic_exp.manifests import read_sweep
from lic_exp.naming import AmbiguousNameError, unique_match
from lic_exp.records import NewerError, RecordError, read_record
from lic_exp.runs.run import Run
from lic_exp.saying import say
from lic_exp.sweeps.kinds import AttemptRecord, ExitRecord, JobRecord, PoolRecord
from lic_exp.text import blank_message, is_blank
from lic_exp.tracking.run_folder import SWEEPS, is_run_folder

FOLDER = SWEEPS

COPY = "code"
"""The folder in a sweep's that holds its copy of the code."""

CellRecord = Mapping[str, Any]
"""What one of these files holds of a process or a job."""


@dataclass(frozen=True)
class Cell:
    """A cell as the manifest has it.

    role: the values that tell it from the others. parent: the cell that it starts from, or extends. group, first: of
    a screened sweep, what is compared, and whether the cell is of the screening; keep: how many groups go on.
    evaluation: the name of the evaluation that it asks for; None: of none.
    """

    signature: str
    label: str
    role: Mapping[str, Any] = field(default_factory=dict)
    parent: str | None = None
    group: str | None = None
    first: bool = False
    keep: int = 0
    evaluation: str | None = None


class SweepFolder:
    """A sweep's folder, read on demand."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.runs = self.folder.parent.parent

    @property
    def name(self) -> str:
        return self.folder.name

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """Raises ConfigError where it cannot be read."""
        path = self.folder / "manifest.json"
        try:
            return dict(read_sweep(path))
        except NewerError as error:
            raise ConfigError([str(error)]) from error
        except (FileNotFoundError, RecordError) as error:
            said = str(error) if isinstance(error, RecordError) else f"{path} cannot be read: {error}"
            raise ConfigError([f"{said}; the sweep's command makes it anew"]) from error

    @property
    def copy(self) -> Path | None:
        """Where its own copy of the code belongs, which its cells run; None where they run the code that there is."""
        return self.folder / COPY if self.manifest.get("snapshot") else None

    @property
    def problem(self) -> str:
        """Why the manifest cannot be read, or nothing."""
        try:
            self.manifest  # noqa: B018 (read, and kept)
        except ConfigError as error:
            return error.messages[0]
        return ""

    @cached_property
    def cells(self) -> list[Cell]:
        fields = Cell.__dataclass_fields__
        return [Cell(**{key: value for key, value in one.items() if key in fields}) for one in self.manifest["cells"]]

    @cached_property
    def by_signature(self) -> dict[str, Cell]:
        return {cell.signature: cell for cell in self.cells}

    def run(self, cell: Cell) -> Run:
        """The cell's run: in the folder of runs, or else in the results folder where it is done."""
        own, committed = self.runs / cell.signature, self._committed.get(cell.signature)
        place = own if committed is None or is_run_folder(own) else committed
        return Run(place, evaluated_as=cell.evaluation)

    def is_committed(self, cell: Cell) -> bool:
        """Whether its run is one of a results folder, which nothing is written to."""
        return self.run(cell).folder == self._committed.get(cell.signature)

    @cached_property
    def _committed(self) -> dict[str, Path]:
        known = self.manifest.get("committed") or {"folder": "", "cells": []}
        return {name: Path(known["folder"], name) for name in known["cells"]}

    def _file(self, cell: Cell, kind: str) -> Path:
        return self.folder / "cells" / f"{cell.signature}.{kind}"

    def frozen(self, cell: Cell) -> Path:
        return self._file(cell, "json")

    def log(self, cell: Cell) -> Path:
        return self._file(cell, "log")

    def cancelled(self, cell: Cell) -> Path:
        return self._file(cell, "cancelled")

    def attempt(self, cell: Cell) -> dict[str, Any]:
        """The latest process of a cell, {} where there was none, or where its record is damaged."""
        record = _read(self._file(cell, "attempt"), AttemptRecord)
        return {"reason": ""} | record if "state" in record else record

    def damage(self, cell: Cell) -> str:
        """What is wrong with the records of a cell's process and job, or nothing."""
        for kind, shape in (("attempt", AttemptRecord), ("job", JobRecord)):
            try:
                read_record(self._file(cell, kind), shape)
            except FileNotFoundError:
                continue
            except RecordError as error:
                return str(error)
        return ""

    def exit_file(self, cell: Cell) -> Path:
        return self._file(cell, "exit")

    def exit_of(self, cell: Cell) -> dict[str, Any]:
        """What the latest process that ended by itself wrote of its end: pid, exit_code."""
        return _read(self.exit_file(cell), ExitRecord)

    def record_attempt(self, cell: Cell, record: CellRecord) -> None:
        write_atomically(self._file(cell, "attempt"), json_text(record, indent=1) + "\n")

    def job(self, cell: Cell) -> dict[str, Any]:
        """The job submitted last for a cell, {} where there was none: launcher, job (number), submitted [Unix s]."""
        record = _read(self._file(cell, "job"), JobRecord)
        return {"launcher": self.manifest.get("launched_by") or ""} | record if record else {}

    def record_job(self, cell: Cell, record: CellRecord) -> None:
        _replace(self._file(cell, "job"), json_text(record) + "\n")

    def forget_job(self, cell: Cell) -> None:
        self._file(cell, "job").unlink(missing_ok=True)

    @property
    def pool(self) -> dict[str, Any]:
        """The pool that runs it, or ran it last."""
        return _read(self.pool_file, PoolRecord)

    @property
    def pool_file(self) -> Path:
        return self.folder / "pool.json"

    def find(self, names: Iterable[str]) -> list[Cell]:
        """The cells of these signatures, beginnings of signatures, or labels; all for none. Raises ConfigError."""
        return [self._cell(name) for name in names] or self.cells

    def _cell(self, name: str) -> Cell:
        labelled = [cell for cell in self.cells if cell.label == name]
        if len(labelled) == 1:
            return labelled[0]
        try:
            found = unique_match(name, self.by_signature) if name else None
        except AmbiguousNameError as error:
            raise ConfigError([str(error)]) from error
        if found is not None:
            return self.by_signature[found]
        hint = did_you_mean(name, [cell.label for cell in self.cells])
        raise ConfigError([f"{self.name} has no cell {name!r}: give a signature or a label.{hint}"])


def sweep_name(title: str, signatures: Sequence[str]) -> str:
    """The same cells are the same sweep."""
    digits = hashlib.sha256("\n".join(sorted(signatures)).encode()).hexdigest()[:8]
    return f"{re.sub(r'[^A-Za-z0-9_.-]+', '_', title).strip('._')[:40] or 'sweep'}-{digits}"


def write_sweep(folder: Path, manifest: Mapping[str, Any], frozen: Mapping[str, Mapping[str, Any]]) -> SweepFolder:
    """Make the folder, or renew what is in it. frozen: {signature: what its cell file holds}.

    The cell itself checks that its file describes the run it is named after.
    """
    (folder / "cells").mkdir(parents=True, exist_ok=True)
    for signature, content in frozen.items():
        path, text = folder / "cells" / f"{signature}.json", json_text(content, indent=1, ensure_ascii=False) + "\n"
        if not path.exists() or path.read_text(encoding="utf-8", errors="replace") != text:
            _replace(path, text)
        reached("sweep.frozen")
    write_atomically(folder / "manifest.json", json_text(manifest, indent=1, ensure_ascii=False) + "\n")
    return SweepFolder(folder)


def _replace(path: Path, text: str) -> None:
    """As a whole, but not synced, which would take a thousand cells ten seconds."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")  # a job and its submitter may both write
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def sweeps(runs: str | Path) -> list[SweepFolder]:
    """All sweeps beside these runs, the latest made last; before them those whose manifest cannot be read."""
    if is_blank(runs):
        raise ConfigError([blank_message("the name of the folder of runs")])
    found = [SweepFolder(path.parent) for path in Path(runs, FOLDER).glob("*/manifest.json")]
    return sorted(found, key=lambda sweep: "" if sweep.problem else sweep.manifest.get("made", ""))


def find_sweep(name: str | None, runs: str = "runs") -> SweepFolder:
    """The sweep of this folder, name, or unique beginning of a name; of None the latest. Raises ConfigError."""
    if is_blank(name):
        raise ConfigError([blank_message("the name of a sweep", "None is the latest")])
    if name and (Path(name) / "manifest.json").is_file():
        return SweepFolder(Path(os.path.abspath(name)))
    known = sweeps(runs)
    if not known:
        raise ConfigError([f"there are no sweeps in {runs}: start one with python launch.py -m, or give --runs"])
    if name is None:
        for sweep in known[:-1]:
            if sweep.problem:
                say(f"passed over: {sweep.problem}")
        return known[-1]
    by_name = {sweep.name: sweep for sweep in known}
    try:
        found = unique_match(name, of_experiment(name, by_name))
    except AmbiguousNameError as error:
        raise ConfigError([str(error)]) from error
    if found is None:
        raise ConfigError([f"there is no sweep {name}. There are: {', '.join(by_name)}"])
    return by_name[found]


def kept_manifest(folder: Path) -> dict[str, Any]:
    """Of a sweep that is about to be written: what is there, {} where there is nothing, or what cannot be read.

    Raises ConfigError where a newer version of this package has written it.
    """
    try:
        return dict(read_sweep(folder / "manifest.json"))
    except FileNotFoundError:
        return {}
    except NewerError as error:
        raise ConfigError([str(error)]) from error
    except RecordError as error:
        say(f"{error}; it is made anew")
        return {}


def _read(path: Path, kind: type[Any]) -> dict[str, Any]:
    """A record, {} where there is none or a damaged one: whoever runs the cell next writes it anew."""
    try:
        return dict(read_record(path, kind))
    except (FileNotFoundError, RecordError):
        return {}
