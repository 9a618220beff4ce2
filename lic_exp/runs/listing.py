"""What can be said of each run at a glance, fast enough for a thousand of them. Imports no torch."""

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lic_exp.records import SCHEMA_VERSION, RecordError, read_file
from lic_exp.runs.code_hash import MadeBy, code_state
from lic_exp.runs.run import Run, run_folders, shown_state, unread_state
from lic_exp.runs.staleness import has_begun
from lic_exp.tracking.logged import logged
from lic_exp.tracking.numerics import changes_text
from lic_exp.tracking.run_folder import RunFolder
from lic_exp.yaml_files import MOST_BYTES

# A frozen config is written in block style, a group's `_target_` first: reading all of it would take ten times as long.
CHOICE = re.compile(r"^(\w+):\n  _target_: (\S+)$", re.MULTILINE)
PARENT = re.compile(r"^parent: '?([0-9a-f]+)'?$", re.MULTILINE)
PARENT_STEP = re.compile(r"^parent_step: (\d+)$", re.MULTILINE)
KEPT = re.compile(r"^  keep_every_steps: (\d+)$", re.MULTILINE)
INIT_FROM = re.compile(r"^init_from: '?([0-9a-f]+)'?$", re.MULTILINE)


@dataclass(frozen=True)
class RunSummary:
    """One run. What is not known, or not there yet, is None.

    state: one of `lic_exp.runs.run.SHOWN_STATES`. best: lowest `val/rd_loss` so far. model, spectral_reg: class
    names. started: of the latest attempt [Unix s]. bytes: of all its files. schema_version: of its config. code:
    whether it was made by the code that there is now; None where nothing was made yet. elsewhere: what is to be
    said of a training that was not made by one numerics record from first step to last, else "". keep_every_steps: of
    its step checkpoints those that are to stay. parent_step: after which step of its parent it begins, None: the last.
    """

    signature: str
    name: str | None
    state: str
    step: int | None
    max_steps: int | None
    best: float | None
    model: str | None
    spectral_reg: str | None
    started: float | None
    attempts: int
    bytes: int
    reason: str
    parent: str | None
    folder: str
    schema_version: int | None
    code: MadeBy | None
    elsewhere: str = ""
    keep_every_steps: int | None = None
    parent_step: int | None = None


def summaries(runs: str | Path) -> list[RunSummary]:
    """All runs in a folder, the latest started last. Raises ConfigError where there is no such folder."""
    return sorted((summarise(folder) for folder in run_folders(runs)), key=lambda run: run.started or 0.0)


def summarise(folder: Path) -> RunSummary:
    """One run; what is wrong with its status.json is its reason."""
    run, reason = Run(folder), ""
    status: dict[str, Any] = {}
    try:
        status = run.files.status()
        state = shown_state(status, run.files.status_file)
    except RecordError as error:
        state, reason = unread_state(error), str(error)
    step, best = progress(run.files, status, state)
    config = _text_of(run.files.config)
    choices = dict(CHOICE.findall(config))
    parent = PARENT.search(config)
    return RunSummary(
        signature=run.signature,
        name=status.get("name"),
        state=state,
        step=step,
        max_steps=status.get("max_steps"),
        best=best,
        model=_label(choices.get("model")),
        spectral_reg=_label(choices.get("spectral_reg")),
        started=status.get("started"),
        attempts=status.get("attempt", 0),
        bytes=bytes_in(folder),
        reason=reason or _first_line(status.get("reason")) or _age(status),
        parent=status.get("parent") or (parent[1] if parent else None),
        folder=str(folder),
        schema_version=status.get("schema_version"),
        code=code_state(status) if has_begun(status) else None,
        elsewhere=changes_text(status),
        keep_every_steps=int(kept[1]) if (kept := KEPT.search(config)) else None,
        parent_step=int(begun[1]) if (begun := PARENT_STEP.search(config)) else None,
    )


def _age(status: Mapping[str, Any]) -> str:
    """What to know of a run that an earlier version of the package has made."""
    schema = status.get("schema_version", SCHEMA_VERSION)
    return "" if schema == SCHEMA_VERSION else f"schema {schema}: no command finds it as done any more"


def _text_of(path: Path) -> str:
    """Empty where it cannot be read: the run may be removed just now."""
    try:
        return read_file(path, MOST_BYTES).decode(errors="replace")
    except (OSError, RecordError):
        return ""


def children(run: Run) -> list[tuple[RunSummary, str]]:
    """The runs beside this one that go on from it, each with what it does: extends it, or starts from its weights."""
    found = []
    for other in summaries(run.folder.parent):
        begun = INIT_FROM.search(_text_of(Path(other.folder, run.files.config.name)))
        if other.parent == run.signature:
            found.append((other, "extends"))
        elif begun is not None and begun[1] == run.signature:
            found.append((other, "starts from the weights of"))
    return found


def bytes_in(path: str | Path) -> int:
    """Size of a file, or of all files in a folder; what vanishes meanwhile counts nothing."""
    try:
        if not os.path.isdir(path) or os.path.islink(path):
            return os.lstat(path).st_size
        with os.scandir(path) as entries:
            return sum(
                bytes_in(entry.path)
                if entry.is_dir(follow_symlinks=False)
                else entry.stat(follow_symlinks=False).st_size
                for entry in entries
            )
    except FileNotFoundError:
        return 0


def _label(target: str | None) -> str | None:
    return None if target is None else "none" if target == "null" else target.rpartition(".")[-1]


def _first_line(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0]


def progress(run: RunFolder, status: Mapping[str, Any], state: str) -> tuple[int | None, float | None]:
    """Steps done and best `val/rd_loss`: status.json has them once an attempt has ended in an orderly way."""
    if state not in ("running", "dead"):
        best = status.get("best")
        # As infinity it was written before schema 2.
        return status.get("step"), best if best is None or math.isfinite(best) else None
    try:
        now = logged(run.metrics_file)
    except (OSError, RecordError):
        return None, None
    return now.step, now.best
