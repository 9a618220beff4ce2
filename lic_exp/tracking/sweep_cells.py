"""What the cells of a sweep came to, from its manifest and the run folders beside it: for stores. Imports no torch."""

import os
import signal
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from pydantic import with_config
from typing_extensions import TypedDict

from lic_exp import exit_codes
from lic_exp.labels import SEED, is_rate, labels, sizes_of_rates
from lic_exp.manifests import SweepCell, SweepRecord
from lic_exp.records import RECORD, Instant, RecordError, read_record
from lic_exp.tracking import names
from lic_exp.tracking.evaluated import Evaluated, named_file, own_evaluation
from lic_exp.tracking.run_folder import RunFolder, is_silent

WAITING = "waiting"
DEAD = "dead"

REFUSED = "refused"

FAILURES = ("failed", "diverged", DEAD, REFUSED)


STATES_OF_CODES: Mapping[int | None, str] = {
    exit_codes.CONFIG: REFUSED,
    **dict.fromkeys((exit_codes.PREEMPTED, exit_codes.INTERRUPTED, 128 + signal.SIGTERM), "preempted"),
}


@with_config(RECORD)
class CellEnd(TypedDict, total=False):
    """What the files beside a frozen config say of the end of a cell's process. exit_code: None where nobody saw it."""

    ended: Instant
    exit_code: int | None


@dataclass(frozen=True)
class CellResult:
    """One cell. state: of its run, "dead" where nobody runs it any more; where it has none yet "waiting", or how its
    process ended without: "refused", "failed", "preempted".

    step: of a run that does not run now. best: lowest `val/rd_loss`, of one that is done. may_stay_out: whether it is
    of a screened sweep, and begins only where its arm was good enough at the first rate.
    """

    signature: str
    label: str
    role: Mapping[str, Any]
    state: str
    step: int | None = None
    best: float | None = None
    finished: float | None = None
    evaluated: Evaluated = field(default_factory=Evaluated)
    may_stay_out: bool = False


def cell_results(runs: Path, record: SweepRecord, sweep: Path) -> list[CellResult]:
    """All cells, in the manifest's order. runs: the folder of runs. sweep: the sweep's own."""
    return [_result(RunFolder(runs / cell["signature"]), cell, sweep) for cell in record["cells"]]


def counts_text(cells: Sequence[CellResult]) -> str:
    """How many are in which state: 4 done, 1 running."""
    return ", ".join(f"{number} {state}" for state, number in Counter(cell.state for cell in cells).most_common())


def image_sets(cells: Sequence[CellResult]) -> set[str]:
    """Fingerprints of the images that cells were evaluated on, "" of unknown ones."""
    return {str(cell.evaluated.images.get("fingerprint") or "") for cell in cells if cell.evaluated.points}


def curves(cells: Sequence[CellResult]) -> dict[str, list[tuple[float, float]]]:
    """{arm: its (bpp, psnr [dB]) by rate}, means over seeds of those that were evaluated, in the order of the cells.

    An arm is what its cells have in common beside seed, rate, and sizes of the model that go with the rate. It is
    called by what tells it from other arms.
    """
    arms: dict[str, dict[str, list[tuple[float, float]]]] = {}
    roles: dict[str, dict[str, Any]] = {}
    sizes = sizes_of_rates([cell.role for cell in cells])
    for cell in cells:
        role = {k: value for k, value in cell.role.items() if k != SEED and k not in sizes and not is_rate(k)}
        rates = sorted((key, repr(value)) for key, value in cell.role.items() if is_rate(key))
        arm = repr(sorted((key, repr(value)) for key, value in role.items()))
        roles.setdefault(arm, role)
        for quality, means in cell.evaluated.points:
            if names.EVAL_BPP in means and names.EVAL_PSNR in means:
                points = arms.setdefault(arm, {}).setdefault(repr((rates, quality)), [])
                points.append((means[names.EVAL_BPP], means[names.EVAL_PSNR]))
    called = dict(zip(roles, labels(roles.values()), strict=True))
    return {
        called[arm]: sorted(
            (fmean(bpp for bpp, _ in same), fmean(psnr for _, psnr in same)) for same in points.values()
        )
        for arm, points in arms.items()
    }


_known: dict[tuple[Path, str | None], tuple[object, CellResult]] = {}
"""Of runs that are done, what their files said, and which files those were: they are asked for time and again."""


def _result(run: RunFolder, cell: SweepCell, sweep: Path) -> CellResult:
    wanted = cell.get("evaluation")
    evaluations = [_written(named_file(run, name)) for name in (None, wanted)]
    files = (_written(run.status_file), evaluations, cell)
    known = _known.get((run.root, wanted))
    if known and known[0] == files:
        return known[1]
    status = run.status_if_whole()
    state = str(status.get("state") or _ended(sweep / "cells" / cell["signature"]))
    if state == "running" and is_silent(status, run.status_file):
        state = DEAD
    found = CellResult(
        cell["signature"],
        cell["label"],
        cell.get("role", {}),
        state,
        None if state == "running" else status.get("step"),
        status.get("best") if state == "done" else None,
        status.get("finished"),
        own_evaluation(run, wanted),
        cell.get("group") is not None and not cell.get("first", False),
    )
    if state == "done":
        _known[run.root, wanted] = (files, found)
    return found


def _ended(cell: Path) -> str:
    """The state of a cell without a run: how its process ended, or that none has. cell: its files, without an ending.

    Of its end tell the pool that saw it (`.attempt`), and the process itself (`.exit`).
    """
    for suffix in (".attempt", ".exit"):
        with suppress(OSError, RecordError):  # of a damaged one the sweep's own commands tell
            found = read_record(cell.with_name(f"{cell.name}{suffix}"), CellEnd)
            code = found.get("exit_code")
            if "exit_code" in found and code != exit_codes.DONE and (suffix == ".exit" or "ended" in found):
                return STATES_OF_CODES.get(code, "failed")
    return WAITING


def _written(file: Path) -> tuple[int, int, int] | None:
    """Which file that is, and when it was written; None where there is none."""
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
