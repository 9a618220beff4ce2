"""Deleting runs, or setting them aside: never one that is at work, and never a part of one. Imports no torch."""

import os
import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path

from lic_exp.config.errors import ConfigError
from lic_exp.runs.lock import RunBusyError, run_lock
from lic_exp.runs.run import Run
from lic_exp.tracking.run_folder import RunFolder, is_run_folder

FORMER = ".former"
"""The folder in a folder of runs where what was made anew is kept: folders 1, 2, ... of runs, as many as it takes."""


def check_removable(run: Run) -> None:
    """Raise RunBusyError for a run that is being trained, ConfigError for what is no folder of a run."""
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


def remove_run(folder: Path, still: Callable[[], bool] = lambda: True) -> None:
    """Delete a run folder, whose name goes first: an interruption leaves no half a run.

    still: whether it shall go, asked once nobody else can take it. Raises RunBusyError, also where it shall not.
    """
    doomed = folder.with_name(f".{folder.name}.removed")
    if doomed.exists():
        shutil.rmtree(doomed)
    with run_lock(RunFolder(folder)):
        if not still():
            raise RunBusyError(f"run {folder.name} was taken by another process meanwhile")
        os.replace(folder, doomed)
    shutil.rmtree(doomed)


def set_aside(folder: Path, still: Callable[[], bool] = lambda: True) -> Path | None:
    """Move a run folder, whole and under its name, to where no command finds it as that run; returns where it is.

    still: whether it shall go, asked once nobody else can take it; None where it shall not. Raises RunBusyError, and
    ConfigError where it is a link: moved, it would lead elsewhere, and what it leads to would stay.
    """
    if folder.is_symlink():
        raise ConfigError([f"{folder} is a link to a run, which cannot be set aside through it: move that one by hand"])
    with run_lock(RunFolder(folder)):
        if not still():
            return None
        places = (folder.parent / FORMER / str(number) / folder.name for number in count(1))
        kept = next(place for place in places if not place.exists())
        kept.parent.mkdir(parents=True, exist_ok=True)
        os.replace(folder, kept)
    return kept
