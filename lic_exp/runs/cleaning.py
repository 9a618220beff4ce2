"""What of a folder of runs nobody needs any more: found, and deleted under the locks of its runs. Imports no torch."""

import re
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from lic_exp.atomic import file_system_time
from lic_exp.config.errors import ConfigError
from lic_exp.runs.listing import RunSummary, bytes_in, summaries, summarise
from lic_exp.runs.lock import RunBusyError, run_lock
from lic_exp.runs.removal import remove_run
from lic_exp.runs.run import Run
from lic_exp.surroundings import told_by_path
from lic_exp.tracking.run_folder import RunFolder, passing_checkpoints, step_checkpoints, step_of

CHECKPOINTS = "step checkpoints of a finished run"
TEMPORARY = "left-over temporary files"
FAILED = "run that ended before its first checkpoint"
LOCKS = "locks of finished runs"
REMOVED = "half-removed run"

YOUNG_S = 3600.0
"""What belongs to no run is left alone for so long: a process may be about to use it."""


@dataclass(frozen=True)
class Litter:
    """A file or folder that can go. run: the run folder it belongs to, whose lock is held while it goes."""

    kind: str
    path: Path
    bytes: int
    run: Path | None


def find_litter(runs: str | Path, *, keep_last: bool) -> list[Litter]:
    """What can go from a folder of runs, by kind and place. Raises ConfigError where there is no such folder.

    keep_last: whether a finished run keeps its last step checkpoint; those that unfinished children begin at stay
    anyway.
    """
    return sorted(_find(Path(runs), keep_last=keep_last), key=lambda item: (item.kind, str(item.path)))


def _find(runs: Path, *, keep_last: bool) -> Iterator[Litter]:
    known = summaries(runs)
    needed: dict[str, set[int | None]] = {}
    for run in known:
        if run.parent is not None and run.state != "done":
            needed.setdefault(run.parent, set()).add(run.parent_step)
    for run in known:
        if run.state not in ("running", "newer"):
            begun = needed.get(run.signature, set())
            yield from _of_run(run, keep_last=keep_last or None in begun, begun=begun)
    for path in sorted(runs.glob(".*.tmp")):
        if _old(path):
            yield Litter(TEMPORARY, path, bytes_in(path), None)
    for path in sorted(runs.glob(".*.removed")):
        yield Litter(REMOVED, path, bytes_in(path), None)
    for path in sorted(runs.iterdir()):
        if re.fullmatch(r"[0-9a-f]{16}", path.name) and _is_unbegun(path) and _old(path):
            yield Litter(FAILED, path, bytes_in(path), path)


def _of_run(run: RunSummary, *, keep_last: bool, begun: Collection[int | None] = ()) -> Iterator[Litter]:
    """begun: after which steps other runs begin that still have to."""
    folder = Path(run.folder)
    checkpoints = step_checkpoints(folder / "checkpoints")
    best = folder / "checkpoints" / "best.pt"
    if run.state in ("failed", "diverged", "dead") and not checkpoints and not best.exists():
        yield Litter(FAILED, folder, run.bytes, folder)
        return
    for path in folder.rglob(".*.tmp"):
        yield Litter(TEMPORARY, path, bytes_in(path), folder)
    if run.state == "done":
        for path in passing_checkpoints(checkpoints, run.keep_every_steps):
            is_kept_last = path == checkpoints[-1] and (keep_last or not best.exists())
            if is_kept_last or step_of(path) in begun:
                continue
            yield Litter(CHECKPOINTS, path, bytes_in(path), folder)
        if (folder / ".lock").exists():
            # Whoever evaluates it once more makes it anew.
            yield Litter(LOCKS, folder / ".lock", bytes_in(folder / ".lock"), folder)


def _is_unbegun(folder: Path) -> bool:
    """Left by a process that was killed before it wrote its config; a run that lost its own has checkpoints."""
    return not (folder / "config.yaml").exists() and not any((folder / "checkpoints").glob("*.pt"))


def _old(path: Path) -> bool:
    try:
        return file_system_time(path.parent) - path.lstat().st_mtime > YOUNG_S
    except FileNotFoundError:
        return False


def remove_litter(
    litter: Sequence[Litter], left_alone: Callable[[str], None], refused: Callable[[str], None] | None = None
) -> int:
    """Delete it, run by run, whatever becomes of the others. Returns the bytes freed.

    left_alone: is told of each run that is in use by now. refused: of each that cannot be written to; None: of these
    the first is raised, as ConfigError or OSError.
    """
    freed = 0
    for run, group in groupby(sorted(litter, key=lambda item: str(item.run or "")), key=lambda item: item.run):
        items = list(group)
        try:
            _remove(run, items)
        except RunBusyError as error:
            left_alone(str(error))
        except (ConfigError, OSError) as error:
            said = told_by_path(error) if isinstance(error, OSError) else str(error)
            if refused is None or not said:
                raise
            refused(said)
        else:
            freed += sum(item.bytes for item in items)
    return freed


def _remove(run: Path | None, items: Sequence[Litter]) -> None:
    """Delete what belongs to one run, or to none. Raises RunBusyError where the run is in use, or was meanwhile."""
    if run is None:
        for item in items:
            shutil.rmtree(item.path) if item.path.is_dir() else item.path.unlink(missing_ok=True)
    elif items[0].kind == FAILED:
        remove_run(run, lambda: _is_unbegun(run) or FAILED in {item.kind for item in _now(run)})
    else:
        with run_lock(RunFolder(run)):
            litter = {item.path for item in _now(run)}
            for item in items:
                if item.path in litter:
                    item.path.unlink(missing_ok=True)
            if Run(run).state == "done":
                (run / ".lock").unlink(missing_ok=True)


def _now(run: Path) -> list[Litter]:
    """What can go of a run whose lock is held: another process may have begun it anew since it was looked at."""
    return list(_of_run(summarise(run), keep_last=False))
