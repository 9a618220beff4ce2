"""`rm`: delete runs."""

import argparse
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from lic_exp.launching.errors import ConfigError
from lic_exp.launching.verbs import add_runs, add_yes, confirmed, size_text

if TYPE_CHECKING:
    from lic_exp.launching.run import Run
    from lic_exp.launching.verbs import Verbs


def add_parser(verbs: "Verbs") -> None:
    parser = verbs.add_parser(
        "rm",
        help="delete runs",
        description="Delete run folders. A run that is being trained is refused. What a tracker stored stays there.",
    )
    parser.add_argument("run", metavar="RUN", nargs="+", help="run folder, signature, or the beginning of one")
    add_runs(parser)
    add_yes(parser)
    parser.set_defaults(verb=_rm)


def _rm(options: argparse.Namespace) -> int:
    from lic_exp.launching.listing import bytes_in, children
    from lic_exp.launching.run import find_run

    runs = list({run.folder: run for run in (find_run(name, options.runs) for name in options.run)}.values())
    for run in runs:
        check_removable(run)
    sizes = {run.signature: bytes_in(run.folder) for run in runs}
    leaving = {run.signature for run in runs}
    for run in runs:
        for child in children(run):
            if child.signature not in leaving:
                print(f"warning: run {child.signature} ({child.state}) extends {run.signature}; {_loss(child.state)}")
    for run in runs:
        print(f"{run.folder}  {run.state}  {size_text(sizes[run.signature])}")
    if not confirmed(f"remove {_count(len(runs))}, {size_text(sum(sizes.values()))}?", yes=options.yes):
        print("nothing was removed")
        return 0
    for run in runs:
        remove_run(run.folder)
        print(f"removed {run.folder}")
    return 0


def _loss(state: str) -> str:
    return "it is finished and keeps its own files" if state == "done" else "it could not be started over"


def _count(runs: int) -> str:
    return "1 run" if runs == 1 else f"{runs} runs"


def check_removable(run: "Run") -> None:
    """Raise RunBusyError for a run that is being trained, ConfigError for what is no folder of a run."""
    from lic_exp.launching.lock import RunBusyError, run_lock
    from lic_exp.tracking.run_folder import is_run_folder

    if run.folder.is_symlink() or not is_run_folder(run.folder):
        raise ConfigError([f"{run.folder} is not itself the folder of a run: remove it by hand"])
    if run.state == "running":
        # Its lock may be out of sight: on another machine, through a file system that does not share locks.
        status = run.status
        raise RunBusyError(
            f"run {run.signature} is being trained by process {status.get('pid')} on {status.get('host')}: "
            "stop it first"
        )
    with run_lock(run.files):
        pass


def remove_run(folder: Path) -> None:
    """Delete a run folder, whose name goes first: an interruption leaves no half a run. Raises RunBusyError."""
    from lic_exp.launching.lock import run_lock
    from lic_exp.tracking.run_folder import RunFolder

    doomed = folder.with_name(f".{folder.name}.removed")
    if doomed.exists():
        shutil.rmtree(doomed)
    with run_lock(RunFolder(folder)):
        os.replace(folder, doomed)
    shutil.rmtree(doomed)
