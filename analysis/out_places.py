"""Where a command's files go: whole or not at all, and a place that cannot be one is refused by name."""

import errno
import os
from pathlib import Path

from analysis.errors import AnalysisError
from lic_exp.atomic import write_atomically

MISPLACED = (errno.EEXIST, errno.EISDIR, errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)
"""Of an error, the numbers that a name is to blame for, and not a disk or its rights."""


def make_folder(folder: Path) -> None:
    """Make a folder for what `--out` names, and those above it.

    Raises AnalysisError where something else is there or above it; what rights and disks refuse is an OSError.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, FileNotFoundError, NotADirectoryError) as error:
        reason = "there is something else, no folder" if isinstance(error, FileExistsError) else error.strerror
        raise AnalysisError(f"--out: the folder {folder} cannot be made: {error.filename}: {reason}") from error
    except OSError as error:
        raise _refused(folder, error) from error


def write_out(path: Path, content: str | bytes) -> None:
    """Write the file that `--out` names, in UTF-8, and make the folders above it. Where it fails, what was there stays.

    Raises AnalysisError where no file can be there, and an OSError that names it for what rights and disks refuse.
    """
    make_folder(path.parent)
    try:
        write_atomically(Path(os.path.realpath(path)), content)  # a link stays one
    except (OSError, ValueError) as error:
        raise _refused(path, error) from error


def _refused(path: Path, error: OSError | ValueError) -> OSError | AnalysisError:
    """The error that says of `path` what was refused: of the file that is written first nobody knows."""
    reason = getattr(error, "strerror", None) or str(error)
    if isinstance(error, OSError) and error.errno not in MISPLACED:
        return OSError(error.errno, f"cannot be written: {reason}", f"--out={path}")
    return AnalysisError(f"--out={path} cannot be written: {reason}")
