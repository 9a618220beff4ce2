"""`gc`: find what nobody needs any more, and delete it."""

import argparse
import re
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from lic_exp.launching.verbs import add_runs, add_yes, confirmed, size_text

if TYPE_CHECKING:
    from lic_exp.launching.listing import RunSummary
    from lic_exp.launching.verbs import Verbs

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


def add_parser(verbs: "Verbs") -> None:
    parser = verbs.add_parser(
        "gc",
        help="delete what nobody needs: old step checkpoints, left-overs, runs without a checkpoint",
        description="Find and delete: step checkpoints of finished runs but for the last one, left-over temporary "
        "files, runs that ended before their first checkpoint, locks of finished runs. best.pt always stays.",
    )
    add_runs(parser)
    parser.add_argument(
        "--keep-last",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="keep a finished run's last step checkpoint, which extending it needs (default)",
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would go")
    add_yes(parser)
    parser.set_defaults(verb=_gc)


def _gc(options: argparse.Namespace) -> int:
    found = sorted(litter(options.runs, keep_last=options.keep_last), key=lambda item: (item.kind, str(item.path)))
    if not found:
        print(f"nothing to remove in {options.runs}")
        return 0
    _print(found)
    total = size_text(sum(item.bytes for item in found))
    if options.dry_run or not confirmed(f"remove {total}?", yes=options.yes):
        print(f"nothing was removed; {total} could go")
        return 0
    print(f"removed {size_text(sum(_remove(found)))}")
    return 0


def litter(runs: str | Path, *, keep_last: bool) -> Iterator[Litter]:
    """What can go from a folder of runs. Raises ConfigError where there is no such folder."""
    from lic_exp.launching.listing import bytes_in, summaries

    found = summaries(runs)
    needed = {run.parent for run in found if run.state != "done"}
    for run in found:
        if run.state != "running":
            yield from _of_run(run, keep_last=keep_last or run.signature in needed)
    for path in sorted(Path(runs).glob(".*.tmp")):
        if _old(path):
            yield Litter(TEMPORARY, path, bytes_in(path), None)
    for path in sorted(Path(runs).glob(".*.removed")):
        yield Litter(REMOVED, path, bytes_in(path), None)
    for path in sorted(Path(runs).iterdir()):
        # A process that was killed before it wrote its config.
        if re.fullmatch(r"[0-9a-f]{16}", path.name) and not (path / "config.yaml").exists() and _old(path):
            yield Litter(FAILED, path, bytes_in(path), path)


def _of_run(run: "RunSummary", *, keep_last: bool) -> Iterator[Litter]:
    from lic_exp.launching.listing import bytes_in

    folder = Path(run.folder)
    checkpoints = sorted((folder / "checkpoints").glob("step_*.pt"))
    best = folder / "checkpoints" / "best.pt"
    if run.state in ("failed", "diverged", "dead") and not checkpoints and not best.exists():
        yield Litter(FAILED, folder, run.bytes, folder)
        return
    for path in folder.rglob(".*.tmp"):
        yield Litter(TEMPORARY, path, bytes_in(path), folder)
    if run.state == "done":
        for path in checkpoints[:-1] if keep_last or not best.exists() else checkpoints:
            yield Litter(CHECKPOINTS, path, bytes_in(path), folder)
        if (folder / ".lock").exists():
            # Nobody waits for it: a finished run is never started again.
            yield Litter(LOCKS, folder / ".lock", bytes_in(folder / ".lock"), folder)


def _old(path: Path) -> bool:
    try:
        return time.time() - path.lstat().st_mtime > YOUNG_S
    except FileNotFoundError:
        return False


def _print(found: Sequence[Litter]) -> None:
    """One row per kind and run, and the total."""
    from rich.table import Table
    from rich.text import Text

    from lic_exp.launching.summary import console_for

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_footer=True)
    table.add_column("what", "total")
    table.add_column("where", overflow="fold")
    table.add_column("files", str(len(found)), justify="right")
    table.add_column("size", size_text(sum(item.bytes for item in found)), justify="right", no_wrap=True)
    for (kind, where), group in groupby(found, key=_row):
        items = list(group)
        place = where or ("1 run" if len(items) == 1 else f"{len(items)} runs")
        table.add_row(kind, Text(place), str(len(items)), size_text(sum(item.bytes for item in items)))
    console_for(sys.stdout).print(table, highlight=False)


def _row(item: Litter) -> tuple[str, str]:
    """What shares a row; locks are empty files of which there is one per run."""
    return item.kind, "" if item.kind == LOCKS else str(item.run or item.path)


def _remove(found: Sequence[Litter]) -> Iterator[int]:
    """Delete, run by run under its lock; the bytes freed. What is in use by now stays, and is named."""
    import shutil

    from lic_exp.launching.lock import RunBusyError, run_lock
    from lic_exp.launching.run import Run
    from lic_exp.launching.verbs_rm import remove_run
    from lic_exp.tracking.run_folder import RunFolder

    for run, group in groupby(sorted(found, key=lambda item: str(item.run or "")), key=lambda item: item.run):
        items = list(group)
        try:
            if run is None:
                for item in items:
                    shutil.rmtree(item.path) if item.path.is_dir() else item.path.unlink(missing_ok=True)
            elif items[0].kind == FAILED:
                remove_run(run)
            else:
                with run_lock(RunFolder(run)):
                    for item in items:
                        item.path.unlink(missing_ok=True)
                    if Run(run).state == "done":
                        (run / ".lock").unlink(missing_ok=True)
        except RunBusyError as error:
            print(f"left alone: {error}", file=sys.stderr)
            continue
        yield sum(item.bytes for item in items)
